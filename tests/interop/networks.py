"""Networks of any cell, depth and widths, for properties of conversions."""

import jax
import numpy as np
from hypothesis import strategies as st

from weightspace.rnn import RNNSpec, make_rnn

CELLS = ("lstm", "gru", "elman")


@st.composite
def networks(draw, equal_widths=False, most=3):
  """(RNN, weights) of few units; numbers include zeros of either sign."""
  depth = draw(st.integers(1, 3))
  widths = st.integers(1, most)
  hidden = [draw(widths)] * depth
  if not equal_widths:
    hidden = draw(st.lists(widths, min_size=depth, max_size=depth))
  cell, inputs, outputs = (
      draw(st.sampled_from(CELLS)), draw(widths), draw(widths)
  )
  rnn = make_rnn(RNNSpec(cell, tuple(hidden), inputs, outputs))
  return rnn, fill(rnn, draw(st.integers(0, 2**16)))


def fill(rnn, seed):
  generator = np.random.default_rng(seed)

  def leaf(shape):
    array = generator.standard_normal(shape).astype(np.float32)
    array[generator.random(shape) < 0.2] *= 0
    return array

  return jax.tree.map(leaf, rnn.shapes, is_leaf=_is_shape)


def _is_shape(x):
  return type(x) is tuple and not any(isinstance(item, tuple) for item in x)


def assert_same_bits(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    x, y = np.asarray(x), np.asarray(y)
    assert x.dtype == y.dtype == np.float32
    assert x.shape == y.shape and x.tobytes() == y.tobytes()
