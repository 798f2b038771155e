"""Cells stacked, with a linear read-out: the networks under study.

Time comes first and batch axes follow, `[T, *batch, I]`; a single sequence is
`[T, I]`. Networks are batched by `jax.vmap` over weights.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from weightspace import cells
from weightspace.types import Key, Layer, Linear, Weights

GATE, INPUT, OUTPUT = "gate", "input", "output"


@dataclass(frozen=True)
class RNNSpec:
  """What changes the graph of an RNN; hashable, so it may be static in jit.

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
      raise ValueError(
          "an RNN needs at least one layer and sizes of at least 1, got"
          f" hidden={self.hidden}, inputs={self.inputs},"
          f" outputs={self.outputs}"
      )


class RNN(NamedTuple):
  """The functions of one shape of RNN.

  Attributes:
    spec: the static description all of this is derived from.
    shapes: `Weights` of shape tuples.
    axes: `Weights` of tuples of axis names. Hidden axes are "h0", "h1", ...;
      the others "gate", "input", "output". In a leaf with a gate axis, the
      hidden axis right after it is the one that is written, any other hidden
      axis is read.
    size: number of parameters, P.
    init: (key) -> weights, torch's default: uniform in +-1/sqrt(H).
    initial_state: (batch shape) -> state, a tuple over layers.
    step: (weights, state, x [*batch, I]) -> (state, y [*batch, V]).
    unroll: (weights, xs [T, *batch, I]) -> ys [T, *batch, V], from the
      initial state. Reverse-mode differentiable only.
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
  flatten: Callable[[Weights], jax.Array]
  unflatten: Callable[[jax.Array], Weights]


def make_rnn(spec: RNNSpec, *, time_unroll: int = 1) -> RNN:
  """An RNN of any cell, depth, widths (one per layer) and sizes.

  Args:
    spec: cell, depth, widths and sizes.
    time_unroll: steps of time in one iteration of the loops in `unroll`. More
      of them compile longer; they pay where starting a kernel takes longer than
      running it. What is computed is the same but for rounding.

  Raises:
    ValueError: there is no such cell, or `time_unroll` is not positive.
  """
  if time_unroll < 1:
    raise ValueError(f"time_unroll must be at least 1, got {time_unroll}")
  cell = cells.load(spec.cell)
  shapes, axes = _shapes(spec, cell.gates), _axes(spec)
  leaf_shapes = jax.tree.leaves(shapes, is_leaf=_is_record)
  treedef = jax.tree.structure(shapes, is_leaf=_is_record)
  sizes = [math.prod(shape) for shape in leaf_shapes]
  offsets = [sum(sizes[:i]) for i in range(len(sizes))]

  def init(key):
    bounds = [h**-0.5 for h in spec.hidden for _ in Layer._fields]
    bounds += [spec.hidden[-1] ** -0.5] * len(Linear._fields)
    return treedef.unflatten(
        jax.random.uniform(k, shape, jnp.float32, -bound, bound)
        for k, shape, bound in zip(
            jax.random.split(key, len(leaf_shapes)), leaf_shapes, bounds
        )
    )

  def initial_state(batch=(), dtype=jnp.float32):
    return tuple(
        cell.initial_state((*batch, h), dtype) for h in spec.hidden
    )

  def step(weights, state, x):
    new = []
    for layer, s in zip(weights.layers, state):
      u = project(layer.wx, layer.bx, x)
      v = project(layer.wh, layer.bh, cell.output(s))
      new.append(cell.step(s, u, v))
      x = cell.output(new[-1])
    # Not `_read_out`, whose gradient has no forward mode
    return tuple(new), x @ weights.readout.w.T + weights.readout.b

  def unroll(weights, xs):
    for layer in weights.layers:
      xs = unroll_layer(cell, time_unroll, layer, xs)
    return _read_out(weights.readout, xs)

  def flatten(weights):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(weights)])

  def unflatten(vector):
    if vector.shape != (sum(sizes),):
      raise ValueError(
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
      step=step,
      unroll=unroll,
      flatten=flatten,
      unflatten=unflatten,
  )


def _is_record(x) -> bool:
  """A shape or a tuple of names: a plain tuple that holds no tuples."""
  return type(x) is tuple and not any(isinstance(item, tuple) for item in x)


def tree_map_axes(f: Callable, axes: Weights, *trees: Weights) -> Weights:
  """`f(axes of the leaf, leaf, ...)` over trees shaped like `axes`."""
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


def project(w: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
  """`w x + b`: w `[G, H, I]`, b `[G, H]`, x `[..., I]` -> `[..., G, H]`."""
  return jnp.einsum("ghi,...i->...gh", w, x) + b


def read_directly(
    layers: tuple[Layer, ...], embedding: Linear
) -> tuple[Layer, ...]:
  """`layers`, the first of which reads what `embedding` embeds.

  Both maps are linear, so their product, a smaller matrix, serves all steps.

  Args:
    layers: of an RNN whose inputs have size E.
    embedding: w `[E, I]`, b `[E]`.

  Returns:
    The same layers for inputs of size I.
  """
  first, *others = layers
  return (
      first._replace(
          wx=jnp.einsum("ghe,ei->ghi", first.wx, embedding.w),
          bx=project(first.wx, first.bx, embedding.b),
      ),
      *others,
  )


def _read_out(readout, hs):
  return _add_bias(hs @ readout.w.T, readout.b)


@jax.custom_vjp
def _add_bias(a, b):
  return a + b


_add_bias.defvjp(lambda a, b: (a + b, b), lambda b, da: (da, _sum_to(b, da)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def unroll_layer(
    cell: cells.Cell, time_unroll: int, layer: Layer, xs: jax.Array
) -> jax.Array:
  """One layer over a whole sequence, from the initial state.

  Only what needs the step before stays in the loops over time. The products
  with the inputs come before the loop; backward, the gradients of inputs and
  weights come after it, each as one product over all steps. The activations
  overwrite the projected inputs they were made of and are overwritten by the
  gradients, so that one buffer serves.

  Args:
    cell: what the hidden units do.
    time_unroll: steps of time in one iteration of the loops.
    layer: weights.
    xs: `[T, *batch, I]`.

  Returns:
    Outputs `[T, *batch, H]`. Reverse-mode differentiable only.
  """
  return _unroll_layer_fwd(cell, time_unroll, layer, xs)[0]


def _unroll_layer_fwd(cell, time_unroll, layer, xs):
  split, merge = _split_and_merge(layer)
  us = xs @ _columns(layer.wx)
  wh = _columns(layer.wh)
  bias = merge(cell.combine(layer.bx, layer.bh))

  def combine(u, v):
    return merge(cell.combine(split(u), split(v)))

  def step(t, carry):
    buffer, states, state = carry
    v = cell.output(state) @ wh
    a = _read(buffer, t) + combine(jnp.zeros_like(v), v) + bias
    gates = cell.activate(split(a))
    state = cell.update(state, gates)
    return _write(buffer, t, merge(gates)), _write(states, t + 1, state), state

  # Place t holds the state before step t, the last place that after the end.
  shape = (len(xs) + 1, *xs.shape[1:-1], layer.bh.shape[-1])
  states = cell.initial_state(shape, xs.dtype)
  carry = combine(us, jnp.zeros_like(us)), states, _read(states, 0)
  buffer, states, _ = jax.lax.fori_loop(
      0, len(xs), step, carry, unroll=time_unroll
  )
  hs = cell.output(jax.tree.map(lambda leaf: leaf[1:], states))
  return hs, (layer, xs, buffer, states)


def _unroll_layer_bwd(cell, time_unroll, residuals, dhs):
  layer, xs, buffer, states = residuals
  split, merge = _split_and_merge(layer)
  u = jax.ShapeDtypeStruct((*xs.shape[1:-1], *layer.bx.shape), xs.dtype)
  uncombine = jax.linear_transpose(cell.combine, u, u)
  wh = _matrix(layer.wh)

  def step(k, carry):
    buffer, dstate, dh = carry
    t = len(xs) - 1 - k
    gates = split(_read(buffer, t))
    new, update_vjp = jax.vjp(cell.update, _read(states, t), gates)
    _, output_vjp = jax.vjp(cell.output, new)
    (heard,) = output_vjp(dh + _read(dhs, t))
    dstate, dgates = update_vjp(jax.tree.map(jnp.add, dstate, heard))
    # Behind a barrier, or it is computed once for each of its two users
    da = jax.lax.optimization_barrier(merge(dgates * cell.slope(gates)))
    _, dv = uncombine(split(da))
    return _write(buffer, t, da), dstate, merge(dv) @ wh

  carry = jax.tree.map(jnp.zeros_like, (_read(states, 0), dhs[0]))
  das, *_ = jax.lax.fori_loop(
      0, len(xs), step, (buffer, *carry), unroll=time_unroll
  )
  dus, dvs = map(merge, jax.vmap(uncombine)(split(das)))
  hs_before = cell.output(jax.tree.map(lambda leaf: leaf[:-1], states))
  return Layer(
      wx=_sum_outer(layer.wx, dus, xs),
      wh=_sum_outer(layer.wh, dvs, hs_before),
      bx=_sum_to(layer.bx, dus),
      bh=_sum_to(layer.bh, dvs),
  ), dus @ _matrix(layer.wx)


unroll_layer.defvjp(_unroll_layer_fwd, _unroll_layer_bwd)

# Inside `unroll_layer` slots and units are merged into one axis `[..., S * H]`:
# XLA's CPU code for rows that long is twice as fast as for S rows of H.


def _split_and_merge(layer):
  """Functions from `[..., S * H]` to `[..., S, H]` and back."""
  hidden = layer.bh.shape[-1]
  return (
      lambda a: a.reshape(*a.shape[:-1], -1, hidden),
      lambda a: a.reshape(*a.shape[:-2], -1),
  )


def _matrix(w):
  """`[G, H, I]` as `[G * H, I]`."""
  return w.reshape(-1, w.shape[-1])


def _columns(w):
  """`[G, H, I]` as `[I, G * H]`, transposed in memory, once."""
  return jax.lax.optimization_barrier(_matrix(w).T)


def _sum_outer(w, das, xs):
  """The gradient of `w`: the outer products of all rows, summed."""
  # This way round, and kept from being turned by XLA: its CPU kernel for a
  # product over many rows is twice as fast with the wider matrix on the right.
  dw = jax.lax.optimization_barrier(_matrix(xs).T @ _matrix(das))
  return dw.T.reshape(w.shape)


def _sum_to(b, das):
  """The gradient of the bias `b`: `das` summed over all rows."""
  # A product with ones, not a sum: XLA's CPU reduction over leading axes walks
  # memory column by column and costs more than the matrix products around it.
  rows = das.reshape(-1, b.size)
  ones = jax.lax.optimization_barrier(jnp.ones(len(rows), das.dtype))
  return (ones @ rows).reshape(b.shape)


def _read(tree, t):
  """Entries t of the leading axis."""
  # Behind a barrier: what is read is then read before `_write` overwrites it.
  # Otherwise XLA may read it again later, and must copy the array to do so.
  return jax.lax.optimization_barrier(
      jax.tree.map(
          lambda a: jax.lax.dynamic_index_in_dim(a, t, keepdims=False), tree
      )
  )


def _write(tree, t, new):
  """`tree` with entries t of the leading axis replaced; in place in a loop."""
  return jax.tree.map(lambda a, x: _write_at(0, a, t, x), tree, new)


def _write_at(axis, a, t, x):
  # Batched by hand, since JAX makes a scatter of a batched update.
  @jax.custom_batching.custom_vmap
  def write(a, t, x):
    return jax.lax.dynamic_update_index_in_dim(a, x, t, axis)

  @write.def_vmap
  def write_batch(size, batched, a, t, x):
    if batched[1]:
      raise ValueError("steps of time cannot be batched")
    a, x = (
        leaf if own else jnp.broadcast_to(leaf, (size, *leaf.shape))
        for leaf, own in ((a, batched[0]), (x, batched[2]))
    )
    return _write_at(axis + 1, a, t, x), True

  return write(a, t, x)
