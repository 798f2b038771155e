"""Encoders with a field or two of their config changed (validation only).

What each ingredient of an encoder is worth, how many sequences are probed and
how long they are, what makes interactive probing train more steadily: all are
groups of variants of `configs/ingredients.py`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.study import emulation
from experiments.study.study import Study
from weightspace import properties
from weightspace.evaluation import codes, fitting
from weightspace.evaluation.prediction import estimates
from weightspace.progress import Progress


def jobs(config, family: str) -> list[str]:
  """One for each variant of every group."""
  return [
      name
      for group in (config["variants"] or {}).values()
      if family in group["steps"]
      for name in group["variants"]
  ]


def group_of(config, family: str, name: str) -> tuple[str, Mapping[str, Any]]:
  """Title and config of the group that a family's variant is of."""
  return next(
      (title, group)
      for title, group in config["variants"].items()
      if name in group["variants"] and family in group["steps"]
  )


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Trains with the changed fields and measures on validation."""
  title, group = group_of(study.config, study.name, name)
  changed = dict(group["variants"][name])
  encoder = changed.pop("base")
  study.note("train, validation", "all", f"variants {name}")
  config = study.model(
      encoder, group["steps"][study.name], study.chosen("emulation", encoder),
      validations=group.get("validations", 5),
  )  # fmt: skip
  for part, fields in changed.items():
    config[part] |= fields
  first = study.config["seed"]
  seeds = list(range(first, first + group["seeds"]))
  runs, pretrained = emulation.train(
      study, "variants", name, encoder, config, seeds, progress
  )
  losses = emulation.row_losses(study, pretrained, "validation")
  cells = emulation.cells(study, losses, study.split.validation, list(runs))
  report = {
      "group": title,
      "base": encoder,
      "fields": changed,
      "validation": cells[pretrained[0].config.training.score],
  }
  if group.get("head"):
    report["prediction"] = _prediction(study, group["head"], pretrained, runs)
  return {"runs": runs, "variants": {study.name: {name: report}}}


def _prediction(study, fields, pretrained, runs):
  """What heads predict of final networks of validation tasks."""
  name = "task" if study.family.spec.classes is not None else "angle"
  outputs = []
  for one in pretrained:
    encoded = codes.of_zoo(study.zoo, one)
    train = fitting.make_trainer(
        name, study.scope, encoded.shape[-1], fitting.Config(**fields)
    )
    head = train(
        encoded, study.zoo.columns, study.split.train, study.split.validation, 0
    )
    outputs.append(head.outputs)
  rows = study.final(study.split.validation)
  property_ = properties.load(name)
  targets = np.asarray(property_.target(study.zoo.columns, study.scope))[rows]
  measured = estimates(
      property_, [one[rows] for one in outputs], targets, study.tasks(rows),
      min(200, study.config["resamples"]),
  )  # fmt: skip
  return {name: {
      metric: {**estimate, "runs": list(runs)}
      for metric, estimate in measured.items()
  }}  # fmt: skip
