"""What a loaded encoder says, of networks like its zoo's and of others."""

import inspect

import jax
import numpy as np
import pytest

from tests.pretrained import example
from weightspace import symmetry
from weightspace.cells import elman, gru
from weightspace.rnn import RNNSpec, make_rnn

OTHERS = RNNSpec("gru", (5,), 6, 6), RNNSpec("lstm", (4, 2), 6, 6)


@pytest.fixture(scope="module")
def probing():
  return example.make()


@pytest.mark.parametrize("shape", (example.SHAPES[1], *OTHERS))
def test_networks_of_any_cell_and_size(probing, shape):
  rnn, weights = make_rnn(shape), example.batch(shape, 16)
  codes = probing.embed_batch(weights)
  assert codes.shape == (16, 4) and codes.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
  apart = codes[:, None] - codes
  assert np.abs(apart).max(axis=-1)[~np.eye(16, dtype=bool)].min() > 1e-5

  keys = jax.random.split(jax.random.key(5), 16)
  twins = jax.jit(
      jax.vmap(lambda key, one: symmetry.augment(key, rnn, one))
  )(keys, weights)
  assert not np.allclose(twins.layers[0].wh, weights.layers[0].wh)
  np.testing.assert_allclose(probing.embed_batch(twins), codes, atol=1e-5)

  note = probing.outside(shape)
  if shape.cell == "gru":
    assert "this network is GRU of 1 layer of 5 units" in note
    assert "LSTM and RNN of 1 to 2 layers of 2 to 4 units" in note
  else:
    assert note is None  # a cell, a depth and widths of the zoo's range


def test_codes_are_those_of_the_encoder(probing):
  """On a GRU, that no network of its zoo is."""
  shape = OTHERS[0]
  weights = example.weights(shape)
  encoder = probing.encoder_of(shape)
  result = probing.examine(weights)
  assert result.shape == shape
  np.testing.assert_allclose(
      result.code, jax.jit(encoder.apply)(probing.params, weights), atol=1e-6
  )
  transcript = probing.transcript(weights)
  assert transcript.probes.shape == (3, 2, 6)
  answers = make_rnn(shape).unroll(weights, transcript.probes)
  np.testing.assert_allclose(transcript.answers, answers, atol=1e-5)


def test_an_encoder_that_reads_weights_takes_those_of_its_zoo_only():
  encoder = example.make(example.READING, example.SHAPES[:1])
  weights = example.weights(example.SHAPES[0])
  assert encoder.outside(example.SHAPES[0]) is None
  with pytest.raises(ValueError, match=r"of 3 units; this one is GRU of"):
    encoder.embed(example.weights(OTHERS[0]))
  with pytest.raises(ValueError, match="reads weights and probes nothing"):
    encoder.transcript(weights)


def _changed(name, change):
  weights = example.weights(example.SHAPES[0])
  layer = weights.layers[0]
  return weights._replace(
      layers=(layer._replace(**{name: change(getattr(layer, name))}),)
  )


@pytest.mark.parametrize(
    "weights, message",
    [
        (
            example.weights(RNNSpec("gru", (3,), 5, 6)),
            "5 inputs and 6 outputs, the encoder is of networks with 6 inputs",
        ),
        (
            example.weights(RNNSpec("gru", (3,), 6, 7)),
            "6 inputs and 7 outputs, the encoder is of networks with 6",
        ),
        (_changed("bx", lambda b: b[:, :2]), r"bx has shape \(4, 2\), exp"),
        (_changed("wh", lambda w: w * np.nan), "layers/0/wh is not finite"),
        (_changed("wh", lambda w: w[:2]), "2 gates .* no cell that is known"),
        (_changed("bh", lambda b: None), "1 layers in a Weights"),
        (_changed("bh", lambda b: b.astype(int)), "bh has dtype int"),
        ({"a": np.zeros(3)}, "expected the weights of a network, .* got dict"),
    ],
)
def test_what_does_not_fit_is_refused(probing, weights, message):
  with pytest.raises(ValueError, match=message):
    probing.embed(weights)


def test_the_cell_is_inferred_where_it_can_be(probing, plant):
  """One of the zoo's, or else the only one with so many gates."""
  plant("weightspace.cells", "rival", inspect.getsource(elman))
  plant("weightspace.cells", "opponent", inspect.getsource(gru))
  assert probing.shape_of(example.weights(example.SHAPES[1])).cell == "elman"
  weights = example.weights(OTHERS[0])
  with pytest.raises(ValueError, match="gru or opponent; pass rnn too"):
    probing.embed(weights)
  assert probing.encoder_of(OTHERS[0]).transcript is not None


def test_what_is_predicted_is_what_the_heads_say(probing):
  code = probing.reference.codes[3]
  accuracy, task = probing.predict(code)
  heads, classes = (
      e.outputs(probing.scope, code[None])[:, 0] for e in probing.ensembles
  )
  assert heads.shape == (example.MEMBERS, 1)
  assert accuracy.labels == ("accuracy",) and accuracy.probabilities is None
  np.testing.assert_allclose(accuracy.value, heads.mean(axis=0), rtol=1e-5)
  deviation = np.sqrt(np.sum((heads - heads.mean(axis=0)) ** 2, axis=0) / 2)
  np.testing.assert_allclose(accuracy.spread, 2 * deviation, rtol=1e-4)

  assert task.labels == ("m_b", "m_c", "m_d")
  assert task.classes == (-3, -2, -1, 0, 1, 2)
  assert classes.shape == (example.MEMBERS, 3, 6)
  np.testing.assert_allclose(classes.sum(axis=-1), 1, rtol=1e-5)
  np.testing.assert_allclose(task.probabilities, classes.mean(axis=0))
  likeliest = task.probabilities.argmax(axis=-1)
  np.testing.assert_array_equal(task.value, likeliest - 3)
  assert np.all(task.spread > 0)


def test_the_nearest_networks(probing):
  table = probing.reference
  nearest = probing.nearest(table.codes[5], 3)
  assert (nearest[0].net_id, nearest[0].step) == (1, 100)
  assert nearest[0].distance == pytest.approx(0, abs=1e-6)
  assert nearest[0].shape == example.SHAPES[1]
  assert nearest[0].description == "a^n b^(n+1) c^(n-1) d^(n+2)"
  assert nearest[0].task == (1.0, -1.0, 2.0)
  distances = 1 - table.codes @ table.codes[5]
  np.testing.assert_allclose(
      [n.distance for n in nearest], np.sort(distances)[:3], atol=1e-6
  )
  distances = table.nearest_distances()
  others = table.net_id != table.net_id[5]
  assert len(distances) == example.ROWS
  assert np.isclose(distances, distances[others].min()).any()


def test_without_heads_and_table():
  constant = {"name": "constant", "code": 4}
  encoder = example.make(constant, example.SHAPES[:1], with_heads=False)
  result = encoder.examine(example.weights(example.SHAPES[0]))
  assert result[-5:] == (None, (), (), None, None)
