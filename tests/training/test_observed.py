"""Codes that no step of training makes of weights: truth, observations."""

import jax
import numpy as np
import pytest

from weightspace import parallel, properties, tasks, zoo
from weightspace.evaluation import emulation as evaluation
from weightspace.progress import Progress
from weightspace.training import encoding, pretrain

pytestmark = pytest.mark.slow

CONFIG = {
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 1e-2},
    "emulation": {"steps": 20, "batch": 8, "validate_every": 10},
}
WATCHING = {**CONFIG, "encoder": {"name": "watching", "parallel": 3, "code": 4}}


@pytest.fixture(scope="module")
def zoo_(tiny_zoo):
  return zoo.open(tiny_zoo)


def train(zoo_, config, folder):
  return pretrain.pretrain(
      zoo_, config, folder, progress=Progress.silent()
  )


@pytest.fixture(scope="module")
def once(zoo_, tmp_path_factory):
  """What is trained where each network is observed once."""
  return train(zoo_, WATCHING, tmp_path_factory.mktemp("once"))


def test_the_truth_is_all_that_the_zoo_knows(zoo_):
  known = encoding.known_properties(zoo_)
  family = tasks.make(zoo_.spec.family, zoo_.spec.family_config)
  scope = properties.Scope(family.spec, zoo_.spec.snapshot_steps)
  low, high = family.spec.classes
  assert known.shape == (len(zoo_), 1 + 3 + 3 * (high - low + 1))
  np.testing.assert_array_equal(known[:, 0], zoo_.columns["accuracy"])
  steps = properties.load("step").target(zoo_.columns, scope)[:, 0]
  np.testing.assert_array_equal(known[:, 1:4].argmax(axis=1), steps)
  counts = known[:, 4:].reshape(len(zoo_), 3, -1).argmax(axis=-1) + low
  np.testing.assert_array_equal(counts, zoo_.columns["task"])


def test_an_emulator_of_the_truth_is_trained_and_measured(zoo_, tmp_path):
  config = {**CONFIG, "encoder": {"name": "truth"}}
  run = train(zoo_, config, tmp_path)
  again, _ = pretrain.load(zoo_, tmp_path)
  assert jax.tree.structure(again.params) == jax.tree.structure(run.params)
  rows = np.arange(6)
  losses = evaluation.row_losses(
      zoo_, again, {"some": rows}, names=("total_variation",)
  )
  assert losses["some"]["total_variation"].shape == (6,)
  truth = encoding.parse(config["encoder"])
  view = encoding.view(zoo_, truth)
  assert encoding.view(view, truth) is view
  constant = encoding.parse({"name": "constant"})
  assert encoding.view(zoo_, constant) is zoo_


def test_observed_once_or_at_each_step_the_same_is_learned(
    zoo_, once, tmp_path, monkeypatch
):
  monkeypatch.setattr(encoding, "observe", lambda rnns, made, params, x: x)
  each = train(zoo_, WATCHING, tmp_path)
  for a, b in zip(*map(jax.tree.leaves, (once.params, each.params))):
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_it_watches_real_inputs_that_training_leaves_alone(once):
  fixed = once.params["encoder"]["fixed"]
  assert fixed.shape == (11, 3, 6)
  assert set(np.unique(fixed)) == {0, 1}
  np.testing.assert_array_equal(fixed[0, :, 4], 1)  # BOS begins a string
  np.testing.assert_array_equal(fixed.sum(axis=-1), 1)


def test_on_several_devices_too(zoo_, tmp_path):
  mesh = parallel.mesh(parallel.DATA)
  run = pretrain.pretrain(
      zoo_, WATCHING, tmp_path, progress=Progress.silent(), mesh=mesh
  )
  assert np.isfinite(run.history[-1]["loss"])
