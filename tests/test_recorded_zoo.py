"""From a folder of networks to a finding, without any accuracy."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weightspace
from tests import recorded as example
from weightspace import zoo
from weightspace.evaluation import clones
from weightspace.interop import torch as torch_format
from weightspace.progress import Progress
from weightspace.training import pretrain

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
ENCODER = "interactive,tiny,recorded"
SMALL = ("emulation.steps=4", "emulation.validate_every=2",
         "optimizer.decay_steps=4", "optimizer.warmup_steps=2")  # fmt: skip
HEADS = ("steps=20", "resamples=10", "forms=linear",
         "properties=column:delay,column:optimizer")  # fmt: skip


def launch(name, *flags):
  done = subprocess.run(
      [sys.executable, "-m", name, *map(str, flags)],
      cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def settings(*fields):
  return [f"--config.{field}" for field in fields]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Networks, a zoo of them and an encoder of that."""
  folder = example.write(tmp_path_factory.mktemp("study") / "mine")
  printed = launch(
      "zoo_gen.collect", f"--networks={folder}/nets/*.safetensors",
      f"--inputs={folder}/inputs.npz", f"--table={folder}/runs.csv",
      f"--zoo={folder}/zoo",
  )  # fmt: skip
  assert "column optimizer  3 categories: adam, rmsprop, sgd" in printed
  launch(
      "experiments.pretrain", f"--zoo={folder}/zoo", f"--workdir={folder}/run",
      f"--config=experiments/configs/emulation.py:{ENCODER}", *settings(*SMALL),
  )  # fmt: skip
  return folder


def test_an_audit_replays_it(folder):
  printed = launch("zoo_gen.audit", f"--zoo={folder}/zoo")
  assert "recomputed  11 rows, 4 rollouts each" in printed
  assert "problems  0" in printed


def test_columns_are_predicted_and_reported(folder):
  printed = launch(
      "experiments.predict", f"--zoo={folder}/zoo", f"--encoder={folder}/run",
      f"--workdir={folder}/heads", *settings(*HEADS),
  )  # fmt: skip
  (brief,) = json.loads(printed).values()
  assert any(name.startswith("column:delay, r2") for name in brief)
  results = json.loads((folder / "heads/results.json").read_text())
  (rows,) = (entry["rows"] for entry in results["codes"].values())
  assert "accuracy" not in rows
  launch("experiments.report", f"--workdir={folder}/heads")
  page = (folder / "heads/report/index.html").read_text()
  assert "Networks trained elsewhere" in page
  assert "network 7" in page


def test_the_encoder_does_without_the_zoo(folder):
  launch(
      "experiments.export_encoder", f"--zoo={folder}/zoo",
      f"--encoder={folder}/run", f"--out={folder}/encoder", "--members=2",
      *settings(*HEADS),
  )  # fmt: skip
  card = (folder / "encoder/README.md").read_text()
  assert "accuracy of fully trained ones | not known" in card
  assert "11 in all, after some of the steps 0" in card
  shown = launch(
      "experiments.embed", f"--encoder={folder}/encoder",
      f"--weights={folder}/nets/03.safetensors",
  )  # fmt: skip
  assert "optimizer" in shown and "adam (" in shown
  nearest = shown.splitlines()[-2:]
  assert any("network 3" in line for line in shown.splitlines()), nearest
  encoder = weightspace.load_encoder(folder / "encoder")
  rnn, weights = torch_format.load(folder / "nets/03.safetensors")
  result = encoder.examine(weights, rnn)
  assert result.nearest[0].net_id == 3
  assert result.nearest[0].accuracy is None


def test_clones_are_refused_with_the_reason(folder):
  opened = zoo.open(folder / "zoo")
  pretrained, _ = pretrain.load(opened, folder / "run")
  with pytest.raises(ValueError, match="were trained elsewhere"):
    clones.measure(opened, pretrained, np.arange(3), seed=0)


def test_accuracy_is_no_property_of_networks_without_one(folder):
  done = subprocess.run(
      [sys.executable, "-m", "experiments.predict", f"--zoo={folder}/zoo",
       f"--encoder={folder}/run", f"--workdir={folder}/refused",
       "--config.properties=accuracy"],
      cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
  )  # fmt: skip
  assert done.returncode == 1
  assert "networks whose accuracy is known" in done.stderr
  assert not (folder / "refused").exists()


def test_truth_is_what_is_known(folder, tmp_path):
  """The reference with labels as codes trains on whatever labels there are."""
  config = {
      "encoder": {"name": "truth"},
      "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
      "optimizer": {"learning_rate": 1e-2},
      "emulation": {"steps": 2, "batch": 8, "validate_every": 2},
  }  # fmt: skip
  trained = pretrain.pretrain(
      zoo.open(folder / "zoo"), config, tmp_path, progress=Progress.silent()
  )
  assert np.isfinite(trained.history[-1]["loss"])
