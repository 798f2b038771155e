"""Layers as loops of JAX, for any cell.

Slots and units are merged into one axis `[..., S * H]`: XLA's CPU code for rows
that long is twice as fast as for S rows of H. The activations overwrite the
projected inputs they were made of and are overwritten by the gradients, so that
one buffer serves.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from weightspace.errors import UserError
from weightspace.types import Layer, Linear, Weights


def forward(cell, time_unroll: int, layer: Layer, xs: jax.Array):
  """Gates `[T, *batch, S * H]`; states after each step, `[T, *batch, H]`."""
  split, merge = _split_and_merge(layer)
  us = xs @ _columns(layer.wx)
  wh = _columns(layer.wh)
  bias = merge(cell.combine(layer.bx, layer.bh))

  def combine(u, v):
    return merge(cell.combine(split(u), split(v)))

  def step(t, carry):
    buffer, states, state = carry
    v = cell.output(state) @ wh
    a = _read(buffer, t) + combine(jnp.zeros_like(v), v) + _expand(bias, v)
    gates = cell.activate(split(a))
    state = cell.update(state, gates)
    return _write(buffer, t, merge(gates)), _write(states, t, state), state

  shape = (*xs.shape[:-1], layer.bh.shape[-1])
  states = cell.initial_state(shape, xs.dtype)
  carry = combine(us, jnp.zeros_like(us)), states, _read(states, 0)
  gates, states, _ = jax.lax.fori_loop(
      0, len(xs), step, carry, unroll=time_unroll
  )
  return gates, states


def backward(cell, time_unroll: int, layer: Layer, gates, states, dhs):
  """Gradients of pre-activations `[T, *batch, S * H]`, in place of the gates.

  Args:
    cell: what the hidden units do.
    time_unroll: steps of time in one iteration.
    layer: weights.
    gates: from `forward`.
    states: from `forward`.
    dhs: gradients of the outputs, `[T, *batch, H]`.
  """
  split, merge = _split_and_merge(layer)
  uncombine = _uncombine(cell, layer, gates)
  wh = _matrix(layer.wh)
  steps = len(dhs)

  def step(k, carry):
    buffer, dstate, dh = carry
    t = steps - 1 - k
    gates = split(_read(buffer, t))
    before = jax.tree.map(
        lambda s: jnp.where(t > 0, s, 0), _read(states, jnp.maximum(t - 1, 0))
    )
    new, update_vjp = jax.vjp(cell.update, before, gates)
    _, output_vjp = jax.vjp(cell.output, new)
    (dfeedback,) = output_vjp(dh + _read(dhs, t))
    dstate, dgates = update_vjp(jax.tree.map(jnp.add, dstate, dfeedback))
    # Behind a barrier, or it is computed once for each of its two users
    da = jax.lax.optimization_barrier(merge(dgates * cell.slope(gates)))
    _, dv = uncombine(split(da))
    return _write(buffer, t, da), dstate, merge(dv) @ wh

  carry = jax.tree.map(jnp.zeros_like, (_read(states, 0), dhs[0]))
  das, *_ = jax.lax.fori_loop(
      0, steps, step, (gates, *carry), unroll=time_unroll
  )
  return das


def weight_gradients(cell, layer: Layer, xs, hs, das) -> Layer:
  """Gradients of the weights: `hs` are the outputs, `das` from `backward`."""
  split, merge = _split_and_merge(layer)
  uncombine = jax.vmap(_uncombine(cell, layer, das))
  dus, dvs = map(merge, uncombine(split(das)))
  return Layer(
      wx=_sum_outer(layer.wx, dus, xs),
      wh=_sum_outer(layer.wh, dvs[1:], hs[:-1]),  # the first step read zeros
      bx=_sum_to(layer.bx, dus),
      bh=_sum_to(layer.bh, dvs),
  )


def input_gradients(cell, layer: Layer, das):
  """Gradients of what the layer reads, `[T, *batch, I]`."""
  split, merge = _split_and_merge(layer)
  dus, _ = jax.vmap(_uncombine(cell, layer, das))(split(das))
  return merge(dus) @ _matrix(layer.wx)


def linear(layer: Linear, xs):
  """`xs` `[..., I]` as the layer maps them, `[..., V]`."""
  ys = xs @ layer.w.T
  return ys + _expand(layer.b, ys)


def linear_gradients(layer: Linear, xs, dys):
  """Gradients of the weights and of `xs`."""
  dw = _matrix(dys).T @ _matrix(xs)
  return Linear(dw, _sum_to(layer.b, dys)), dys @ layer.w


def project(w: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
  """`w x + b`: w `[G, H, I]`, b `[G, H]`, x `[..., I]` -> `[..., G, H]`."""
  y = jnp.einsum("ghi,...i->...gh", w, x)
  return y + _expand(b, y)


def step(cell, weights: Weights, state, x: jax.Array):
  """One step of all layers and the read-out; see `RNN`."""
  new = []
  for layer, s in zip(weights.layers, state):
    u = project(layer.wx, layer.bx, x)
    v = project(layer.wh, layer.bh, cell.output(s))
    new.append(cell.step(s, u, v))
    x = cell.output(new[-1])
  # Not `linear`'s kernel, whose gradient has no forward mode
  return tuple(new), linear(weights.readout, x)


def generate(cell, first: int, weights: Weights, draws: jax.Array):
  """Tokens `[T, K]` int32, log-probabilities `[T, K, V]`."""
  layers, batch = weights.layers, draws.shape[1:]
  state = tuple(
      cell.initial_state((*batch, layer.bh.shape[-1]), layer.bh.dtype)
      for layer in layers
  )
  return generate_by(
      functools.partial(step, cell, weights),
      state,
      layers[0].wx.shape[-1],
      first,
      draws,
  )


def generate_by(
    step: Callable, state, inputs: int, first: int, draws: jax.Array
):
  """The same by any `step`: (state, x `[K, I]`) -> (state, logits `[K, V]`)."""

  def write(carry, u):
    state, token = carry
    state, logits = step(state, jax.nn.one_hot(token, inputs, dtype=u.dtype))
    log_probs = jax.nn.log_softmax(logits)
    # Inverse of the distribution function: one draw a symbol, not one a letter
    passed = u[:, None] >= jnp.cumsum(jnp.exp(log_probs), axis=-1)[:, :-1]
    token = jnp.sum(passed, axis=-1, dtype=jnp.int32)
    return (state, token), (token, log_probs)

  start = state, jnp.full(draws.shape[1:], first, jnp.int32)
  return jax.lax.scan(write, start, draws)[1]


def _uncombine(cell, layer, das):
  """`cell.combine` transposed, of one step of time."""
  u = jax.ShapeDtypeStruct((*das.shape[1:-1], *layer.bx.shape), das.dtype)
  return jax.linear_transpose(cell.combine, u, u)


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


def _expand(b, y):
  """`b` with as many axes as `y`, whose last ones are its own."""
  return jax.lax.broadcast_to_rank(b, y.ndim)


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
      raise UserError("steps of time cannot be batched")
    a, x = (
        leaf if own else jnp.broadcast_to(leaf, (size, *leaf.shape))
        for leaf, own in ((a, batched[0]), (x, batched[2]))
    )
    return _write_at(axis + 1, a, t, x), True

  return write(a, t, x)
