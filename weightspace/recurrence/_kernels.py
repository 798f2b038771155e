"""The layer on CPU, each pass over a sequence as one kernel in C++.

XLA makes some fifty small kernels of a step of time. Here weights are packed
once a sequence, and the gates of a step are made while the products they are of
are still in registers. The C++ compiler of the machine builds the kernels for
its processor when they are first needed, and a cache keeps them. Where there is
none, `available` says so and `_loops` serves.

Environment variables: `WEIGHTSPACE_KERNELS=0` does without; `CXX` names the
compiler, by default `c++`; `WEIGHTSPACE_CACHE` the folder they are kept in, by
default `~/.cache/weightspace`.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.recurrence import _build
from weightspace.types import Layer, Linear, Weights

# By cell: slots of gates, and the arrays [..., H] of its state
_SIZES = {"lstm": (4, 2), "gru": (4, 1), "elman": (1, 1)}
_TARGETS = (
    "GenerateStrings",
    "LayerForward", "LayerBackward", "LayerWeights", "LayerInputs",
    "LinearForward", "LinearBackward", "MatrixProduct",
)  # fmt: skip


def available() -> bool:
  """Whether there are kernels; builds them if need be.

  There are none where an accelerator is what arrays are on by default.
  """
  return _library() is not None


def name() -> str:
  """Which kernels serve: what they were built of, or "none"."""
  library = _library()
  return "none" if library is None else pathlib.Path(library._name).stem


@functools.cache
def _library():
  if jax.default_backend() != "cpu":
    return None
  library = _build.load()
  if library is not None:
    for target in _TARGETS:
      jax.ffi.register_ffi_target(
          f"weightspace.{target}",
          jax.ffi.pycapsule(getattr(library, target)),
          platform="cpu",
      )
  return library


def serve(*trees) -> bool:
  """Whether there are kernels for these arrays on CPU."""
  floats = all(a.dtype == jnp.float32 for a in jax.tree.leaves(trees))
  return floats and available()


def know(cell: cells.Cell) -> bool:
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
  gates, *leaves = _call(
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
  output, memory = (*jax.tree.leaves(states), jnp.zeros((0, 0, 0)))[:2]
  merged = map(_merge_batch, (gates, output, memory, dhs))
  gates_, output, memory, dhs = merged
  das = _call(
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
  return Layer(
      *_call("LayerWeights", cell, shapes, *map(_merge_batch, (xs, hs, das)))
  )


def input_gradients(cell: cells.Cell, layer: Layer, das):
  """Gradients of what the layer reads; as of `_loops`."""
  *before, _ = das.shape
  das = _merge_batch(das)
  dxs = _call(
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
      cell,
      (
          jax.ShapeDtypeStruct(draws.shape, jnp.int32),
          _floats(*draws.shape, outputs),
      ),
      draws,
      *weights.readout,
      *jax.tree.leaves(weights.layers),
      attributes={"first": np.int32(first)},
  )


def linear(layer: Linear, xs):
  """`xs` `[..., I]` as the layer maps them, `[..., V]`."""
  rows = xs.reshape(-1, xs.shape[-1])
  ys = _ffi(
      "LinearForward", _floats(len(rows), len(layer.b)), layer.w, layer.b, rows
  )
  return ys.reshape(*xs.shape[:-1], -1)


def linear_gradients(layer: Linear, xs, dys):
  """Gradients of the weights and of `xs`."""
  rows = xs.reshape(-1, xs.shape[-1])
  dw, db, dxs = _ffi(
      "LinearBackward",
      tuple(_floats(*a.shape) for a in (layer.w, layer.b, rows)),
      layer.w,
      rows,
      dys.reshape(-1, dys.shape[-1]),
  )
  return Linear(dw, db), dxs.reshape(xs.shape)


def product(turned: str, a, b):
  """`a` `[B, M, K]` times `b` `[B, K, N]`, `[B, M, N]`; B may be 1 in one.

  Args:
    turned: "left" where `a` is `[B, K, M]`, "right" where `b` is `[B, N, K]`,
      otherwise "none".
    a: float32.
    b: float32.
  """
  rows = a.shape[2] if turned == "left" else a.shape[1]
  columns = b.shape[1] if turned == "right" else b.shape[2]
  return _ffi(
      "MatrixProduct",
      _floats(max(len(a), len(b)), rows, columns),
      a,
      b,
      attributes={"turned": turned},
  )


def _merge_batch(a):
  """`[T, *batch, X]` as `[T, B, X]`."""
  if a.size == 0:  # the memory of a cell that has none
    return a
  return a.reshape(len(a), -1, a.shape[-1])


def _floats(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def _call(name, cell, results, *args, attributes=None, **options):
  attributes = {"cell": _names()[cell], **(attributes or {})}
  return _ffi(name, results, *args, attributes=attributes, **options)


def _ffi(
    name, results, *args, attributes=None, vmap_method="expand_dims", **options
):
  # More networks are one more axis, of size 1 in what serves all of them
  return jax.ffi.ffi_call(
      f"weightspace.{name}", results, vmap_method=vmap_method, **options
  )(*args, **(attributes or {}))
