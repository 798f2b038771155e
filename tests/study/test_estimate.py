"""Estimates of how long a study takes."""

import pathlib
import re
import subprocess
import sys

import pytest

from experiments.configs import reproduce
from experiments.study import estimate, study


@pytest.mark.parametrize("size", reproduce.SIZES)
def test_counts_of_every_size(size):
  """Nothing is fetched, trained or timed for them."""
  config = reproduce.get_config(size).to_dict()
  text = estimate.text(config, 2, timed=False)
  seeds = config["emulation"]["seeds"]
  encoders = len(study.encoders(config, "tiled_mnist"))
  steps = config["emulation"]["steps"]["tiled_mnist"]
  runs = seeds * encoders
  assert f"  emulation: {runs} runs, {runs * steps:,} steps" in text
  assert "about" not in text


@pytest.mark.slow
def test_steps_are_timed_on_networks_that_were_never_trained():
  config = reproduce.get_config("smoke").to_dict()
  config["encoders"] = ("constant",)
  config["few_labels"]["scratch"] = ()
  config["variants"] = {}
  digits = config["zoos"]["tiled_mnist"]
  digits["task"]["digits"] = "tfds"  # is not fetched
  config["zoos"] = {"tiled_mnist": digits}
  text = estimate.text(config, 1, timed=True)
  for stage in ("emulation", "search, emulation"):
    assert len(re.findall(rf"  {stage}: .* steps, about \d", text)) == 1


@pytest.mark.slow
def test_a_dry_run_leaves_nothing(tmp_path):
  done = subprocess.run(
      [sys.executable, "-m", "experiments.reproduce", "--dry_run",
       f"--workdir={tmp_path / 'new'}",
       "--config=experiments/configs/reproduce.py:smoke"],
      cwd=pathlib.Path(__file__).parents[2], capture_output=True, text=True,
      check=True,
  )  # fmt: skip
  assert "variants, sequences: 4 runs" in done.stderr
  assert not list(tmp_path.iterdir())
