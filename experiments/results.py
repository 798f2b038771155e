"""The numbers of a study: a zoo, encoders of it, and what their codes tell.

One JSON file holds every number that a report shows.
"""

import json
import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import headline
from weightspace import plugins, properties, tasks, zoo
from weightspace.evaluation import bootstrap, emulation, prediction
from weightspace.evaluation import codes as codes_lib
from weightspace.io import files
from weightspace.training import emulation as training
from weightspace.training import truth
from weightspace.training.pretrain import Pretrained
from weightspace.training.progress import Progress
from weightspace.zoo import splits

BASELINE = "constant"
COUNTING = "counting"  # symbols of networks' own samples
PAPER = json.loads((Path(__file__).parent / "paper.json").read_text())[
    "emulation"
]
SHOWN_ROWS = 1500  # final snapshots in the pictures of codes


class Study:
  """Encoders of one zoo and the numbers about them."""

  def __init__(
      self,
      source: zoo.Zoo,
      encoders: Mapping[str, tuple[Pretrained, Mapping[str, Any]]],
      config: Mapping[str, Any],
      mesh=None,
  ):
    """Takes what there is to study.

    Args:
      source: the zoo.
      encoders: by name, each with the config it was trained with; all with
        the same split.
      config: fields of `prediction.Config`.
      mesh: where rows are spread.
    """
    self.source, self.encoders, self.mesh = source, encoders, mesh
    self.family = tasks.make(source.spec.family, source.spec.family_config)
    self.scope = properties.Scope(
        self.family.spec, source.spec.snapshot_steps
    )
    self.prediction = plugins.configure(
        prediction.Config, config, "prediction"
    )
    seeds = {c["emulation"]["split_seed"] for _, c in encoders.values()}
    if len(seeds) != 1:
      raise ValueError(f"encoders were trained on different splits: {seeds}")
    self.split = splits.of_zoo(source, self.family, seed=seeds.pop())
    self.columns = source.columns
    self.codes = {
        name: codes_lib.of_zoo(source, pretrained)
        for name, (pretrained, _) in encoders.items()
        if name != truth.NAME
    }

  def results(self, *, progress: Progress) -> dict[str, Any]:
    """All of it, as JSON values."""
    found = {
        "commit": commit(),
        "software": software(),
        **describe_zoo(self.source, self.split),
        "emulation": self._emulation(progress),
        "prediction": self._prediction(progress),
        **self._codes(),
        "transcripts": self._transcripts(),
    }
    return {"headline": headline.of(found), **found}

  def _emulation(self, progress):
    parts = {"validation": self.split.validation, "ood": self.split.ood}
    losses = {}
    with progress.stage(
        "measure emulation", total=len(self.encoders), unit="encoders"
    ) as stage:
      for name, (pretrained, config) in self.encoders.items():
        losses[name] = emulation.row_losses(
            self.source, pretrained, config, parts, mesh=self.mesh
        )
        stage.advance()
    found = {}
    for name, (pretrained, config) in self.encoders.items():
      found[name] = _training(pretrained, config)
      for part, rows in parts.items():
        row_tasks = self.columns["task"][rows]
        found[name][part] = {
            divergence: bootstrap.mean(values, row_tasks)._asdict()
            for divergence, values in losses[name][part].items()
        }
        if BASELINE in losses and name != BASELINE:
          divergence = _score(config)
          found[name].setdefault("gain", {})[part] = emulation.gain(
              losses[name][part][divergence],
              losses[BASELINE][part][divergence],
              row_tasks,
          )._asdict()
    (divergence, *_) = {
        _score(c) for _, c in self.encoders.values()
    }
    paper = PAPER.get(self.source.spec.family, {})
    return {
        "divergence": divergence,
        "encoders": found,
        "paper": {k: list(v) for k, v in paper.items() if k in found},
    }

  def _prediction(self, progress):
    rows = prediction.make_rows(
        self.split, self.columns["task"], self.prediction.seed
    )
    found = {
        name: prediction.predict(
            codes,
            self.columns,
            rows,
            self.scope,
            self.prediction,
            progress=progress,
            name=name,
        )
        for name, codes in self.codes.items()
    }
    if "task" in self.prediction.properties and self.family.decode:
      found[COUNTING] = {"task": {"strict": self._counted(rows)}}
    report: dict[str, Any] = {"encoders": found}
    last = list(self.codes)[-1]
    if "accuracy" in self.prediction.properties:
      report["scatter"] = {
          "encoder": last,
          "predicted": np.ravel(
              found[last]["accuracy"]["strict"]["predictions"]
          ).tolist(),
          "actual": self.columns["accuracy"][rows.test].tolist(),
      }
    for by_property in found.values():
      for protocols in by_property.values():
        for report_of in protocols.values():
          report_of.pop("predictions", None)
    return report

  def _counted(self, rows):
    """How well the task is told from rollouts by `TaskFamily.decode`."""
    property_ = properties.load("task")
    shape = property_.shape(self.scope)
    outputs = np.zeros((len(self.source), *shape), np.float32)
    chosen = np.concatenate([rows.validation, rows.test])
    told = jax.jit(jax.vmap(self.family.decode))(
        self.source.rollouts(chosen).sequences
    )
    outputs[chosen] = np.eye(shape[-1])[
        property_.target({"task": np.asarray(told)}, self.scope)
    ]
    return prediction.measure_with_steps(
        "task", [outputs], self.columns, rows, self.scope,
        resamples=self.prediction.resamples,
    )  # fmt: skip

  def _codes(self):
    last = self.source.spec.snapshot_steps[-1]
    final = [rows[self.columns["step"][rows] == last] for rows in self.split]
    everything = np.concatenate(final)
    part_of = np.repeat(self.split._fields, [len(rows) for rows in final])
    generator = np.random.default_rng(0)
    count = min(SHOWN_ROWS, len(everything))
    chosen = np.sort(
        generator.choice(len(everything), count, replace=False)
    )
    rows, part_of = everything[chosen], part_of[chosen]
    pictures = {}
    for name, codes in self.codes.items():
      if name == BASELINE:
        continue
      points, share = codes_lib.pca(codes[rows])
      pictures[name] = {
          "pca": np.round(points, 4).tolist(),
          "explained": [float(s) for s in share],
      }
    return {
        "codes": pictures,
        "rows": {
            "net_id": self.columns["net_id"][rows].tolist(),
            "step": self.columns["step"][rows].tolist(),
            "task": self.columns["task"][rows].tolist(),
            "language": [
                self.family.describe(t) for t in self.columns["task"][rows]
            ],
            "accuracy": self.columns["accuracy"][rows].tolist(),
            "split": part_of.tolist(),
        },
    }

  def _transcripts(self):
    """Interrogations of a held-out network that does its task well."""
    rows = self.split.validation
    last = self.columns["step"][rows] == self.source.spec.snapshot_steps[-1]
    rows = rows[last]
    if not len(rows):
      return []
    row = rows[np.argmax(self.columns["accuracy"][rows])]
    weights = jax.tree.map(lambda a: a[0], self.source.weights([row]))
    sample = self.source.rollouts([row]).sequences[0, 0]
    symbols = self.family.spec.symbols
    found = []
    for name, (pretrained, _) in self.encoders.items():
      encoder = pretrained.model.encoders[self.source.shapes[row]]
      if encoder.transcript is None:
        continue
      seen = jax.jit(encoder.transcript)(
          pretrained.params["encoder"], weights
      )
      found.append({
          "encoder": name,
          "net_id": int(self.columns["net_id"][row]),
          "step": int(self.columns["step"][row]),
          "language": self.family.describe(self.columns["task"][row]),
          "accuracy": float(self.columns["accuracy"][row]),
          "symbols": list(symbols),
          "probes": np.round(np.asarray(seen.probes), 4).tolist(),
          "answers": np.round(jax.nn.softmax(seen.answers), 4).tolist(),
          "sample": " ".join(symbols[t] for t in sample) if symbols else "",
      })
    return found


