"""Contrastive training: resumed, spread, streamed, and used like any other."""

import copy
import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.study import headline, trained
from tests.training.test_fit import KillAt, Killed
from weightspace import parallel, zoo
from weightspace.errors import UserError
from weightspace.evaluation import clones, export
from weightspace.evaluation.prediction import Config as Prediction
from weightspace.pretrained import card
from weightspace.progress import Progress
from weightspace.report import study_page
from weightspace.training import config as config_lib
from weightspace.training import members, pretrain
from weightspace.training.setup import make_setup

pytestmark = pytest.mark.usefixtures("shared_setups")

FIELDS = {
    "steps": 12, "batch": 8, "validate_every": 4, "checkpoint_every": 4,
    "hidden": 8, "projection": 4, "positives": "snapshots+symmetry",
}  # fmt: skip
HEADS = {
    "properties": ("task",), "forms": ("linear",), "steps": 10, "resamples": 5,
}  # fmt: skip
FLAT = {"name": "flat", "hidden": 8, "layers": 1, "code": 4}
SILENT = Progress.silent()


def config(**fields):
  return {
      "objective": "contrastive",
      "encoder": FLAT,
      "optimizer": {"learning_rate": 3e-3},
      "contrastive": {**FIELDS, **fields},
  }


@pytest.fixture(scope="module")
def zoo_(tiny_zoo):
  return zoo.open(tiny_zoo)


@pytest.fixture(scope="module")
def run(zoo_, tmp_path_factory):
  folder = tmp_path_factory.mktemp("contrastive") / "run"
  return folder, pretrain.pretrain(zoo_, config(), folder, progress=SILENT)


def furthest(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return max(float(np.max(np.abs(x - y))) for x, y in pairs)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_bits(zoo_, run, tmp_path):
  _, whole = run
  with pytest.raises(Killed):
    pretrain.pretrain(zoo_, config(), tmp_path / "run", progress=KillAt(7))
  again = pretrain.pretrain(zoo_, config(), tmp_path / "run", progress=SILENT)
  jax.tree.map(np.testing.assert_array_equal, again.params, whole.params)
  assert again.history == whole.history
  stored = json.loads((tmp_path / "run/config.json").read_text())
  assert stored["objective"] == "contrastive"
  assert stored["contrastive"]["temperature"] == 0.1
  assert "emulation" not in stored
  other = {**config(), "objective": "emulation"}
  with pytest.raises(FileExistsError, match="objective is 'contrastive' there"):
    pretrain.pretrain(zoo_, other, tmp_path / "run", progress=SILENT)


@pytest.mark.slow
def test_spread_or_streamed_it_is_the_same(zoo_, run, tmp_path):
  _, one = run
  spread, streamed = (
      pretrain.pretrain(
          zoo_, config(), tmp_path / str(number), progress=SILENT, **how
      )
      for number, how in enumerate((
          {"mesh": parallel.mesh(parallel.DATA)}, {"memory": 10},
      ))
  )  # fmt: skip
  assert furthest(spread.params, one.params) < 1e-4
  jax.tree.map(np.testing.assert_array_equal, streamed.params, one.params)


@pytest.mark.slow
def test_a_zoo_with_one_snapshot_is_refused_before_there_is_a_folder(
    zoo_, tmp_path
):
  one = copy.copy(zoo_)
  one.spec = dataclasses.replace(zoo_.spec, snapshot_steps=(4,))
  settings, folder = config(positives="snapshots"), tmp_path / "run"
  with pytest.raises(UserError, match="needs two snapshots of each network"):
    pretrain.pretrain(one, settings, folder, progress=SILENT)
  with pytest.raises(UserError, match="needs two snapshots of each network"):
    members.pretrain(one, {folder: settings}, progress=SILENT)
  assert not folder.exists()


def test_diverged_networks_are_in_no_batch(zoo_):
  diverged = copy.copy(zoo_)
  finite = zoo_.columns["net_id"] % 3 > 0
  diverged.__dict__["columns"] = {**zoo_.columns, "finite": finite}
  setup = make_setup(
      diverged, config_lib.parse(config(positives="snapshots"))
  )
  (rows,), (validation,) = setup.dataset.rows, setup.validation
  (drawn,) = setup.rows(jax.random.key(0))
  of_groups = zoo_.columns["net_id"][rows[drawn.groups]]
  assert np.all(of_groups % 3 > 0)
  places = np.arange(len(validation.vectors))
  assert np.all(validation.columns["net_id"][places] % 3 > 0)
  assert set(setup.dataset.columns) == {"net_id"}
  assert setup.dataset.size.sequences == 0


@pytest.mark.slow
def test_what_codes_predict_is_studied_under_the_name_of_the_objective(
    zoo_, run, tmp_path
):
  folder, pretrained = run
  heads = {**HEADS, "seed": 0}
  results = trained.study(
      zoo_.path, folder, heads, tmp_path, progress=SILENT
  )
  assert "trained by contrastive" in results["title"]
  assert "emulation" not in results
  summary = headline.summary(results, "formal_language")["flat"]
  assert "contrastive, validation" in summary
  study_page.write(results, tmp_path / "page")
  text = (tmp_path / "page/index.html").read_text()
  assert "The objective is <i>contrastive</i>, not emulation" in text
  assert "Codes from emulation" not in text
  with pytest.raises(UserError, match="'contrastive', so it has no emulator"):
    clones.measure(zoo_, pretrained, np.arange(2), seed=0)


@pytest.mark.slow
def test_an_exported_encoder_says_what_it_was_trained_for(zoo_, run):
  _, pretrained = run
  encoder = export.export(
      zoo_, pretrained, pretrained.config.to_json(),
      HEADS, members=2, rows=10, progress=SILENT,
      about={"commit": None, "software": {}},
  )  # fmt: skip
  assert encoder.about["objective"] == "contrastive"
  text = card.write(encoder, "mine", dataclasses.asdict(Prediction()))
  assert "trained for the\nobjective `contrastive`" in text
  assert "| emulation," not in text
