"""A zoo of networks that learn by reinforcement: made, audited, compared."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adaptation
from weightspace import parallel, tasks, zoo
from weightspace.progress import Progress
from weightspace.rnn import RNNSpec, make_rnn
from zoo_gen import inspection, shards, trainer

TASK = {"arms": 2, "pulls": 6, "blind": 0.5, "eval_lives": 64}
CONFIG = {
    "family": "bandit",
    "task": TASK,
    "rnn": {"cell": "elman", "hidden": (8,)},
    "recipe": {
        "snapshot_steps": (0, 100), "learning_rates": (0.02, 0.01, 0.001),
    },
    "networks": 32, "shard_size": 32, "rollouts": 2, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("bandits") / "zoo"
  shards.generate(path, shards.plan(CONFIG), progress=Progress.silent())
  return path


@pytest.mark.slow
def test_networks_learn_what_pays(folder):
  opened = zoo.open(folder)
  accuracy = opened.columns["accuracy"]
  before, after = (np.mean(accuracy[opened.final == f]) for f in (0, 1))
  assert after > before + 0.1
  assert not inspection.inspect(folder, sample=8).problems


@pytest.mark.slow
def test_a_network_in_company_is_what_it_is_alone(folder):
  spec = zoo.open(folder).spec
  family = tasks.make("bandit", TASK)
  rnn = make_rnn(RNNSpec("elman", (8,), 3, 2))
  together = trainer.make_trainer(
      trainer.Recipe(**CONFIG["recipe"]), family, rnn, seed=spec.seed,
      rollouts=2, mesh=parallel.mesh("n", jax.devices()[:1]), group=4,
  )  # fmt: skip
  net_ids = jnp.arange(4, 8, dtype=jnp.int32)
  state = together.segment(together.init(net_ids), net_ids, 0, 100)
  alone = zoo.open(folder)  # on CPU a device trains them one by one
  chosen = alone.final & np.isin(alone.columns["net_id"], net_ids)
  np.testing.assert_allclose(
      state.vectors, alone.vectors(np.flatnonzero(chosen)),
      rtol=1e-3, atol=1e-4,
  )  # fmt: skip


@pytest.mark.slow
def test_those_that_read_rewards_are_compared_with_those_that_do_not(folder):
  opened = zoo.open(folder)
  result = adaptation.compare(opened, resamples=50)
  columns = opened.columns
  for name, reads in (("reward", 1), ("reward, baseline", 0)):
    chosen = opened.final & (columns["task"][:, -1] == reads)
    value, low, high = result[name]
    assert value == pytest.approx(np.mean(columns["reward"][chosen]), abs=1e-4)
    assert low < value < high
  gain = 100 * (result["reward"][0] / result["reward, baseline"][0] - 1)
  assert result["reward, gain in per cent"][0] == pytest.approx(gain, abs=0.1)
  json.dumps(result)
