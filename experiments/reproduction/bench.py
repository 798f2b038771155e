"""What all jobs on one zoo share: rows, folders, configs, cells of tables."""

import datetime
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.configs import emulation as emulation_config
from weightspace import properties, tasks, zoo
from weightspace.evaluation import bootstrap, prediction
from weightspace.zoo import splits

LEDGER = "data_read.jsonl"


class Bench:
  """One zoo under study, and the folder that the study's files are in.

  Attributes:
    workdir: of the study.
    name: of the task family.
    config: of the study, plain values; see `configs/reproduce.py`.
    source: the zoo.
    family: its `TaskFamily`.
  """

  def __init__(
      self, workdir: Path, name: str, zoo_path: Path, config: Mapping[str, Any]
  ):
    """Opens the zoo.

    Raises:
      ZooError: it cannot be read.
      ValueError: it is of another family.
    """
    self.workdir, self.name, self.config = Path(workdir), name, config
    self.source = zoo.open(zoo_path)
    if self.source.spec.family != name:
      raise ValueError(
          f"{zoo_path} is a zoo of {self.source.spec.family}, not of {name}"
      )
    self.family = tasks.make(name, self.source.spec.family_config)

  @functools.cached_property
  def rows(self) -> prediction.Rows:
    """Rows by what they are for; `ood_train` and `test` are the OOD ones."""
    return prediction.make_rows(
        self.split, self.source.columns["task"], self.config["seed"]
    )

  @functools.cached_property
  def split(self) -> splits.Splits:
    """The zoo's rows by task."""
    return splits.of_zoo(
        self.source, self.family, seed=self.config["seed"]
    )

  @property
  def scope(self) -> properties.Scope:
    """What properties must know of the zoo."""
    return properties.Scope(self.family.spec, self.source.spec.snapshot_steps)

  def tasks(self, rows: np.ndarray) -> np.ndarray:
    """The tasks of rows, [n, D]."""
    return self.source.columns["task"][rows]

  def folder(self, stage: str, job: str) -> Path:
    """Of a job's files."""
    return self.workdir / stage / self.name / job

  def part(self, stage: str, job: str) -> dict[str, Any]:
    """What a finished job found.

    Raises:
      ValueError: it is not finished.
    """
    file = self.folder(stage, job) / "part.json"
    if not file.exists():
      raise ValueError(
          f"{file} does not exist: stage {stage!r} comes first"
      )
    return json.loads(file.read_text())

  def note(self, split: str, what: str, why: str) -> None:
    """Writes down that data of a split were read, for whoever audits it."""
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "zoo": self.name,
        "split": split,
        "what": what,
        "why": why,
    }
    with open(self.workdir / LEDGER, "a", encoding="utf-8") as file:
      file.write(json.dumps(line) + "\n")

  def steps(self, stage: str, field: str = "steps") -> int:
    """Of gradient descent in a stage."""
    return self.config[stage][field][self.name]

  def model(
      self, encoder: str, steps: int, chosen: Mapping[str, float]
  ) -> dict[str, Any]:
    """The config of an emulation of so many steps.

    Args:
      encoder: its name.
      steps: of gradient descent.
      chosen: learning_rate, and warmup, the share of steps.
    """
    size = self.config["models"]
    config = emulation_config.get_config(f"{encoder},{size},{self.name}")
    config.emulation.steps = steps
    config.emulation.split_seed = self.config["seed"]
    config.emulation.validate_every = max(1, min(steps // 5, 2000))
    config.emulation.checkpoint_every = max(1, min(steps // 2, 2000))
    config.optimizer.learning_rate = chosen["learning_rate"]
    config.optimizer.warmup_steps = round(chosen["warmup"] * steps)
    if config.optimizer.decay_steps:
      config.optimizer.decay_steps = steps
    return config.to_dict()

  def run_id(self, stage: str, job: str, seed: int) -> str:
    """The name of a run in the results."""
    return f"{stage}/{self.name}/{job}/{seed}"

  def mean(
      self, values: np.ndarray, rows: np.ndarray, runs: Sequence[str]
  ) -> dict[str, Any]:
    """A cell: the mean over seeds and rows.

    Args:
      values: [S, n].
      rows: [n] of the zoo.
      runs: that the values are from, S names.
    """
    found = bootstrap.over_seeds(
        np.asarray(values, np.float64),
        self.tasks(rows),
        resamples=self.config["resamples"],
    )
    return cell(found, runs)

  def statistic(
      self,
      function: Callable[[np.ndarray, int], float],
      seeds: int,
      rows: np.ndarray,
      runs: Sequence[str],
  ) -> dict[str, Any]:
    """A cell: the mean over seeds of a statistic of rows.

    Args:
      function: (places in `rows`, that may repeat, seed) -> float.
      seeds: how many.
      rows: [n] of the zoo.
      runs: names, one a seed.
    """
    found = bootstrap.interval_over_seeds(
        function,
        seeds,
        self.tasks(rows),
        resamples=self.config["resamples"],
    )
    return cell(found, runs)


def cell(estimate: bootstrap.Estimate, runs: Sequence[str]) -> dict[str, Any]:
  """An entry of a table: a number, its interval, and where it is from."""
  return {**estimate._asdict(), "runs": list(runs)}


def merge(into: dict[str, Any], part: Mapping[str, Any]) -> None:
  """Adds the entries of a nested mapping to another one, in place."""
  for name, value in part.items():
    if isinstance(value, Mapping) and isinstance(into.get(name), dict):
      merge(into[name], value)
    else:
      into[name] = value


def save(path: str | os.PathLike, **arrays: np.ndarray) -> None:
  """Writes arrays into a folder, one file each, no pickles."""
  Path(path).mkdir(parents=True, exist_ok=True)
  for name, array in arrays.items():
    np.save(Path(path) / f"{name}.npy", array, allow_pickle=False)


def load(path: str | os.PathLike, name: str) -> np.ndarray:
  """Reads what `save` wrote."""
  return np.load(Path(path) / f"{name}.npy", allow_pickle=False)
