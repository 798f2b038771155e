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

  Where rows are left out, as they have no value of the property, "unknown"
  beside them says how many of each part.

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
      return {part: {
          metric: {**estimate, "runs": list(runs)}
          for metric, estimate in measured.items()
      }}  # fmt: skip

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
