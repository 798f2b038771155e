"""Encoders trained by emulation from several seeds: runs, losses, a table."""

import ast
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import results
from experiments.configs import emulation as configs
from weightspace import tasks, zoo
from weightspace.evaluation import emulation
from weightspace.training import pretrain
from weightspace.training.progress import Progress
from weightspace.zoo import files, splits

RUN, ALL = "emulation.json", "comparison.json"
PARTS = ("validation", "ood")
Runs = dict[str, dict[str, Any]]


def plan(
    source: zoo.Zoo,
    encoders: Sequence[str],
    seeds: Sequence[str],
    *,
    size: str,
    changes: Sequence[str] = (),
    label: str = "",
) -> Runs:
  """The runs of a comparison, by name: "ENCODER-LABEL-SEED" -> config.

  Args:
    source: the zoo.
    encoders: names.
    seeds: whole numbers, as text.
    size: of `experiments/configs/emulation.py`.
    changes: "PART.FIELD=VALUE".
    label: part of the names, if there are changes.

  Raises:
    ValueError: a seed, change or label that cannot be.
  """
  if bool(changes) != bool(label):
    raise ValueError(
        "--set and --label go together: runs with changes need a name of"
        f" their own; got --set={list(changes)} and --label={label!r}"
    )
  planned = {}
  for name in encoders:
    for seed in seeds:
      if not seed.isdecimal():
        raise ValueError(f"--seeds: {seed!r} is not a whole number")
      config = configs.get_config(f"{name},{size},{source.spec.family}")
      for change in changes:
        _change(config, change)
      config.emulation.seed = int(seed)
      planned["-".join(filter(None, (name, label, seed)))] = config.to_dict()
  return planned


def _change(config, text):
  path, separator, value = text.partition("=")
  part, _, field = path.partition(".")
  if not separator or part not in config or field not in config[part]:
    raise ValueError(f"--set: {text!r} is not PART.FIELD=VALUE of the config")
  try:
    config[part][field] = ast.literal_eval(value)
  except (ValueError, SyntaxError):
    config[part][field] = value


def train(
    source: zoo.Zoo,
    folder: str | os.PathLike,
    planned: Runs,
    *,
    progress: Progress,
    mesh=None,
) -> None:
  """Trains and measures the runs that are not finished; resumes.

  Args:
    source: the zoo.
    folder: of all runs.
    planned: from `plan`.
    progress: where to show how far it is.
    mesh: to spread batches over.
  """
  family = tasks.make(source.spec.family, source.spec.family_config)
  for name, config in planned.items():
    run = Path(folder) / name
    if (run / RUN).exists():
      continue
    start, commit = time.monotonic(), results.commit()
    found = pretrain.pretrain(
        source, config, run, progress=progress, mesh=mesh
    )
    seconds = time.monotonic() - start
    split = splits.of_zoo(
        source, family, seed=config["emulation"]["split_seed"]
    )
    losses = emulation.row_losses(
        source,
        found,
        config,
        {part: getattr(split, part) for part in PARTS},
        mesh=mesh,
    )
    _write(run / RUN, {
        "encoder": config["encoder"]["name"],
        "run": name,
        "config": config,
        "commit": commit,
        "seconds": round(seconds, 1),
        "best_step": found.step,
        **{
            part: {k: float(np.mean(v)) for k, v in by_name.items()}
            for part, by_name in losses.items()
        },
    })  # fmt: skip


def gather(folder: str | os.PathLike) -> list[dict[str, Any]]:
  """What all finished runs in a folder found, by name of the run."""
  found = sorted(Path(folder).glob(f"*/{RUN}"))
  if not found:
    raise ValueError(f"{folder} holds no finished run")
  return [json.loads(file.read_text()) for file in found]


def write(folder: str | os.PathLike, found: Sequence[Mapping]) -> None:
  """Writes all of it into one file, `comparison.json`."""
  _write(Path(folder) / ALL, {"runs": list(found)})


def table(found: Sequence[Mapping[str, Any]]) -> str:
  """A table in Markdown: of each encoder's runs the mean, lowest, highest.

  Args:
    found: runs, from `gather`.

  Returns:
    A row for each encoder and label, the best validation loss last.
  """
  groups: dict[str, list] = {}
  for run in found:
    groups.setdefault(run["run"].rpartition("-")[0], []).append(run)
  columns = [(p, d) for p in PARTS for d in emulation.DIVERGENCES]
  titles = [f"{p}, {d.replace('_', ' ')}" for p, d in columns]
  lines = [
      f"| encoder | seeds | {' | '.join(titles)} | minutes a run |",
      "|---" * (len(columns) + 3) + "|",
  ]

  def validation(name):
    return -np.mean([r["validation"]["total_variation"] for r in groups[name]])

  for name in sorted(groups, key=validation):
    runs = groups[name]
    cells = [_spread([run[p][d] for run in runs]) for p, d in columns]
    minutes = np.mean([run["seconds"] for run in runs]) / 60
    lines.append(
        f"| {name} | {len(runs)} | {' | '.join(cells)} | {minutes:.1f} |"
    )
  return "\n".join(lines)


def _spread(values):
  three = (np.mean(values), min(values), max(values))
  mean, low, high = (f"{value:.4f}".removeprefix("0") for value in three)
  return f"{mean} ({low} to {high})" if len(values) > 1 else mean


def _write(path, value):
  files.replace_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
