"""Recurrent layers over a whole sequence, the read-out, and their gradients.

Only what needs the step before stays in the loops over time. The products with
the inputs come before the loop; backward, the gradients of inputs and weights
come after it, each as one product over all steps.

There are two implementations, equal up to rounding: loops of JAX (`_loops`),
the default, for any cell, dtype and device; and kernels in C++ (`_cpu`), which
serve only where they are requested, in float32 on CPU, for the cells that have
some.
"""

import functools
import os

import jax
import jax.numpy as jnp

from weightspace import cells, precision
from weightspace.errors import UserError
from weightspace.recurrence import _cpu, _loops
from weightspace.recurrence._loops import generate_by, project, step
from weightspace.types import Layer, Linear, Weights

__all__ = [
    "NO_KERNELS", "generate", "generate_by", "kernels_name",
    "kernels_requested", "project", "read_out", "step", "unroll_layer",
]  # fmt: skip

NO_KERNELS = "none"


def kernels_requested() -> bool:
  """Whether `WEIGHTSPACE_KERNELS=1` requests kernels, and arrays are on CPU.

  Raises:
    ValueError: the variable is neither 0 nor 1.
  """
  value = os.environ.get("WEIGHTSPACE_KERNELS", "0")
  if value not in ("", "0", "1"):
    raise UserError(f"WEIGHTSPACE_KERNELS must be 0 or 1, got {value!r}")
  return value == "1" and jax.default_backend() == "cpu"


def kernels_name(requested: bool | None = None) -> str:
  """Which kernels compute: the name of their library, or `NO_KERNELS`.

  Others round differently: networks trained with them have other bits. The
  first call builds the library, where the cache has none.

  Args:
    requested: by default, what `kernels_requested` says.

  Raises:
    ValueError: kernels are requested and cannot be built.
  """
  if requested is None:
    requested = kernels_requested()
  return _cpu.load() if requested else NO_KERNELS


def unroll_layer(
    cell: cells.Cell,
    time_unroll: int,
    layer: Layer,
    xs: jax.Array,
    kernels: bool = False,
) -> jax.Array:
  """One layer over a whole sequence, from the initial state.

  Args:
    cell: what the hidden units do.
    time_unroll: steps of time in one iteration of JAX's loops.
    layer: weights.
    xs: `[T, *batch, I]`.
    kernels: whether kernels may serve; see `kernels_name`.

  Returns:
    Outputs `[T, *batch, H]`. Reverse-mode differentiable only.
  """
  return _unroll_layer(
      cell, time_unroll, kernels, precision.current(), layer, xs
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _unroll_layer(cell, time_unroll, kernels, matmul_precision, layer, xs):
  return _forward(cell, time_unroll, kernels, matmul_precision, layer, xs)[0]


def _forward(cell, time_unroll, kernels, matmul_precision, layer, xs):
  del matmul_precision  # it is that of the caller
  forward = _of_cell(kernels, cell, "forward", loop=(time_unroll,))
  gates, states = forward(layer, xs)
  return cell.output(states), (layer, xs, gates, states)


def _backward(cell, time_unroll, kernels, matmul_precision, residuals, dhs):
  layer, xs, gates, states = residuals
  with jax.default_matmul_precision(matmul_precision):
    backward = _of_cell(kernels, cell, "backward", loop=(time_unroll,))
    das = backward(layer, gates, states, dhs)
    weight_gradients = _of_cell(kernels, cell, "weight_gradients")
    input_gradients = _of_cell(kernels, cell, "input_gradients")
    # Apart: what the first layer reads may need no gradient
    return (
        weight_gradients(layer, xs, cell.output(states), das),
        input_gradients(layer, das),
    )


_unroll_layer.defvjp(_forward, _backward)


def read_out(
    layer: Linear, hs: jax.Array, kernels: bool = False
) -> jax.Array:
  """A linear layer over many rows.

  Args:
    layer: weights.
    hs: `[..., H]`.
    kernels: whether kernels may serve; see `kernels_name`.

  Returns:
    `[..., V]`. Reverse-mode differentiable only.
  """
  return _read_out(kernels, precision.current(), layer, hs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _read_out(kernels, matmul_precision, layer, hs):
  return _read_out_forward(kernels, matmul_precision, layer, hs)[0]


def _read_out_forward(kernels, matmul_precision, layer, hs):
  del matmul_precision  # it is that of the caller
  ys = _choose(kernels, _cpu.linear, _loops.linear)(layer, hs)
  return ys, (layer, hs)


def _read_out_backward(kernels, matmul_precision, residuals, dys):
  with jax.default_matmul_precision(matmul_precision):
    gradients = _choose(
        kernels, _cpu.linear_gradients, _loops.linear_gradients
    )
    return gradients(*residuals, dys)


_read_out.defvjp(_read_out_forward, _read_out_backward)


def generate(
    cell: cells.Cell,
    weights: Weights,
    first: int,
    draws: jax.Array,
    kernels: bool = False,
) -> tuple[jax.Array, jax.Array]:
  """Autoregressive sampling: a network reads the symbols it has drawn.

  Symbol v is drawn where the draw is at least the probability of all symbols
  before v and less than that with v; from what is not a number, symbol 0.

  Args:
    cell: what the hidden units do.
    weights: of one network.
    first: the token that all strings are begun with.
    draws: `[T, K]`, uniform in [0, 1), of the weights' type.
    kernels: whether kernels may serve; see `kernels_name`.

  Returns:
    tokens `[T, K]` int32, without the first one; log-probabilities of all
    `[T, K, V]`. Kernels have no derivative.

  Raises:
    ValueError: `first` or some output is none of the inputs.
  """
  inputs, outputs = weights.layers[0].wx.shape[-1], len(weights.readout.b)
  if not 0 <= first < inputs or outputs > inputs:
    raise UserError(
        f"a network with {inputs} inputs and {outputs} outputs can't read all"
        f" that it writes after token {first}"
    )
  return _of_cell(kernels, cell, "generate", first)(weights, draws)


def _of_cell(kernels, cell, name, *static, loop=()):
  """The function of that name, of kernels if there are some of that cell.

  `static` are arguments of both implementations, `loop` of loops alone.
  """
  looped = functools.partial(getattr(_loops, name), cell, *static, *loop)
  if not kernels or not _cpu.has(cell):
    return looped
  kernel = functools.partial(getattr(_cpu, name), cell, *static)
  return _choose(kernels, kernel, looped)


def _choose(kernels, kernel, loop):
  """`kernel` for float32 on CPU where kernels are requested, else `loop`."""
  if not kernels:
    return loop

  def choose(*args):
    if any(a.dtype != jnp.float32 for a in jax.tree.leaves(args)):
      return loop(*args)
    _cpu.load()
    return jax.lax.platform_dependent(*args, cpu=kernel, default=loop)

  return choose
