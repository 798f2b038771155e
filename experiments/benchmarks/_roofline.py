"""What a machine can do, and what a training step asks of it.

A step cannot be faster than its matrix products at the peak of the device, nor
than its memory traffic at the device's bandwidth. Peaks of accelerators are the
vendors' (dense, without sparsity); those of anything else are measured.
"""

import math
import time
from typing import NamedTuple

from weightspace.errors import UserError

BYTES = 4  # of a float32

# TFLOP/s by precision, TB/s. GPUs: NVIDIA's datasheets of A100, H100 and H200.
# TPUs: Google Cloud's "TPU versions"; a product in float32 is six passes of
# bfloat16 there, in tensorfloat32 three.
_GPUS = {
    "NVIDIA A100-SXM4-40GB": (19.5, 156, 312, 1.555),
    "NVIDIA A100-SXM4-80GB": (19.5, 156, 312, 2.039),
    "NVIDIA A100 80GB PCIe": (19.5, 156, 312, 1.935),
    "NVIDIA H100 PCIe": (51, 378, 756, 2.0),
    "NVIDIA H100 80GB HBM3": (67, 494.5, 989.5, 3.35),
    "NVIDIA H200": (67, 494.5, 989.5, 4.8),
}
_TPUS = {
    "TPU v4": (275, 1.2),
    "TPU v5 lite": (197, 0.819),
    "TPU v5": (459, 2.765),
    "TPU v6 lite": (918, 1.64),
}


class Peak(NamedTuple):
  """What all devices of a mesh can do together.

  Attributes:
    flops: of matrix products, a second.
    bandwidth: bytes of memory, a second.
    source: "datasheet" or "measured".
  """

  flops: float
  bandwidth: float
  source: str


class Work(NamedTuple):
  """What one training step of one network takes.

  Attributes:
    flops: of its matrix products.
    bytes: read and written if no array stays in a cache from where it is made
      to where it is used.
  """

  flops: float
  bytes: float

  def seconds(self, peak: Peak) -> float:
    """The least time it can take."""
    return max(self.flops / peak.flops, self.bytes / peak.bandwidth)


def peak(mesh, precision: str = "float32") -> Peak:
  """Of the devices of a mesh, at one of `weightspace.precision.NAMES`."""
  kind, count = mesh.devices.flat[0].device_kind, mesh.size
  place = ("float32", "tensorfloat32", "bfloat16").index(precision)
  if kind in _GPUS:
    *flops, bandwidth = _GPUS[kind]
    return Peak(
        count * 1e12 * flops[place], count * 1e12 * bandwidth, "datasheet"
    )
  if kind in _TPUS:
    flops, bandwidth = _TPUS[kind]
    passes = (6, 3, 1)[place]
    return Peak(
        count * 1e12 * flops / passes, count * 1e12 * bandwidth, "datasheet"
    )
  return Peak(matmul_flops(mesh, precision), bandwidth_of(mesh), "measured")


def matmul_flops(mesh, precision: str = "float32") -> float:
  """Matmul FLOP/s of all devices together, one large product each."""
  import jax

  from weightspace import precision as precision_lib

  size, repeats = 1024, 4

  def product(a):
    return jax.lax.fori_loop(0, repeats, lambda _, x: (x @ a) * 1e-3, a)

  with precision_lib.products(precision):
    seconds = _best(mesh, product, (size, size))
  return mesh.size * repeats * 2 * size**3 / seconds


def bandwidth_of(mesh) -> float:
  """Bytes that all devices together read and write in a second."""
  import jax

  # On an accelerator more than a cache holds; on a core what its own one does,
  # for there lie the arrays of the one network that it trains.
  size, repeats = 2**25, 2
  if mesh.devices.flat[0].platform == "cpu":
    size, repeats = 2**18, 256

  def touch(a):
    return jax.lax.fori_loop(0, repeats, lambda i, x: x * 0.5 + i, a)

  return mesh.size * repeats * 2 * BYTES * size / _best(mesh, touch, (size,))


def _best(mesh, function, shape, rounds=3):
  """Seconds of `function` of one array of that shape on every device."""
  import jax
  import jax.numpy as jnp

  from weightspace import parallel

  spread = jax.sharding.PartitionSpec(mesh.axis_names[0])
  run = jax.jit(jax.shard_map(
      lambda a: jax.lax.map(function, a),
      mesh=mesh, in_specs=spread, out_specs=spread,
  ))  # fmt: skip
  a = jax.device_put(
      jnp.ones((mesh.size, *shape), jnp.float32), parallel.sharded(mesh)
  )
  jax.block_until_ready(run(a))
  best = math.inf
  for _ in range(rounds):
    start = time.perf_counter()
    jax.block_until_ready(run(a))
    best = min(best, time.perf_counter() - start)
  return best


def work(rnn, batch: int, length: int) -> Work:
  """Of a training step on `batch` sequences of `length` symbols."""
  import jax

  from weightspace import cells

  cell, rows = cells.load(rnn.spec.cell), batch * length
  matrices, floats = math.prod(rnn.shapes.readout.w), 0
  for place, layer in enumerate(rnn.shapes.layers):
    gates, hidden, inputs = layer.wx
    matrices += gates * hidden * (inputs + hidden)
    state = jax.eval_shape(lambda h=hidden: cell.initial_state((h,), "float32"))
    kept = sum(leaf.size for leaf in jax.tree.leaves(state))
    slots = hidden * _slots(cell, gates, hidden)
    # Of what the gates lie in: written; read and written in the forward loop
    # and in the backward one; read for gradients of two matrices and of biases,
    # and for those of what the layer reads, which the first has no use for.
    floats += rows * slots * (8 + (place > 0))
    floats += rows * inputs * (2 + (place > 0))
    # States: written, read by the backward loop. Outputs: read by what is above
    # and for the gradient of the recurrent matrix; their gradients, twice.
    floats += rows * (2 * kept + 4 * hidden)
  # Logits and their gradients, each written and read; AdamW reads weights, two
  # moments and gradients and writes all but the latter, which were written.
  floats += rows * 4 * rnn.spec.outputs + 8 * rnn.size
  # A product forward is two backward
  return Work(3 * 2 * rows * matrices, BYTES * floats)


def _slots(cell, gates, hidden):
  import jax

  u = jax.ShapeDtypeStruct((gates, hidden), "float32")
  return jax.eval_shape(cell.combine, u, u).shape[0]


def products(jaxpr) -> int:
  """FLOP of the matrix products in a jaxpr, a loop's as often as it goes.

  Raises:
    ValueError: there are some in a loop whose length is not known.
  """
  total = 0
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
      (contracted, _), _ = params["dimension_numbers"]
      shape = equation.invars[0].aval.shape
      depth = math.prod(shape[axis] for axis in contracted)
      total += 2 * depth * equation.outvars[0].aval.size
    inner = sum(map(products, _inside(params)))
    if inner and name == "while":
      raise UserError("matrix products in a loop of unknown length")
    total += inner * (params["length"] if name == "scan" else 1)
  return total


def _inside(params):
  """The jaxprs that an equation calls."""
  from jax.extend.core import ClosedJaxpr, Jaxpr

  for leaf in params.values():
    for part in leaf if isinstance(leaf, (tuple, list)) else (leaf,):
      if isinstance(part, ClosedJaxpr):
        yield part.jaxpr
      elif isinstance(part, Jaxpr):
        yield part
