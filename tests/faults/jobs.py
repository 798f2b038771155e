"""The jobs that processes are killed at: a zoo's generation, a pretraining."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from weightspace.progress import Progress

_ZOO = {
    "family": "formal_language",
    "task": {"length": 12, "max_n": 3, "shift_min": -1, "shift_max": 1,
             "eval_strings": 20, "eval_batch": 4},
    "rnn": {"cell": "elman", "hidden": (4,)},
    "recipe": {"snapshot_steps": (0, 20, 60), "batch": 4},
    "networks": 10,
    "shard_size": 4,
    "rollouts": 3,
    "seed": 0,
}  # fmt: skip
_RUN = {
    "encoder": {"name": "flat", "hidden": 8, "layers": 1, "code": 4},
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 3e-3},
    "emulation": {"steps": 144, "batch": 8, "augment": "none",
                  "validate_every": 12, "checkpoint_every": 16},
}  # fmt: skip


class Job(NamedTuple):
  """Work whose outcome must not depend on kills.

  Attributes:
    run: (folder of this run, folder shared by all, progress) -> None.
    outcome: (folder) -> what must be equal in the end, by name.
    saved: (folder) -> units of the progress that are saved for good.
    check: (folder) -> raises AssertionError unless the files are sound,
      whether or not the job is finished.
  """

  run: Callable[[Path, Path, Progress], None]
  outcome: Callable[[Path], dict[str, Any]]
  saved: Callable[[Path], int]
  check: Callable[[Path], None]


def _generate(path, folder, progress):
  del folder
  from zoo_gen import shards

  shards.generate(path, shards.plan(_ZOO), progress=progress, max_segment=10)


def _zoo_outcome(path):
  return {
      str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
      for file in sorted(path.rglob("*"))
      if file.is_file()
  }


def _newest(folder):
  """The newest step whose checkpoint is complete."""
  steps = [
      int(file.name)
      for file in folder.glob("*")
      if file.is_dir() and file.name.isdecimal()
  ]
  return max(steps, default=0)


def _zoo_saved(path):
  from weightspace import zoo
  from zoo_gen import shards

  spec = shards.plan(_ZOO)
  steps = spec.snapshot_steps[-1]
  return sum(
      len(zoo.shard_networks(spec, i))
      * (
          steps
          if zoo.has_shard(path, i)
          else _newest(path / "work" / f"{i:05d}" / "state")
      )
      for i in range(zoo.num_shards(spec))
  )


def _zoo_check(path):
  """Every file is sound, and no network is there twice."""
  from weightspace import zoo

  if not (path / "zoo.json").exists():
    return
  problems = zoo.verify(path)
  try:
    opened = zoo.open(path)
  except zoo.ZooError:
    assert len(problems) == 1 and "is unfinished" in problems[0], problems
    return
  assert problems == []
  steps = list(opened.spec.snapshot_steps)
  rows = list(zip(opened.columns["net_id"], opened.columns["step"]))
  assert rows == list(itertools.product(range(_ZOO["networks"]), steps))


def _pretrain(path, folder, progress):
  from weightspace import zoo
  from weightspace.training.pretrain import pretrain

  # Of the zoo job's undisturbed run
  pretrain(zoo.open(folder / "zoo" / "whole"), _RUN, path, progress=progress)


def _run_outcome(path):
  """All but Orbax's own files, which hold times."""
  last = path / "checkpoints" / str(_RUN["emulation"]["steps"])
  names = [str(file.relative_to(path)) for file in path.rglob("*.json*")]
  return {
      "files": sorted(name for name in names if "METADATA" not in name),
      "config": (path / "config.json").read_bytes(),
      "metrics": (path / "metrics.jsonl").read_bytes(),
      "leaves": json.loads(last.with_suffix(".json").read_text())["leaves"],
      "state": {
          file.name: hashlib.sha256(file.read_bytes()).hexdigest()
          for file in last.rglob("*.npz")
      },
  }


def _run_saved(path):
  return _newest(path / "checkpoints")


def _run_check(path):
  """No complete checkpoint is bad."""
  assert not list(path.glob("checkpoints/bad-*")), path


JOBS = {
    "zoo": Job(_generate, _zoo_outcome, _zoo_saved, _zoo_check),
    "run": Job(_pretrain, _run_outcome, _run_saved, _run_check),
}
