"""Drift of codes under the symmetry group, and of encoders that see it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import encoders
from weightspace.evaluation import invariance
from weightspace.rnn import RNNSpec, make_rnn

RNN = make_rnn(RNNSpec("lstm", (4, 3), 3, 4))
NETWORKS = 7
IDS = np.array([0, 0, 1, 1, 2, 3, 3])
VECTORS = np.random.default_rng(0).standard_normal(
    (NETWORKS, RNN.size), np.float32
)
FIELDS = {
    "interactive": {
        "parallel": 2, "length": 4, "hidden": 8, "layers": 1, "decoder": 8,
        "code": 4,
    },
    "statistics": {"hidden": 8, "layers": 1, "code": 4},
    "flat": {"hidden": 8, "layers": 1, "code": 4},
}  # fmt: skip


def drift(encode, signed=False, vectors=VECTORS, seed=0, **kwargs):
  return invariance.drift(
      encode, RNN, vectors, signed=signed, seed=seed, **kwargs
  )


def of_encoder(name, signed):
  encoder = encoders.make(name, FIELDS[name], RNN, encoders.Inputs("token"))
  params = jax.jit(encoder.init)(jax.random.key(0))
  return drift(lambda weights: encoder.apply(params, weights), signed)


@pytest.mark.parametrize("signed", [False, True])
def test_who_runs_the_network_sees_nothing(signed):
  drifts = of_encoder("interactive", signed)
  assert drifts.shape == (NETWORKS,)
  assert np.max(drifts) < 1e-3  # over distances that are small themselves


@pytest.mark.slow
def test_statistics_see_signs_and_no_order():
  assert np.max(of_encoder("statistics", False)) < 1e-4
  assert np.mean(of_encoder("statistics", True)) > 1e-2


def test_who_reads_places_sees_everything():
  assert np.mean(of_encoder("flat", False)) > 0.1


def test_a_planted_encoder_is_seen_as_far_as_it_goes():
  """Its code is the network's number, and a little of an order of units."""
  numbered = VECTORS.copy()
  # A bias of the read-out that no element of the group touches
  numbered[:, -1] = 10 * np.arange(NETWORKS)

  def number(weights):
    return weights.readout.b[-1:]

  def leaky(share):
    def encode(weights):
      place = jnp.argmax(weights.layers[0].bx[0]).astype(jnp.float32)
      return jnp.stack([weights.readout.b[-1], share * place])

    return encode

  np.testing.assert_array_equal(drift(number, vectors=numbered), 0)
  drifts = drift(leaky(1e-3), vectors=numbered)
  assert 0 < np.mean(drifts) < 1e-3
  twice = drift(leaky(2e-3), vectors=numbered)
  np.testing.assert_allclose(twice, 2 * drifts, rtol=1e-4)


def test_the_unit_is_the_distance_of_two_networks():
  """Codes of two networks are all 1 apart, those of equivalents 3."""
  ids = jnp.asarray(IDS, jnp.float32)
  vectors = VECTORS.copy()
  vectors[:, -1] = IDS
  biases = jnp.asarray(VECTORS[:, : RNN.size])
  first = jax.vmap(lambda v: RNN.unflatten(v).layers[0].bx[0, 0])(biases)

  def encode(weights):
    number = weights.readout.b[-1]
    known = jnp.any(weights.layers[0].bx[0, 0] == first)
    code = jax.nn.one_hot(jnp.sum(ids < number), NETWORKS) / 2**0.5
    return jnp.append(code, jnp.where(known, 0.0, 3.0))

  drifts = drift(encode, vectors=vectors, net_ids=IDS)
  assert set(np.round(drifts, 5)) == {0.0, 3.0}
  # Snapshots of one network, were they two, would be nearer
  assert np.max(drift(encode, vectors=vectors)) > 3.1


@pytest.mark.slow
def test_the_weights_themselves_move_like_those_of_another_network():
  drifts = drift(None, signed=True, batch=3)
  # Of independent weights, reordered ones are nearly as far as any others
  assert 0.6 < np.mean(drifts) < 1.1
  np.testing.assert_allclose(
      drifts, drift(None, signed=True, batch=7), rtol=1e-6
  )
  assert np.any(drifts != drift(None, signed=True, seed=1))


def test_a_code_that_is_always_the_same_has_no_drift():
  assert np.isnan(drift(lambda weights: jnp.ones(2))).all()


def test_one_network_is_refused():
  with pytest.raises(ValueError, match="these 3 are of fewer than two netw"):
    drift(None, vectors=VECTORS[:3], net_ids=np.ones(3))
