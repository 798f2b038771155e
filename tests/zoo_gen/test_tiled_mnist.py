"""A zoo of digits: made, audited, encoded, and what it must refuse."""

import numpy as np
import pytest

from experiments.configs import emulation, prediction
from experiments.study import trained
from tests import digits, tiny_zoo
from weightspace import tasks, zoo
from weightspace.progress import Progress
from weightspace.training.pretrain import pretrain
from zoo_gen import inspection, shards

CONFIG = {
    "family": "tiled_mnist",
    "task": {"digits": digits.dataset(), "eval_images": 12, "eval_batch": 8},
    "rnn": {"cell": "elman", "hidden": (4,)},
    "recipe": {
        "snapshot_steps": (0, 3),
        "batch": 4,
        "learning_rates": (0.05, 0.03, 0.001),
        "weight_decays": (0.0, 0.1),
    },
    "networks": 16,
    "shard_size": 16,
    "rollouts": 3,
    "seed": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("digits") / "zoo"
  shards.generate(
      path, shards.plan(CONFIG), progress=Progress.silent(), group=4
  )
  return path


@pytest.mark.slow
def test_a_zoo_keeps_indices_not_pixels(folder):
  opened = zoo.open(folder)
  seen = opened.rollouts(np.arange(len(opened)))
  assert seen.sequences.shape == (32, 3)
  assert seen.sequences.dtype == np.int32
  assert seen.log_probs.shape == (32, 3, 50, 10)
  columns = opened.columns
  assert columns["task"].shape == (32, 1)
  assert len(np.unique(columns["task"])) == 16
  assert set(columns["weight_decay"]) == set(np.float32([0, 0.1]))
  for name in ("accuracy", "train_loss", "eval_loss"):
    assert np.all(np.isfinite(columns[name]))
  # A network of no training knows nothing: a tenth is right, log 10 the loss
  start = columns["step"] == 0
  np.testing.assert_allclose(columns["eval_loss"][start], np.log(10), atol=0.6)


def copy(zoo_path, path, change):
  original = zoo.open(zoo_path)
  arrays = tiny_zoo.arrays(original)
  change(arrays)
  zoo.create(path, original.spec)
  zoo.write_shard(path, 0, arrays)
  zoo.finalize(path)
  return inspection.inspect(path, sample=32).problems


@pytest.mark.slow
def test_an_audit_replays_images(folder, tmp_path):
  def falsify(arrays):
    arrays["sequences"][5, 1] = (arrays["sequences"][5, 1] + 1) % 50
    arrays["sequences"][7, 2] = 10_000  # there is no such image
    arrays["task"][9] += 180
    arrays["eval_loss"][11] += 0.1
    arrays["weight_decay"][13] = 0.5

  assert copy(folder, tmp_path / "same", lambda arrays: None) == []
  problems = copy(folder, tmp_path / "zoo", falsify)
  for row, message in (
      (5, "log_probs of rollouts 1 are not what"),
      (7, "log_probs of rollouts 2 are not what"),
      (9, "log_probs of rollouts 0, 1, 2 are not what"),
      (9, "task is "),
      (11, "eval_loss is "),
      (13, "weight_decay is 0.5 there"),
  ):
    assert any(
        line.startswith(f"row {row} ") and message in line for line in problems
    ), problems
  assert {int(line.split()[1]) for line in problems} == {5, 7, 9, 11, 13}


def test_other_digits_are_refused(folder, tmp_path):
  spec = zoo.open(folder).spec
  other = f"idx:{digits.write(tmp_path, seed=1)}"
  with pytest.raises(ValueError, match="zoo was made with images"):
    tasks.make(spec.family, {**spec.family_config, "digits": other})
  spec_of_other = shards.plan({**CONFIG, "task": {"digits": other}})
  with pytest.raises(FileExistsError, match="digits_sha256 is"):
    zoo.create(folder, spec_of_other)


@pytest.mark.slow
def test_a_study_of_digits(folder, tmp_path):
  """Emulated, predicted, interrogated, with probes in reach of pixels."""
  config = emulation.get_config("interactive,tiny,tiled_mnist")
  config.encoder.update({"length": 3, "hidden": 8, "decoder": 8})
  config.emulator.hidden = 8
  config.emulation.update({"steps": 2, "batch": 4, "validate_every": 2})
  config.emulation.checkpoint_every = 2
  heads = prediction.get_config("tiled_mnist")
  # Others cost more compilation
  heads.update({"properties": ("angle",), "forms": ("linear",)})
  heads.update({"steps": 2, "validate_every": 2, "resamples": 2, "hidden": 4})
  pretrain(
      zoo.open(folder), config.to_dict(), tmp_path / "run",
      progress=Progress.silent(),
  )  # fmt: skip
  results = trained.study(
      folder, tmp_path / "run", heads.to_dict(), tmp_path / "study",
      progress=Progress.silent(),
  )  # fmt: skip
  (family,) = results["zoos"]
  predicted = results["prediction"][family]["frozen"]["interactive"]
  assert 0 <= predicted["angle"]["strict"]["test"]["degrees"]["value"] <= 180
  assert set(predicted) == set(heads.properties)
  transcript = results["transcripts"][family]["interactive"]
  assert transcript["describe"].startswith("digits rotated by")
  probes = np.array(transcript["probes"])
  assert probes.shape == (3, 1, 16)
  assert probes.min() >= -0.6
  assert probes.max() <= 3
  # OOD are the largest angles
  rows = results["codes"][family]["rows"]
  angles = np.ravel(rows["task"])
  held = np.array(rows["split"]) == "ood"
  assert angles[held].min() > angles[~held].max()
