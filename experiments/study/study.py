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
from weightspace import properties
from weightspace.errors import UserError
from weightspace.evaluation import bootstrap, prediction
from weightspace.io import files
from weightspace.training import encoding
from weightspace.zoo import open as open_zoo
from weightspace.zoo import splits

LEDGER = "data_read.jsonl"
BASELINE = "constant"
PAPER = json.loads((Path(__file__).parent / "paper.json").read_text())


class Study:
  """One zoo under study, and the folder of the study's files.

  Attributes:
    workdir: of the study.
    name: of the task family.
    config: of the study, plain values; see `configs/reproduce.py`.
    zoo: the zoo.
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
    self.zoo = open_zoo(zoo_path)
    if self.zoo.spec.family != name:
      raise UserError(
          f"{zoo_path} is a zoo of {self.zoo.spec.family}, not of {name}"
      )
    self.family = self.zoo.family

  @functools.cached_property
  def rows(self) -> prediction.Rows:
    """Rows by their use; `ood_train` and `test` halve the OOD tasks."""
    return prediction.make_rows(
        self.split, self.zoo.columns["task"], self.config["seed"]
    )

  @functools.cached_property
  def split(self) -> splits.Splits:
    """The zoo's rows by task."""
    return splits.of_zoo(self.zoo, self.family, seed=self.split_seed)

  @property
  def split_seed(self) -> int:
    """Of the split into training, validation and held-out tasks."""
    return self.config.get("split_seed", self.config["seed"])

  @property
  def scope(self) -> properties.Scope:
    """What properties need to know of the zoo."""
    return properties.Scope(self.family.spec, self.zoo.spec.snapshot_steps)

  @functools.cached_property
  def columns(self) -> Mapping[str, np.ndarray]:
    """Of the zoo, and of the properties of weights that are predicted."""
    return properties.columns(self.zoo, self.config["properties"][self.name])

  def tasks(self, rows: np.ndarray) -> np.ndarray:
    """The tasks of rows, [n, D]."""
    return self.zoo.columns["task"][rows]

  def final(self, rows: np.ndarray) -> np.ndarray:
    """Those of the rows that are final snapshots."""
    return rows[self.zoo.final[rows]]

  def folder(self, stage: str, job: str) -> Path:
    """Of a job's files."""
    return self.workdir / stage / self.name / job

  def run_folder(self, encoder: str, seed: int) -> Path:
    """Of a pretrained encoder; the config may name those trained elsewhere."""
    if trained := self.config.get("trained"):
      return Path(trained[encoder])
    return self.folder("emulation", encoder) / str(seed)

  def part(self, stage: str, job: str) -> dict[str, Any]:
    """The results of a finished job.

    Raises:
      ValueError: it is not finished.
    """
    file = self.folder(stage, job) / "part.json"
    if not file.exists():
      raise UserError(
          f"{file} does not exist: stage {stage!r} comes first"
      )
    return files.read_json(file)

  def chosen(self, kind: str, encoder: str) -> dict[str, float] | None:
    """The learning rate and warm-up that the search chose; None without one."""
    if not self.config["search"]:
      return None
    search = self.part("search", f"{kind}-{encoder}")["search"]
    return search[kind][self.name]["encoders"][encoder]["chosen"]

  def note(self, split: str, what: str, why: str) -> None:
    """Records, for an audit, that data of a split were read."""
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
        "zoo": self.name,
        "split": split,
        "what": what,
        "why": why,
    }
    path = self.workdir / LEDGER
    with files.naming(path), open(path, "a", encoding="utf-8") as file:
      file.write(json.dumps(line) + "\n")

  def steps(self, stage: str, field: str = "steps") -> int | None:
    """Of gradient descent in a stage; None: as the encoder's config says."""
    return self.config[stage][field][self.name]

  def of_family(self, value: Any) -> Any:
    """What a value of the config is for this family; see `of_family`."""
    return of_family(value, self.name)

  def seeds(self, stage: str) -> list[int]:
    """The seeds of a stage's trainings: that of the study and those after."""
    first = self.config["seed"]
    return list(range(first, first + self.config[stage]["seeds"]))

  def model(
      self,
      encoder: str,
      steps: int | None,
      chosen: Mapping[str, float] | None,
      *,
      validations: int = 5,
  ) -> dict[str, Any]:
    """The config of an emulation, see `model`."""
    return model(
        self.config, self.name, encoder, steps, chosen, validations=validations
    )

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
    estimate = bootstrap.over_seeds(
        np.asarray(values, np.float64),
        self.tasks(rows),
        resamples=self.config["resamples"],
    )
    return cell(estimate, runs)

  def statistic(
      self,
      function: Callable[[np.ndarray, int], float],
      seeds: int,
      rows: np.ndarray,
      runs: Sequence[str],
  ) -> dict[str, Any]:
    """A cell: the mean over seeds of a statistic of rows.

    Args:
      function: (positions in `rows`, which may repeat; seed) -> float.
      seeds: how many.
      rows: [n] of the zoo.
      runs: names, one per seed.
    """
    estimate = bootstrap.interval_over_seeds(
        function,
        seeds,
        self.tasks(rows),
        resamples=self.config["resamples"],
    )
    return cell(estimate, runs)


