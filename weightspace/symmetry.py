"""The symmetry group of an RNN's weights: signed permutations of hidden units.

Permuting the hidden units of a layer preserves the outputs. So does flipping a
unit's sign, for cells with odd gates: it negates the unit's rows in the odd
gates, weights and biases, and its column in every matrix that the unit is an
input of. The action is derived from an RNN's axes and its cell's odd gates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from weightspace import cells
from weightspace.keys import derive
from weightspace.rnn import GATE, RNN, tree_map_axes
from weightspace.types import Key, Weights


class Element(NamedTuple):
  """A group element: a signed permutation for each hidden layer.

  It moves unit `permutation[i]` to index i and multiplies it by `sign[i]`.
  """

  permutations: tuple[jax.Array, ...]  # [H] int32, each
  signs: tuple[jax.Array, ...]  # [H] float32 in {-1, 1}, each


def identity(rnn: RNN) -> Element:
  """The identity element."""
  hidden = rnn.spec.hidden
  return Element(
      tuple(jnp.arange(h, dtype=jnp.int32) for h in hidden),
      tuple(jnp.ones(h, jnp.float32) for h in hidden),
  )


def sample(key: Key, rnn: RNN, *, signed: bool = True) -> Element:
  """Samples an element uniformly; with `signed=False`, a permutation.

  Signs are 1 for cells without odd gates.
  """
  draw_signs = signed and cells.load(rnn.spec.cell).odd_gates
  permutations, signs = [], []
  for k, h in enumerate(rnn.spec.hidden):
    permutations.append(
        jax.random.permutation(derive(key, "permutation", k), h).astype(
            jnp.int32
        )
    )
    coin = jax.random.bernoulli(
        derive(key, "sign", k), jnp.float32(0.5), (h,)
    )
    sign = jnp.where(coin & bool(draw_signs), -1.0, 1.0)
    signs.append(sign.astype(jnp.float32))
  return Element(tuple(permutations), tuple(signs))


def compose(second: Element, first: Element) -> Element:
  """The element that acts as `first`, then `second`."""
  return Element(
      tuple(p[q] for p, q in zip(first.permutations, second.permutations)),
      tuple(
          s * t[q]
          for s, t, q in zip(second.signs, first.signs, second.permutations)
      ),
  )


def inverse(element: Element) -> Element:
  """The inverse of `element`."""
  inverses = tuple(jnp.argsort(p) for p in element.permutations)
  return Element(
      tuple(q.astype(jnp.int32) for q in inverses),
      tuple(s[q] for s, q in zip(element.signs, inverses)),
  )


def act(rnn: RNN, element: Element, weights: Weights) -> Weights:
  """Acts on the weights of one network, preserving its outputs.

  `act(compose(b, a), w)` equals `act(b, act(a, w))`, bit for bit.
  """
  cell = cells.load(rnn.spec.cell)
  odd = jnp.zeros(cell.gates, bool).at[jnp.array(cell.odd_gates, int)].set(True)
  units = {
      f"h{k}": pair
      for k, pair in enumerate(zip(element.permutations, element.signs))
  }

  def act_on_leaf(axes, leaf):
    for position, name in enumerate(axes):
      if name not in units:
        continue
      permutation, sign = units[name]
      leaf = jnp.take(leaf, permutation, axis=position)
      if position > 0 and axes[position - 1] == GATE:
        # Rows of gates: only those of odd gates change sign
        factor = jnp.where(odd[:, None], sign, 1.0)
        own_axes = (position - 1, position)
      else:
        factor, own_axes = sign, (position,)
      others = [axis for axis in range(leaf.ndim) if axis not in own_axes]
      factor = jnp.expand_dims(factor, others)
      leaf = leaf * factor.astype(leaf.dtype)
    return leaf

  return tree_map_axes(act_on_leaf, rnn.axes, weights)


def augment(
    key: Key, rnn: RNN, weights: Weights, *, signed: bool = True
) -> Weights:
  """Acts on the weights of one network by a random element of the group."""
  return act(rnn, sample(key, rnn, signed=signed), weights)
