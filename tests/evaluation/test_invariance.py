"""Drift of codes under the symmetry group, and of encoders that see it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import encoders, tasks, zoo
from weightspace.evaluation import invariance
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training import emulation
from weightspace.training.pretrain import Pretrained

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


def drift(apply, params, signed, **kwargs):
  return invariance.measure(
      apply, params, RNN, VECTORS, IDS, signed=signed, seed=0, **kwargs
  )


def of_encoder(name, signed):
  encoder = encoders.make(name, FIELDS[name], RNN, "token")
  params = jax.jit(encoder.init)(jax.random.key(0))
  return drift(encoder.apply, params, signed)


@pytest.mark.parametrize("signed", [False, True])
def test_who_runs_the_network_sees_nothing(signed):
  found = of_encoder("interactive", signed)
  assert found.moved.shape == found.apart.shape == (NETWORKS,)
  assert np.max(found.moved) < 1e-5
  assert np.min(found.apart) > 1e-3


def test_statistics_see_signs_and_no_order():
  ordered, signed = (of_encoder("statistics", s) for s in (False, True))
  assert np.max(ordered.moved) < 1e-5
  assert np.mean(signed.moved) > 1e-3
  np.testing.assert_array_equal(ordered.apart, signed.apart)


def test_who_reads_places_sees_everything():
  assert np.mean(of_encoder("flat", False).moved) > 1e-2


def test_a_planted_encoder_is_seen_as_far_as_it_goes():
  """Its code is what it is, or the place of the unit with most bias."""

  def apply(params, weights):
    place = jnp.argmax(weights.layers[0].bx[0]).astype(jnp.float32)
    return jnp.stack([params * place, jnp.float32(0)])

  found = drift(apply, jnp.float32(1), False)
  assert np.all(found.moved == np.round(found.moved))
  assert 0 < np.mean(found.moved) <= 3
  twice = drift(apply, jnp.float32(2), False)
  np.testing.assert_array_equal(twice.moved, 2 * found.moved)
  np.testing.assert_array_equal(twice.apart, 2 * found.apart)
  of_tasks = IDS[:, None]
  ratios = [
      invariance.ratio([d], of_tasks, resamples=50) for d in (found, twice)
  ]
  assert ratios[0] == ratios[1]
  expected = found.moved.mean() / found.apart.mean()
  assert ratios[0].value == pytest.approx(expected)


def test_the_weights_themselves_move_like_those_of_another_network():
  found = drift(lambda params, w: RNN.flatten(w), {}, True, batch=3)
  # Of independent weights, reordered ones are nearly as far as any others
  assert 0.6 < invariance.ratio([found], IDS[:, None]).value < 1.1
  again = drift(lambda params, w: RNN.flatten(w), {}, True, batch=7)
  np.testing.assert_allclose(found.moved, again.moved, rtol=1e-6)


def test_snapshots_of_one_network_are_not_two_networks():
  """Codes that only say which network it is: all others are 1 apart."""
  ids = jnp.asarray(IDS, jnp.float32)
  vectors = VECTORS.copy()
  vectors[:, 0] = ids

  def apply(params, weights):
    number = RNN.flatten(weights)
    return jax.nn.one_hot(jnp.sum(number[:1] >= ids) - 1, NETWORKS)

  found = invariance.measure(
      lambda p, w: apply(p, w) / np.sqrt(2).astype(np.float32), {}, RNN,
      vectors, IDS, signed=False, seed=3,
  )  # fmt: skip
  np.testing.assert_allclose(found.apart, 1, rtol=1e-6)


def test_a_code_that_is_always_the_same_has_no_ratio():
  found = drift(lambda params, w: jnp.ones(2), {}, False)
  assert np.isnan(invariance.ratio([found], IDS[:, None])).all()


def test_one_network_is_refused():
  with pytest.raises(ValueError, match="3 rows are of fewer than two netw"):
    invariance.measure(
        None, {}, RNN, VECTORS[:3], np.ones(3), signed=True, seed=0
    )


def test_rows_of_a_zoo(tiny_zoo):
  source = zoo.open(tiny_zoo)
  family = tasks.make(source.spec.family, source.spec.family_config)
  rows = np.array([50, 2, 31, 8])
  model = emulation.make_model(
      source.rnns, family,
      {
          "encoder": {"name": "flat", **FIELDS["flat"]},
          "emulator": {"cell": "gru", "hidden": 4, "layers": 1},
      },
  )  # fmt: skip
  params = jax.jit(model.init)(jax.random.key(0))
  pretrained = Pretrained(model, params, 0, [])
  codes = invariance.of_zoo(source, pretrained, rows, signed=False, seed=0)
  weights = invariance.of_zoo(source, None, rows, signed=False, seed=0)
  assert np.all(codes.moved > 0)
  assert np.all(codes.apart <= 2)  # codes have length 1
  vectors = source.vectors(rows)
  distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
  assert np.all(weights.apart <= distances.max(axis=1) * 1.0001)
  assert np.all(weights.apart > 0)
  # A permutation cannot move further than twice the length
  assert np.all(weights.moved <= 2 * np.linalg.norm(vectors, axis=1))
