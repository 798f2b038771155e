"""The networks under study: stacked recurrent layers and a linear readout.

Sequences have time first, then batch axes: `[T, *batch, I]`, or `[T, I]` for a
single one. `jax.vmap` over weights batches networks.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from weightspace import cells, recurrence
from weightspace.errors import UserError
from weightspace.recurrence import project, read_out, unroll_layer
from weightspace.types import Key, Layer, Linear, Weights

GATE, INPUT, OUTPUT = "gate", "input", "output"


@dataclass(frozen=True)
class RNNSpec:
  """The architecture of an RNN; hashable, so it may be static in jit.

  Attributes:
    cell: name of a module in `weightspace.cells`.
    hidden: hidden units of each layer, first layer first.
    inputs: size of an input, I.
    outputs: size of an output, V.
  """

  cell: str
  hidden: tuple[int, ...]
  inputs: int
  outputs: int

  def __post_init__(self):
    object.__setattr__(self, "hidden", tuple(int(h) for h in self.hidden))
    sizes = (*self.hidden, self.inputs, self.outputs)
    if not self.hidden or min(sizes) < 1:
      raise UserError(
          "an RNN needs at least one layer and sizes of at least 1, got"
          f" hidden={self.hidden}, inputs={self.inputs},"
          f" outputs={self.outputs}"
      )


def describe(shapes: Iterable[tuple[str, Sequence[int]]]) -> str:
  """Shapes in words: "LSTM and GRU of 1 to 2 layers of 8 to 24 units".

  Args:
    shapes: the cell, and the hidden units of each layer, of one or more.
  """
  names, hidden = zip(*shapes)
  titles = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}
  names = sorted(set(names), key=[*titles, *sorted(names)].index)
  *first, last = [titles.get(name, name) for name in names]
  depths = sorted({len(layers) for layers in hidden})
  widths = sorted({width for layers in hidden for width in layers})

  def between(sizes):
    return " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))

  return (
      f"{', '.join(first)}{' and ' if first else ''}{last} of"
      f" {between(depths)} layer{'s' if depths[-1] > 1 else ''} of"
      f" {between(widths)} unit{'s' if widths[-1] > 1 else ''}"
  )


class RNN(NamedTuple):
  """The functions of one RNN architecture.

  Attributes:
    spec: the architecture.
    shapes: `Weights` of shape tuples.
    axes: `Weights` of tuples of axis names: "h0", "h1", ... for hidden units
      of each layer, "gate", "input" and "output". In leaves with a gate axis,
      the hidden axis right after it is the output of the map; any other hidden
      axis is its input.
    size: number of parameters, P.
    init: (key) -> weights, float32, uniform in +-1/sqrt(H) as in torch.
    initial_state: (batch shape) -> state of zeros, a tuple over layers.
    step: (weights, state, x [*batch, I]) -> (state, y [*batch, V]).
    unroll: (weights, xs [T, *batch, I]) -> ys [T, *batch, V], from the
      initial state. It supports reverse-mode differentiation only.
    generate: (weights, first token, draws [T, K] in [0, 1)) -> tokens [T, K]
      int32, log-probabilities [T, K, V]: autoregressive sampling.
    flatten: (weights) -> vector [P], in torch's `parameters()` order.
    unflatten: (vector [P]) -> weights.
  """

  spec: RNNSpec
  shapes: Weights
  axes: Weights
  size: int
  init: Callable[[Key], Weights]
  initial_state: Callable[[tuple[int, ...]], Any]
  step: Callable
  unroll: Callable
  generate: Callable
  flatten: Callable[[Weights], jax.Array]
  unflatten: Callable[[jax.Array], Weights]


def make_rnn(
    spec: RNNSpec, *, time_unroll: int = 1, kernels: bool | None = None
) -> RNN:
  """Builds an RNN of any cell, depth and widths.

  Args:
    spec: the architecture.
    time_unroll: time steps per iteration of the loop in `unroll`. More steps
      take longer to compile; they help where launching a kernel takes longer
      than running it. Results are the same up to rounding.
    kernels: whether `unroll` and `generate` use C++ kernels on CPU; by
      default, `recurrence.kernels_requested`.

  Raises:
    ValueError: there is no such cell, or `time_unroll` is not positive.
  """
  if time_unroll < 1:
    raise UserError(f"time_unroll must be at least 1, got {time_unroll}")
  if kernels is None:
    kernels = recurrence.kernels_requested()
  cell = cells.load(spec.cell)
  shapes, axes = _shapes(spec, cell.gates), _axes(spec)
  leaf_shapes = jax.tree.leaves(shapes, is_leaf=_is_record)
  treedef = jax.tree.structure(shapes, is_leaf=_is_record)
  sizes = [math.prod(shape) for shape in leaf_shapes]
  offsets = [sum(sizes[:i]) for i in range(len(sizes))]

  def init(key):
    bounds = [h**-0.5 for h in spec.hidden for _ in Layer._fields]
    bounds += [spec.hidden[-1] ** -0.5] * len(Linear._fields)
    # One draw for all leaves, cut to size: XLA takes seconds to compile many
    draws = jax.vmap(
        lambda k, bound: jax.random.uniform(
            k, (max(sizes),), jnp.float32, -bound, bound
        )
    )(jax.random.split(key, len(sizes)), jnp.asarray(bounds, jnp.float32))
    return treedef.unflatten(
        draw[:size].reshape(shape)
        for draw, size, shape in zip(draws, sizes, leaf_shapes)
    )

  def initial_state(batch=(), dtype=jnp.float32):
    return tuple(
        cell.initial_state((*batch, h), dtype) for h in spec.hidden
    )

  def unroll(weights, xs):
    for layer in weights.layers:
      xs = unroll_layer(cell, time_unroll, layer, xs, kernels)
    return read_out(weights.readout, xs, kernels)

  def generate(weights, first, draws):
    return recurrence.generate(cell, weights, first, draws, kernels)

  def flatten(weights):
    if list(map(jnp.shape, jax.tree.leaves(weights))) != leaf_shapes:
      raise UserError(
          f"expected weights of one network of {spec}, got leaves of shapes"
          f" {list(map(jnp.shape, jax.tree.leaves(weights)))}"
      )
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(weights)])

  def unflatten(vector):
    if vector.shape != (sum(sizes),):
      raise UserError(
          f"{spec} has {sum(sizes)} parameters, got a vector of shape"
          f" {vector.shape}"
      )
    return treedef.unflatten(
        vector[start : start + size].reshape(shape)
        for start, size, shape in zip(offsets, sizes, leaf_shapes)
    )

  return RNN(
      spec=spec,
      shapes=shapes,
      axes=axes,
      size=sum(sizes),
      init=init,
      initial_state=initial_state,
      step=functools.partial(recurrence.step, cell),
      unroll=unroll,
      generate=generate,
      flatten=flatten,
      unflatten=unflatten,
  )


def _is_record(x) -> bool:
  """Whether `x` is a shape or a tuple of names, and not a tuple of layers."""
  return type(x) is tuple and not any(isinstance(item, tuple) for item in x)


def tree_map_axes(f: Callable, axes: Weights, *trees: Weights) -> Weights:
  """Maps `f(axes of the leaf, leaf, ...)` over trees shaped like `axes`."""
  return jax.tree.map(f, axes, *trees, is_leaf=_is_record)


def _shapes(spec, gates):
  layers, read = [], spec.inputs
  for h in spec.hidden:
    layers.append(
        Layer((gates, h, read), (gates, h, h), (gates, h), (gates, h))
    )
    read = h
  return Weights(tuple(layers), Linear((spec.outputs, read), (spec.outputs,)))


def _axes(spec):
  layers, read = [], INPUT
  for k in range(len(spec.hidden)):
    h = f"h{k}"
    layers.append(
        Layer((GATE, h, read), (GATE, h, h), (GATE, h), (GATE, h))
    )
    read = h
  return Weights(tuple(layers), Linear((OUTPUT, read), (OUTPUT,)))


def fold_embedding(
    layers: tuple[Layer, ...], embedding: Linear
) -> tuple[Layer, ...]:
  """Folds a linear embedding of inputs into the layer that reads it.

  Their product is one smaller matrix, used at every step.

  Args:
    layers: of an RNN with inputs of size E.
    embedding: w `[E, I]`, b `[E]`.

  Returns:
    The layers of an RNN with inputs of size I.
  """
  first, *others = layers
  return (
      first._replace(
          wx=jnp.einsum("ghe,ei->ghi", first.wx, embedding.w),
          bx=project(first.wx, first.bx, embedding.b),
      ),
      *others,
  )
