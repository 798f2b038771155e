"""Kernels in C++ for layers of small RNNs on CPU, and for sampling strings.

XLA makes some fifty small kernels of a step of time. Here a pass over a
sequence is one kernel: weights are packed once, and the gates of a step are
computed while the products they need are still in registers. Kernels compute in
float32, whatever `weightspace.precision` asks for.

Functions correspond to those of `_loops`, with the same results up to rounding.
`load` must be called first; it builds the library when there is none.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.recurrence._cpu import build
from weightspace.types import Layer, Linear, Weights

_TARGETS = (
    "LayerForward", "LayerBackward", "LayerWeights", "LayerInputs",
    "LinearForward", "LinearBackward", "GenerateStrings",
)  # fmt: skip
# By cell: slots of gates, and the arrays [..., H] of its state
_SIZES = {"lstm": (4, 2), "gru": (4, 1), "elman": (1, 1)}


@functools.cache
def load() -> str:
  """Makes the kernels ready, once in a process, and returns their name.

  The name stands for all that their rounding depends on: sources, compiler and
  processor.

  Raises:
    build.KernelError: there is no compiler, or it failed.
  """
  library = build.load()
  for target in _TARGETS:
    jax.ffi.register_ffi_target(
        f"weightspace.{target}",
        jax.ffi.pycapsule(getattr(library, target)),
        platform="cpu",
    )
  return pathlib.Path(library._name).stem


def has(cell: cells.Cell) -> bool:
  """Whether there are kernels of that very cell, not of one made of it."""
  return cell in _names()


@functools.cache
def _names():
  return {cells.load(name): name for name in _SIZES}


def forward(cell: cells.Cell, layer: Layer, xs: jax.Array):
  """Gates `[T, *batch, S * H]`; states after each step, `[T, *batch, H]`."""
  *batch, _ = xs.shape[1:]
  hidden = layer.bh.shape[-1]
  slots, leaves = _SIZES[_names()[cell]]
  xs = _merge_batch(xs)
  state = _floats(*xs.shape[:-1], hidden)
  gates, *leaves = _call_of_cell(
      "LayerForward",
      cell,
      (
          _floats(*xs.shape[:-1], slots * hidden),
          state,
          state if leaves == 2 else _floats(0, 0, 0),
      ),
      xs,
      *layer,
  )[: 1 + leaves]
  shape = jax.eval_shape(lambda: cell.initial_state((hidden,), xs.dtype))
  states = jax.tree.unflatten(jax.tree.structure(shape), leaves)
  return jax.tree.map(
      lambda a: a.reshape(len(a), *batch, a.shape[-1]), (gates, states)
  )


def backward(cell: cells.Cell, layer: Layer, gates, states, dhs):
  """Gradients of pre-activations, in place of the gates; as of `_loops`."""
  empty = jnp.zeros((0, 0, 0), jnp.float32)
  output, memory = (*jax.tree.leaves(states), empty)[:2]
  merged = map(_merge_batch, (gates, output, memory, dhs))
  gates_, output, memory, dhs = merged
  das = _call_of_cell(
      "LayerBackward",
      cell,
      _floats(*gates_.shape),
      gates_,
      layer.wh,
      output,
      memory,
      dhs,
      # In place only if both have the same axes
      vmap_method="broadcast_all",
      input_output_aliases={0: 0},
  )
  return das.reshape(gates.shape)


def weight_gradients(cell: cells.Cell, layer: Layer, xs, hs, das) -> Layer:
  """Gradients of the weights; as of `_loops`."""
  shapes = tuple(_floats(*leaf.shape) for leaf in layer)
  merged = map(_merge_batch, (xs, hs, das))
  return Layer(*_call_of_cell("LayerWeights", cell, shapes, *merged))


def input_gradients(cell: cells.Cell, layer: Layer, das):
  """Gradients of what the layer reads; as of `_loops`."""
  *before, _ = das.shape
  das = _merge_batch(das)
  dxs = _call_of_cell(
      "LayerInputs",
      cell,
      _floats(*das.shape[:-1], layer.wx.shape[-1]),
      layer.wx,
      das,
  )
  return dxs.reshape(*before, dxs.shape[-1])


def generate(cell: cells.Cell, first: int, weights: Weights, draws):
  """Tokens `[T, K]` int32, log-probabilities `[T, K, V]`; as of `_loops`."""
  outputs = len(weights.readout.b)
  return _call(
      "GenerateStrings",
      (
          jax.ShapeDtypeStruct(draws.shape, jnp.int32),
          _floats(*draws.shape, outputs),
      ),
      draws,
      *weights.readout,
      *jax.tree.leaves(weights.layers),
      attributes={"cell": _names()[cell], "first": first},
  )


def linear(layer: Linear, xs):
  """`xs` `[..., I]` as the layer maps them, `[..., V]`."""
  rows = xs.reshape(-1, xs.shape[-1])
  ys = _call(
      "LinearForward", _floats(len(rows), len(layer.b)), layer.w, layer.b, rows
  )
  return ys.reshape(*xs.shape[:-1], -1)


def linear_gradients(layer: Linear, xs, dys):
  """Gradients of the weights and of `xs`."""
  rows = xs.reshape(-1, xs.shape[-1])
  dw, db, dxs = _call(
      "LinearBackward",
      tuple(_floats(*a.shape) for a in (layer.w, layer.b, rows)),
      layer.w,
      rows,
      dys.reshape(-1, dys.shape[-1]),
  )
  return Linear(dw, db), dxs.reshape(xs.shape)


def _merge_batch(a):
  """`[T, *batch, X]` as `[T, B, X]`."""
  if a.size == 0:  # the memory of a cell that has none
    return a
  return a.reshape(len(a), -1, a.shape[-1])


def _call_of_cell(name, cell, results, *args, **options):
  attributes = {"cell": _names()[cell]}
  return _call(name, results, *args, attributes=attributes, **options)


def _call(
    name, results, *args, attributes=None, vmap_method="expand_dims", **options
):
  """Results of the kernel `name`; attributes that are integers are int64."""
  attributes = {
      key: np.int64(value) if isinstance(value, int) else value
      for key, value in (attributes or {}).items()
  }
  # More networks are one more axis, of size 1 in what serves all of them
  return jax.ffi.ffi_call(
      f"weightspace.{name}", results, vmap_method=vmap_method, **options
  )(*args, **attributes)


def _floats(*shape):
  """A float32 array of that shape, as a result of `_call`."""
  return jax.ShapeDtypeStruct(shape, jnp.float32)
