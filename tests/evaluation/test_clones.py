"""Clones do what networks do, where the emulator knows how."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import digits
from weightspace import emulator, tasks, zoo
from weightspace.evaluation import clones, codes
from weightspace.evaluation.emulation import emulator_of
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training import model as model_lib
from weightspace.training.config import parse
from weightspace.training.pretrain import Pretrained

pytestmark = pytest.mark.slow

FAMILIES = {
    "formal_language": {
        "length": 10, "max_n": 2, "shift_min": -1, "shift_max": 1,
        "eval_strings": 400, "eval_batch": 4,
    },
    "tiled_mnist": {"digits": digits.dataset(), "eval_images": 12},
}  # fmt: skip
HIDDEN, NETWORKS, Z = 3, 4, 5


def padded(leaf, shape):
  return jnp.pad(leaf, [(0, n - m) for n, m in zip(shape, leaf.shape)])


def imitator(spec):
  """A network, a larger emulator, and the params with which both are one.

  The emulator's other units get no input and no bias: they stay 0.
  """
  width = max(spec.inputs, HIDDEN) + 1
  rnn = make_rnn(RNNSpec("gru", (HIDDEN,), spec.inputs, spec.outputs))
  model = emulator.make(
      emulator.Config("gru", hidden=width, layers=1),
      code=Z, inputs=spec.inputs, outputs=spec.outputs,
  )  # fmt: skip
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  identity = jnp.eye(spec.inputs, width)

  def params(weights):
    return {
        "embedding": identity,
        "code": jnp.zeros((Z, width)),
        "rnn": jax.tree.map(
            lambda leaf, like: padded(leaf, like.shape), weights, shapes["rnn"]
        ),
    }

  return rnn, model, params


def often_last(weights):
  """Answers the last class often: EOS, so that empty strings are written."""
  readout = weights.readout
  bias = readout.b.at[-1].add(4.0)
  return weights._replace(readout=readout._replace(b=bias))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_emulator_that_is_the_network_does_as_well(name):
  family = tasks.make(name, FAMILIES[name])
  rnn, model, params = imitator(family.spec)
  measure = clones.make_performance(model, family)
  keys = jax.random.split(jax.random.key(1), NETWORKS)
  its_tasks = jnp.stack([family.sample_task(key) for key in keys])
  if name == "formal_language":
    its_tasks = jnp.zeros_like(its_tasks)  # the empty string is in it
  original = jax.jit(
      lambda weights: jax.vmap(
          lambda task, key: family.performance(key, task, rnn, weights)
      )(its_tasks, keys)
  )
  accuracies = []
  for seed in range(3):
    weights = often_last(
        jax.tree.map(lambda leaf: 3 * leaf, rnn.init(jax.random.key(seed)))
    )
    codes_ = jnp.zeros((NETWORKS, Z))
    metrics = measure(params(weights), codes_, its_tasks, keys)
    expected = original(weights)
    assert set(metrics) == set(family.spec.metric_names)
    for metric, values in expected.items():
      np.testing.assert_allclose(
          metrics[metric], values, rtol=1e-4, atol=3e-3, err_msg=metric
      )
    accuracies.append(expected["accuracy"])
  assert np.ptp(accuracies) > 0.02  # or it would be no wonder


def test_steps_equal_the_emulator_and_condition_once():
  model = emulator.make(
      emulator.Config("lstm", hidden=6, layers=2), code=Z, inputs=4, outputs=3
  )
  params = jax.jit(model.init)(jax.random.key(0))
  random = np.random.default_rng(0)
  code = random.standard_normal(Z, np.float32)
  xs = random.standard_normal((7, 2, 4), np.float32)
  clone = clones.make_clone(model)
  weights = (params, code)

  @jax.jit
  def stepped(weights, xs):
    return jax.lax.scan(
        lambda state, x: clone.step(weights, state, x),
        clone.initial_state((2,)), xs,
    )[1]  # fmt: skip

  together = jax.jit(clone.unroll)(weights, xs)
  np.testing.assert_allclose(
      stepped(weights, xs), together, rtol=1e-5, atol=1e-6
  )
  # Conditioning at the second step differs from conditioning at the first
  shifted = jax.jit(clone.unroll)(weights, xs[1:])
  assert np.max(np.abs(shifted - together[1:])) > 1e-3
  other = stepped((params, 2 * code), xs)
  assert np.max(np.abs(other - together)) > 1e-3


@pytest.fixture(scope="module")
def pretrained(tiny_zoo):
  zoo_ = zoo.open(tiny_zoo)
  family = tasks.make(zoo_.spec.family, zoo_.spec.family_config)
  config = parse({
      "encoder": {"name": "statistics", "hidden": 8, "layers": 1, "code": Z},
      "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
  })  # fmt: skip
  model = model_lib.make(
      zoo_.rnns, family, zoo_.spec.snapshot_steps, config
  )
  params = jax.jit(model.init)(jax.random.key(0))
  params["emulator"]["rnn"] = often_last(params["emulator"]["rnn"])
  params["emulator"]["code"] = 10 * params["emulator"]["code"]
  return zoo_, family, Pretrained(config, model, params, 0, [])


def test_rows_of_a_zoo_are_cloned_each_by_its_own_code(pretrained):
  zoo_, family, run = pretrained
  centre = np.flatnonzero((zoo_.columns["task"] == 0).all(axis=1))
  rows = np.concatenate([centre, [7, 3, 40, 20, 50]])
  assert len(centre)  # rows whose language has the empty string
  measured = clones.measure(zoo_, run, rows, seed=0, batch=4)
  np.testing.assert_array_equal(
      measured["original"], zoo_.columns["accuracy"][rows]
  )
  # Neither order nor company matters
  other = clones.measure(zoo_, run, rows[::-1], seed=0, batch=3)
  np.testing.assert_allclose(other["clone"], measured["clone"][::-1], atol=0.06)
  assert np.ptp(measured["clone"][: len(centre)]) > 0.15
  # Each is what it is alone, but for what is drawn
  performance = clones.make_performance(emulator_of(run), family)
  its_codes = codes.of_zoo(zoo_, run)[rows]
  alone = performance(
      run.params["emulator"], its_codes, zoo_.columns["task"][rows],
      jax.random.split(jax.random.key(5), len(rows)),
  )["accuracy"]  # fmt: skip
  np.testing.assert_allclose(measured["clone"], alone, atol=0.5)
  assert np.mean(np.abs(measured["clone"] - alone)) < 0.15
  with pytest.raises(ValueError, match="no rows to clone"):
    clones.measure(zoo_, run, rows[:0], seed=0)


def test_agreement():
  random = np.random.default_rng(0)
  x = random.random(50)
  y = 0.5 * x + 0.1 * random.random(50)
  expected = scipy.stats.pearsonr(x, y)[0]
  assert clones.correlation(x, y) == pytest.approx(expected)
  assert clones.correlation(x, 1 - x) == pytest.approx(-1)
  assert np.isnan(clones.correlation(x, np.ones(50)))
  assert clones.mean_absolute_error(x, x + 0.25) == pytest.approx(0.25)
  assert clones.mean_absolute_error([0, 1], [1, 0]) == 1


def test_a_clone_of_the_step_alone_correlates_across_steps_only():
  generator = np.random.default_rng(0)
  steps = np.repeat([0, 100, 500], 40)
  means = np.repeat([0.0, 0.5, 0.9], 40)
  accuracies = means + 0.02 * generator.normal(size=120)
  assert clones.correlation(accuracies, means) > 0.9
  assert np.isnan(clones.correlation_within(accuracies, means, steps))
  noisy = accuracies + 0.01 * generator.normal(size=120) + 0.1 * (steps == 100)
  assert 0.7 < clones.correlation_within(accuracies, noisy, steps) < 0.98
