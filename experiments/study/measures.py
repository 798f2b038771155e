"""Cells of tables from the outputs of heads: every metric of a property."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.study import Study
from weightspace import properties as properties_lib
from weightspace.evaluation import prediction
from weightspace.zoo import snapshots

# The metric of a single row, of which errors are means
_OF_ROWS = {"task": "per_count_accuracy", "step": "accuracy",
            "angle": "degrees"}  # fmt: skip


def properties(
    study: Study,
    outputs: Mapping[str, np.ndarray],
    protocol: str,
    part: str,
    runs: Sequence[str],
) -> dict[str, Any]:
  """{property: {protocol: {part: metrics, "by_step": {step: {part: ...}}}}}.

  Beside the metrics of a part, {"tested": {"networks", "tasks"}} says how many
  they are of, and of classes "guess" what the most frequent one of training
  would reach. Where rows are left out, as they have no value of the property,
  "unknown" says how many of each part.

  An untrained network does nothing, so that no code could predict its task:
  final snapshots, the last of "by_step", say what codes are worth.

  Args:
    study: the zoo.
    outputs: by property, [S, R, *shape] of all rows.
    protocol: that they were trained under.
    part: "validation" or "test".
    runs: names of the S.
  """
  report = {}
  for name, values in outputs.items():

    def measure(rows, name=name, values=values):
      measured = prediction.measure(
          name,
          list(values),
          study.columns,
          rows,
          study.scope,
          parts=(part,),
          resamples=min(
              study.config["heads"]["resamples"], study.config["resamples"]
          ),
      )[part]
      return {
          part: {
              metric: {**estimate, "runs": list(runs)}
              for metric, estimate in measured.items()
          },
          **_context(study, name, rows, protocol, part),
      }

    by_step = {}
    property_ = properties_lib.load(name, study.scope)
    targets = property_.target(study.columns, study.scope)
    known = prediction.known_rows(targets, study.rows)
    for step, chosen in snapshots(study.columns, study.scope.steps).items():
      of_step = prediction.Rows(*(r[chosen[r]] for r in known))
      if len(of_step.validation) and len(of_step.test):
        by_step[str(step)] = measure(of_step)
    report[name] = {
        protocol: {**measure(known), "by_step": by_step}
    }
    if left := prediction.unknown(
        name, study.columns, study.rows, study.scope
    ):
      report[name][protocol]["unknown"] = left
  return report


def _context(study, name, rows, protocol, part):
  """How many are tested, and what a guess without a code reaches.

  The guess is the most frequent class of training, by count where there are
  several; other properties have measures that are relative to a guess.
  """
  property_ = properties_lib.load(name, study.scope)
  targets = property_.target(study.columns, study.scope)
  chosen = getattr(rows, part)
  report = {"tested": {
      "networks": {part: len(np.unique(study.columns["net_id"][chosen]))},
      "tasks": {part: len(np.unique(study.tasks(chosen), axis=0))},
  }}  # fmt: skip
  if property_.kind == "classification":
    _, classes = property_.shape(study.scope)
    of_train = targets[prediction.train_rows(rows, protocol)]
    counts = np.stack([np.bincount(c, minlength=classes) for c in of_train.T])
    guess = np.broadcast_to(counts, (len(chosen), *counts.shape))
    metric = property_.headline
    report["guess"] = {
        part: {metric: property_.metrics(guess, targets[chosen])[metric]}
    }
  return report


def listed(values: np.ndarray, known: np.ndarray) -> list[float | None]:
  """Numbers [n] with six digits; None where one is not known."""
  return [
      float(f"{value:.6g}") if there else None
      for value, there in zip(values, known)
  ]


def of_rows(
    study: Study, name: str, outputs: np.ndarray, rows: np.ndarray
) -> tuple[str, bool, np.ndarray]:
  """A metric that each row has by itself.

  Args:
    study: the zoo.
    name: of a property.
    outputs: [n, *shape].
    rows: [n].

  Returns:
    Its name, whether more of it is better, and its values [n].
  """
  property_ = properties_lib.load(name, study.scope)
  metric = _OF_ROWS.get(name, "mse")
  targets = property_.target(study.columns, study.scope)[rows]
  values = [
      property_.metrics(outputs[i : i + 1], targets[i : i + 1])[metric]
      for i in range(len(rows))
  ]
  return metric, property_.kind == "classification", np.array(values)
