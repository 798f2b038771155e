"""Layers equivariant to the symmetry of an RNN: what commutes with what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, encoders, symmetry
from weightspace.encoders import _equivariant, _fields
from weightspace.rnn import RNNSpec, make_rnn

CHANNELS = 4
VARIANTS = [
    ("lstm", (4, 3), "signed", "maximal"),
    ("gru", (4,), "permutation", "maximal"),
    ("elman", (4, 3), "signed", "paper"),
]


@functools.cache
def rnn_of(cell, hidden=(4, 3)):
  return make_rnn(RNNSpec(cell, hidden, 3, 2))


def weights_of(rnn, seed=0):
  """Weights large enough for signs and places to matter."""
  return jax.tree.map(
      lambda leaf: 2 * leaf, jax.jit(rnn.init)(jax.random.key(seed))
  )


def moved(element, fields):
  """Fields as a group element leaves them; what layers must commute with."""

  def move(key, x):
    for place, (name, parity) in enumerate(key):
      if name.startswith("h"):
        layer = int(name[1:])
        x = jnp.take(x, element.permutations[layer], axis=place)
        if parity == _fields.ODD:
          sign = element.signs[layer]
          others = [axis for axis in range(x.ndim) if axis != place]
          x = x * jnp.expand_dims(sign, others)
    return x

  return {key: move(key, x) for key, x in fields.items()}


def difference(a, b):
  """The largest difference of two dicts of fields."""
  assert a.keys() == b.keys()
  return max(float(jnp.max(jnp.abs(a[key] - b[key]))) for key in a)


def element_of(rnn, signed):
  return symmetry.sample(jax.random.key(7), rnn, signed=signed)


@pytest.mark.parametrize("cell, signed", [
    ("lstm", False), ("lstm", True), *(
        pytest.param(cell, True, marks=pytest.mark.slow)
        for cell in cells.names() if cell != "lstm"
    ),
])  # fmt: skip
def test_the_group_moves_fields_by_their_keys(cell, signed):
  rnn = rnn_of(cell)
  weights, g = weights_of(rnn), element_of(rnn, signed)
  read = functools.partial(_fields.fields, rnn, signed=signed)
  a = moved(g, read(weights))
  assert difference(a, read(symmetry.act(rnn, g, weights))) == 0
  assert difference(a, read(weights)) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("cell, hidden, variant, basis", VARIANTS)
def test_layers_are_equivariant(cell, hidden, variant, basis):
  rnn, signed = rnn_of(cell, hidden), variant == "signed"
  g = element_of(rnn, signed)
  fields = _fields.fields(rnn, weights_of(rnn), signed=signed)
  lift, layer = _equivariant.Lift(CHANNELS), _equivariant.Layer(CHANNELS, basis)

  @jax.jit
  def both(fields):
    lifted, params = lift.init_with_output(jax.random.key(1), fields)
    assert params
    after, _ = layer.init_with_output(jax.random.key(2), lifted)
    return lifted, after

  for x, y in zip(both(fields), both(moved(g, fields))):
    assert difference(moved(g, x), y) < 1e-4
    assert difference(x, y) > 1e-2


@pytest.mark.slow
def test_signed_codes_are_invariant():
  rnn = rnn_of("elman", (4,))
  encoder = _encoder(rnn, "maximal", "signed")
  params = jax.jit(encoder.init)(jax.random.key(0))
  apply = jax.jit(encoder.apply)
  weights = weights_of(rnn)
  code = apply(params, weights)
  same = symmetry.act(rnn, element_of(rnn, signed=True), weights)
  np.testing.assert_allclose(apply(params, same), code, atol=1e-5)
  # One recurrent weight negated changes no absolute value, but the code
  (layer,) = weights.layers
  layer = layer._replace(wh=layer.wh.at[0, 1, 2].multiply(-1))
  other = apply(params, weights._replace(layers=(layer,)))
  assert np.max(np.abs(other - code)) > 1e-4


def _encoder(rnn, basis, variant="permutation"):
  fields = {
      "channels": CHANNELS, "layers": 1, "hidden": 8, "basis": basis,
      "symmetry": variant,
  }  # fmt: skip
  return encoders.make("dws", fields, rnn, encoders.Inputs("token"))


@pytest.mark.slow
def test_the_maximal_basis_sees_what_the_papers_cannot():
  """Units that excite one another in one cycle of four, or in two of two.

  In both every unit has one input and one output, so that all means agree; but
  only in cycles of two is a unit's input also its output.
  """
  rnn = rnn_of("elman", (4,))
  blank = rnn.unflatten(jnp.zeros(rnn.size))

  def cycle(inputs):
    layer = blank.layers[0]._replace(wh=jnp.eye(4)[jnp.array(inputs)][None])
    return blank._replace(layers=(layer,))

  def apart(basis):
    encoder = _encoder(rnn, basis)
    params = jax.jit(encoder.init)(jax.random.key(0))
    apply = jax.jit(encoder.apply)
    one, two = (apply(params, cycle(inputs)) for inputs in CYCLES)
    return float(jnp.max(jnp.abs(one - two)))

  assert apart("paper") < 1e-6
  assert apart("maximal") > 1e-3


CYCLES = [1, 2, 3, 0], [1, 0, 3, 2]


def test_work_grows_slower_than_the_square_of_the_number_of_leaves():
  def count(layers):
    rnn = rnn_of("elman", (2,) * layers)
    encoder = _encoder(rnn, "maximal", "signed")
    weights = jax.eval_shape(rnn.init, jax.random.key(0))
    params = jax.eval_shape(encoder.init, jax.random.key(0))
    text = str(jax.make_jaxpr(encoder.apply)(params, weights))
    return text.count("\n")

  few, many = count(2), count(8)
  assert many < 4.5 * few


def test_sizes_of_the_two_bases():
  """A layer of one square matrix: four maps of the paper's, fifteen in all."""

  def maps(basis):
    key = (("h0", _fields.EVEN), ("h0", _fields.EVEN))
    x = {key: jnp.ones((3, 3, 1))}
    params = _equivariant.Layer(1, basis).init(jax.random.key(0), x)
    biases = 1 if basis == "paper" else 2  # everywhere, and on the diagonal
    return sum(leaf.size for leaf in jax.tree.leaves(params)) - biases

  assert maps("paper") == 1 + 2 + 2 + 1
  assert maps("maximal") == 15