def describe_zoo(source: zoo.Zoo, split: splits.Splits) -> dict[str, Any]:
  """"zoo", what its networks are and how they learned, and "splits"."""
  spec, columns = source.spec, source.columns
  steps = list(spec.snapshot_steps)
  finite = columns["finite"]

  def curve(name):
    values = [columns[name][(columns["step"] == s) & finite] for s in steps]
    return {
        "median": [float(np.median(v)) for v in values],
        "mean": [float(np.mean(v)) for v in values],
        "low": [float(np.quantile(v, 0.1)) for v in values],
        "high": [float(np.quantile(v, 0.9)) for v in values],
    }

  final = columns["accuracy"][(columns["step"] == steps[-1]) & finite]
  described = {
      "family": spec.family,
      "shapes": [
          {
              "cell": rnn.spec.cell,
              "hidden": list(rnn.spec.hidden),
              "parameters": rnn.size,
          }
          for rnn in source.rnns
      ],
      "networks": spec.num_networks,
      "tasks": len(np.unique(columns["task"], axis=0)),
      "rows": len(source),
      "diverged": int(np.sum(~finite)),
      "steps": steps,
      "curves": {name: curve(name) for name in spec.metric_names},
      "final_accuracy": [float(a) for a in final],
  }
  return {
      "zoo": described,
      "splits": {
          name: {
              "tasks": len(np.unique(columns["task"][rows], axis=0)),
              "rows": len(rows),
          }
          for name, rows in split._asdict().items()
      },
  }


def _score(config):
  """The divergence that validation measured, of runs of any age."""
  return plugins.configure(
      training.Config, config["emulation"], "emulation"
  ).score


def _training(pretrained, config):
  history = pretrained.history
  validated = [h for h in history if "validation/loss" in h]
  trained = [h for h in history if "loss" in h]
  leaves = jax.tree.leaves(pretrained.params["encoder"])
  return {
      "parameters": sum(int(np.size(leaf)) for leaf in leaves),
      "steps": config["emulation"]["steps"],
      "best_step": pretrained.step,
      "curve": {
          "step": [h["step"] for h in trained],
          "train": [h["loss"] for h in trained],
      },
      "validation_curve": {
          "step": [h["step"] for h in validated],
          "loss": [h["validation/loss"] for h in validated],
      },
  }


def software() -> dict[str, str]:
  """Versions of what computes."""
  from weightspace.recurrence import kernels_name
  from weightspace.zoo import manifest

  return manifest.software(
      ("jax", "jaxlib", "flax", "optax", "numpy"), kernels_name()
  )


def commit() -> str | None:
  """The commit of the source as it is now, if it is a git checkout."""
  try:
    return subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return None


def write(path: str | os.PathLike, found: Mapping[str, Any]) -> None:
  """Writes results as JSON, atomically; what is not finite becomes null."""
  files.replace_text(
      Path(path), json.dumps(_finite(found), indent=1, allow_nan=False) + "\n"
  )


def _finite(value):
  if isinstance(value, Mapping):
    return {k: _finite(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