def model(
    config: Mapping[str, Any],
    family: str,
    encoder: str,
    steps: int | None,
    chosen: Mapping[str, float] | None,
    *,
    validations: int = 5,
) -> dict[str, Any]:
  """The config of an emulation.

  Args:
    config: of the study.
    family: the task family.
    encoder: its name; of one that the config defines, fields are those of its
      base but for those that the definition has, by part.
    steps: of gradient descent; None leaves the defaults of its size.
    chosen: learning_rate, and warmup, the share of steps; None leaves the
      defaults.
    validations: how many, spread over the steps.
  """
  plug_in = base(config, family, encoder)
  made = emulation_config.get_config(f"{plug_in},{config['models']},{family}")
  for part, fields in _definition(config, family, encoder).items():
    if part != "base":
      made[part].update(fields)
  made.emulation.split_seed = config.get("split_seed", config["seed"])
  if steps is not None:
    made.emulation.steps = steps
    made.emulation.validate_every = max(1, min(steps // validations, 2000))
    made.emulation.checkpoint_every = max(1, min(steps // 2, 2000))
    if made.optimizer.decay_steps:
      made.optimizer.decay_steps = steps
      made.optimizer.warmup_steps = min(
          made.optimizer.warmup_steps, steps // 2
      )
  if chosen is not None:
    made.optimizer.learning_rate = chosen["learning_rate"]
    made.optimizer.warmup_steps = round(chosen["warmup"] * steps)
  return made.to_dict()


def of_family(value: Any, family: str) -> Any:
  """What a value of a config is for a family, if it differs between them."""
  by_family = isinstance(value, Mapping) and family in value
  return value[family] if by_family else value


def encoders(config: Mapping[str, Any], family: str) -> list[str]:
  """The encoders that are compared on a family."""
  return list(of_family(config["encoders"], family))


def base(config: Mapping[str, Any], family: str, encoder: str) -> str:
  """The plug-in of an encoder, which may go by a name of the config's."""
  return _definition(config, family, encoder).get("base", encoder)


def _definition(config, family, encoder):
  return (config.get("definitions") or {}).get(family, {}).get(encoder, {})


def with_codes(config: Mapping[str, Any], family: str) -> list[str]:
  """The encoders that have codes: all but the truth, which is no encoder."""
  return [e for e in encoders(config, family) if e != encoding.TRUTH]


def learned(config: Mapping[str, Any], family: str) -> list[str]:
  """The encoders whose codes differ between networks."""
  return [name for name in with_codes(config, family) if name != BASELINE]


def cell(estimate: bootstrap.Estimate, runs: Sequence[str]) -> dict[str, Any]:
  """An entry of a table: a number, its interval, and the runs behind it."""
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
  with files.naming(Path(path)):
    Path(path).mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
      np.save(Path(path) / f"{name}.npy", array, allow_pickle=False)


def load(path: str | os.PathLike, name: str) -> np.ndarray:
  """Reads what `save` wrote."""
  return np.load(Path(path) / f"{name}.npy", allow_pickle=False)
