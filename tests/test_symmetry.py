"""The group acting on weights: outputs stay, its laws hold exactly."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace import cells, symmetry
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.types import Layer, Linear, Weights

STEPS = 20
SHAPES = ((4, 7), (1, 3, 2))
SPECS = [RNNSpec(c, h, 3, 4) for c in cells.names() for h in SHAPES]

specs = st.sampled_from(SPECS)
seeds = st.integers(0, 2**31 - 1)


def _random(shape, seed):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _weights(rnn, seed, networks=()):
  vector = _random((*networks, rnn.size), seed) / 2
  return jax.vmap(rnn.unflatten)(vector) if networks else rnn.unflatten(vector)


# Compiled once per shape, however many examples are drawn.
@functools.cache
def _outputs_before_and_after(spec):
  rnn = make_rnn(spec)

  def outputs(key, weights, xs):
    moved = symmetry.act(rnn, symmetry.sample(key, rnn), weights)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), weights, moved)
    return jax.vmap(rnn.unroll, (0, None))(both, xs)

  return jax.jit(outputs)


def _equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def check_outputs_stay(spec, seed):
  """A random element leaves the outputs of a random network as they are."""
  before, after = _outputs_before_and_after(spec)(
      jax.random.key(seed),
      _weights(make_rnn(spec), seed),
      _random((STEPS, 2, spec.inputs), seed + 1),
  )
  np.testing.assert_allclose(after, before, rtol=0, atol=1e-5)


@given(specs, seeds)
def test_outputs_stay(spec, seed):
  check_outputs_stay(spec, seed)


LSTM = "from weightspace.cells.lstm import CELL as LSTM\n"
GRU = "from weightspace.cells.gru import CELL as GRU\n"
RELU = """
import jax
from weightspace.cells.elman import CELL as ELMAN
CELL = ELMAN._replace(activate=jax.nn.relu)
"""


BROKEN = {
    "lstm, input gate": LSTM + "CELL = LSTM._replace(odd_gates=(0,))",
    "lstm, one too many": LSTM + "CELL = LSTM._replace(odd_gates=(2, 3))",
    "gru, update gate": GRU + "CELL = GRU._replace(odd_gates=(1,))",
    "relu": RELU,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_wrong_odd_gates_are_noticed(plant, name):
  module = re.sub(r"\W+", "_", name)
  plant("weightspace.cells", module, BROKEN[name])
  with pytest.raises(AssertionError):
    check_outputs_stay(RNNSpec(module, (4, 7), 3, 4), 0)


def test_a_cell_without_odd_gates_is_permuted_only(plant):
  plant(
      "weightspace.cells", "even", RELU + "CELL = CELL._replace(odd_gates=())"
  )
  spec = RNNSpec("even", (4, 7), 3, 4)
  check_outputs_stay(spec, 0)
  element = symmetry.sample(jax.random.key(0), make_rnn(spec))
  assert all(np.all(sign == 1) for sign in element.signs)


def _elements(hidden, seed, count):
  random = np.random.default_rng(seed)
  return [
      symmetry.Element(
          tuple(random.permutation(h).astype(np.int32) for h in hidden),
          tuple(
              random.choice(np.array([-1, 1], np.float32), h) for h in hidden
          ),
      )
      for _ in range(count)
  ]


@given(seeds)
def test_elements_are_a_group(seed):
  rnn = make_rnn(RNNSpec("lstm", (1, 5, 3), 3, 4))
  a, b, c = _elements(rnn.spec.hidden, seed, 3)
  one = symmetry.identity(rnn)
  compose, inverse = symmetry.compose, symmetry.inverse
  _equal(compose(one, a), a)
  _equal(compose(a, one), a)
  _equal(compose(inverse(a), a), one)
  _equal(compose(a, inverse(a)), one)
  _equal(compose(c, compose(b, a)), compose(compose(c, b), a))
  _equal(inverse(compose(b, a)), compose(inverse(a), inverse(b)))


@functools.cache
def _action_laws(spec):
  rnn = make_rnn(spec)

  def laws(a, b, weights):
    def act(element, weights):
      return symmetry.act(rnn, element, weights)

    moved = act(a, weights)
    return {
        "identity": (act(symmetry.identity(rnn), weights), weights),
        "composition": (act(symmetry.compose(b, a), weights), act(b, moved)),
        "inverse": (act(symmetry.inverse(a), moved), weights),
    }

  return jax.jit(laws)


@given(st.sampled_from(cells.names()), seeds)
def test_weights_are_acted_on_exactly(cell, seed):
  spec = RNNSpec(cell, (4, 3), 3, 2)
  a, b = _elements(spec.hidden, seed, 2)
  weights = _weights(make_rnn(spec), seed)
  for left, right in _action_laws(spec)(a, b, weights).values():
    _equal(left, right)


@pytest.mark.parametrize("cell", cells.names())
def test_states_follow_the_units(cell):
  """Unit i of the new network is sign[i] times unit permutation[i]."""
  rnn = make_rnn(RNNSpec(cell, (4, 7), 3, 4))
  weights, xs = _weights(rnn, 0), _random((STEPS, 3), 1)
  element = symmetry.sample(jax.random.key(0), rnn)
  step = jax.jit(rnn.step)

  def last_state(weights):
    state = rnn.initial_state()
    for x in xs:
      state, _ = step(weights, state, x)
    return state

  moved = [
      jax.tree.map(lambda leaf, p=p, s=s: s * leaf[p], layer)
      for layer, p, s in zip(last_state(weights), *element)
  ]
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
      last_state(symmetry.act(rnn, element, weights)),
      tuple(moved),
  )


@pytest.mark.parametrize(
    "cell, odd", [("lstm", "..s."), ("gru", "..s"), ("elman", "s")]
)
def test_act_by_hand(cell, odd):
  """Against numpy, written out for two layers."""
  rnn = make_rnn(RNNSpec(cell, (2, 3), 2, 1))
  random = np.random.default_rng(0)
  w = jax.tree.map(
      lambda shape: random.integers(1, 99, shape).astype(np.float32),
      rnn.shapes,
      is_leaf=lambda x: type(x) is tuple and type(x[0]) is int,
  )
  p, q = np.array([1, 0]), np.array([2, 0, 1])
  s = np.array([-1, 1], np.float32)
  t = np.array([1, -1, -1], np.float32)
  element = symmetry.Element((jnp.array(p), jnp.array(q)), (s, t))

  def rows(leaf, permutation, sign):
    gates = []
    for gate, kind in zip(leaf, odd, strict=True):
      factor = sign if kind == "s" else np.ones_like(sign)
      shape = (-1,) + (1,) * (gate.ndim - 1)
      gates.append(gate[permutation] * factor.reshape(shape))
    return np.stack(gates)

  expected = Weights(
      (
          Layer(
              rows(w.layers[0].wx, p, s),
              rows(w.layers[0].wh, p, s)[:, :, p] * s,
              rows(w.layers[0].bx, p, s),
              rows(w.layers[0].bh, p, s),
          ),
          Layer(
              rows(w.layers[1].wx, q, t)[:, :, p] * s,
              rows(w.layers[1].wh, q, t)[:, :, q] * t,
              rows(w.layers[1].bx, q, t),
              rows(w.layers[1].bh, q, t),
          ),
      ),
      Linear(w.readout.w[:, q] * t, w.readout.b),
  )
  _equal(symmetry.act(rnn, element, w), expected)


@pytest.mark.parametrize("cell", cells.names())
def test_sample_covers_the_group(cell):
  rnn = make_rnn(RNNSpec(cell, (3, 2), 3, 4))
  keys = jax.random.split(jax.random.key(0), 1000)

  @functools.partial(jax.jit, static_argnames="signed")
  def sample(signed):
    return jax.vmap(lambda k: symmetry.sample(k, rnn, signed=signed))(keys)

  def distinct(*arrays):
    return len(np.unique(np.concatenate(arrays, axis=1), axis=0))

  element = sample(signed=True)
  for p, s in zip(*element):
    assert p.dtype == jnp.int32 and s.dtype == jnp.float32
  signs = 2**3 * 2**2 if cells.load(cell).odd_gates else 1
  assert distinct(*element.permutations) == 6 * 2
  assert distinct(*element.signs) == signs
  # the layers are independent of one another, and signs of permutations
  assert distinct(element.permutations[0], element.signs[0]) == (
      6 * (2**3 if signs > 1 else 1)
  )
  assert all(np.all(s == 1) for s in sample(signed=False).signs)


def test_augment_under_vmap():
  rnn = make_rnn(RNNSpec("lstm", (7,), 3, 4))
  weights = _weights(rnn, 0, networks=(3,))
  augmented = jax.jit(
      jax.vmap(lambda k, w: symmetry.augment(k, rnn, w))
  )(jax.random.split(jax.random.key(0), 3), weights)
  assert jax.tree.map(jnp.shape, augmented) == jax.tree.map(jnp.shape, weights)
  wx = augmented.layers[0].wx
  assert np.all(np.any(wx != weights.layers[0].wx, axis=(1, 2, 3)))

  unroll = jax.jit(jax.vmap(rnn.unroll, (0, None)))
  xs = _random((STEPS, 3), 1)
  np.testing.assert_allclose(
      unroll(augmented, xs), unroll(weights, xs), rtol=0, atol=1e-5
  )
