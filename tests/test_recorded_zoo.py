"""From a folder of networks to a finding, without any accuracy."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weightspace
from experiments.configs import emulation
from experiments.study import headline, trained
from tests import recorded as example
from weightspace import pretrained, zoo
from weightspace.errors import UserError
from weightspace.evaluation import clones, export, prediction
from weightspace.interop import torch as torch_format
from weightspace.pretrained import card, examination
from weightspace.progress import Progress
from weightspace.report import study_page
from weightspace.training import encoding, pretrain
from weightspace.training.config import parse
from weightspace.training.setup import make_setup

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
HEADS = {
    "properties": ("column:optimizer",), "forms": ("linear",), "steps": 20,
    "resamples": 10,
}  # fmt: skip


def launch(name, *flags):
  done = subprocess.run(
      [sys.executable, "-m", name, *map(str, flags)],
      cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Networks, a zoo of them and an encoder of that."""
  with pytest.MonkeyPatch.context() as patch:
    few = ("elman", (4,)), ("elman", (5,)), ("elman", (5,))
    patch.setattr(example, "SHAPES", few)  # of other cells: in tests/zoo
    folder = example.write(tmp_path_factory.mktemp("study") / "mine")
  printed = launch(
      "zoo_gen.collect", f"--networks={folder}/nets/*.safetensors",
      f"--inputs={folder}/inputs.npz", f"--table={folder}/runs.csv",
      f"--zoo={folder}/zoo",
  )  # fmt: skip
  assert "column optimizer  3 categories: adam, rmsprop, sgd" in printed
  config = emulation.get_config("watching,tiny,recorded")
  config.emulation.update({"steps": 4, "validate_every": 2})
  config.optimizer.update({"decay_steps": 4, "warmup_steps": 2})
  pretrain.pretrain(
      zoo.open(folder / "zoo"), config.to_dict(), folder / "run",
      progress=Progress.silent(),
  )  # fmt: skip
  return folder


def test_columns_are_predicted_and_reported(folder):
  columns = ("column:delay", "column:optimizer")
  heads = {**HEADS, "properties": columns, "seed": 0}
  trained.study(
      folder / "zoo", folder / "run", heads, folder / "heads",
      progress=Progress.silent(),
  )  # fmt: skip
  results = json.loads((folder / "heads/results.json").read_text())
  (brief,) = headline.summary(results, "recorded").values()
  assert any(name.startswith("column:delay, r2") for name in brief)
  assert not any("final networks" in name for name in brief)  # they are all
  (shown,) = (
      brief[name] for name in brief if "optimizer" in name and "strict" in name
  )
  assert re.search(r"; \d networks?; guessing .* of training: \d\.\d+$", shown)
  (rows,) = (entry["rows"] for entry in results["codes"].values())
  assert "accuracy" not in rows
  delay, optimizer = rows["columns"]
  assert (delay["kind"], optimizer["kind"]) == ("regression", "classification")
  assert optimizer["classes"] == ["adam", "rmsprop", "sgd"]
  points = results["prediction"]["recorded"]["predicted"]["properties"]
  assert [one["name"] for one in points] == ["column:delay"]
  study_page.write(results, folder / "page")
  page = (folder / "page/index.html").read_text()
  assert "Networks trained elsewhere" in page
  assert "network 7" in page
  assert "networks trained elsewhere" not in page
  assert "trained elsewhere and are split by network" in page
  assert (folder / "page/figures/predicted-recorded.svg").exists()


def test_the_encoder_does_without_the_zoo(folder):
  opened = zoo.open(folder / "zoo")
  exported = export.export(
      opened, *pretrain.load(opened, folder / "run"), HEADS, members=2,
      about={"commit": None, "software": {}}, progress=Progress.silent(),
  )  # fmt: skip
  text = card.write(exported, "mine", dataclasses.asdict(prediction.Config()))
  assert "accuracy of fully trained ones | not known" in text
  assert "11 in all, after some of the steps 0" in text
  pretrained.save_encoder(folder / "encoder", exported)
  encoder = weightspace.load_encoder(folder / "encoder")
  rnn, weights = torch_format.load(folder / "nets/03.safetensors")
  result = encoder.examine(weights, rnn)
  assert result.nearest[0].net_id == 3
  assert result.nearest[0].accuracy is None
  shown = examination.to_text(result)
  assert "optimizer" in shown and "adam (" in shown
  assert "network 3, optimizer sgd\n" in shown


def test_clones_are_refused_with_the_reason(folder):
  opened = zoo.open(folder / "zoo")
  run, _ = pretrain.load(opened, folder / "run")
  with pytest.raises(ValueError, match="were trained elsewhere"):
    clones.measure(opened, run, np.arange(3), seed=0)


def test_accuracy_is_no_property_of_networks_without_one(folder):
  heads = {"properties": ("accuracy",), "resamples": 5, "seed": 0}
  with pytest.raises(UserError, match="networks whose accuracy is known"):
    trained.study(
        folder / "zoo", folder / "run", heads, folder / "refused",
        progress=Progress.silent(),
    )  # fmt: skip
  assert not (folder / "refused").exists()


def test_truth_is_what_is_known(folder):
  """The reference with labels as codes has whatever labels there are."""
  opened = zoo.open(folder / "zoo")
  known = encoding.known_properties(opened)
  assert len(known) == len(opened)
  assert np.all(np.isfinite(known))
  make_setup(opened, parse({"encoder": {"name": "truth"}}))
