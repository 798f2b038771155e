"""Cells of tables from what heads say: every metric of every property."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.reproduction.bench import Bench
from weightspace import properties as properties_lib
from weightspace.evaluation import prediction

MOST_RESAMPLES = 200
# The metric of a single row, of which errors are means
_OF_ROWS = {"task": "per_count_accuracy", "step": "accuracy",
            "angle": "degrees"}  # fmt: skip


def properties(
    bench: Bench,
    outputs: Mapping[str, np.ndarray],
    protocol: str,
    part: str,
    runs: Sequence[str],
) -> dict[str, Any]:
  """{property: {protocol: {part: {metric: cell}}}}.

  Args:
    bench: the zoo.
    outputs: by property, [S, R, *shape] of all rows.
    protocol: that they were trained under.
    part: "validation" or "test".
    runs: names of the S.
  """
  found = {}
  for name, values in outputs.items():
    of_part = prediction.measure(
        name,
        list(values),
        bench.source.columns,
        bench.rows,
        bench.scope,
        parts=(part,),
        # Such statistics take time; 1000 of them no reader would tell from
        resamples=min(MOST_RESAMPLES, bench.config["resamples"]),
    )[part]
    cells = {
        metric: {**estimate, "runs": list(runs)}
        for metric, estimate in of_part.items()
    }
    found[name] = {protocol: {part: cells}}
  return found


def target(bench: Bench, name: str, rows: np.ndarray) -> np.ndarray:
  """What is to be told of rows, [n, ...]."""
  columns = bench.source.columns
  return properties_lib.load(name).target(columns, bench.scope)[rows]


def of_rows(
    bench: Bench, name: str, outputs: np.ndarray, rows: np.ndarray
) -> tuple[str, bool, np.ndarray]:
  """A metric that each row has by itself.

  Args:
    bench: the zoo.
    name: of a property.
    outputs: [n, *shape].
    rows: [n].

  Returns:
    Its name, whether more of it is better, and its values [n].
  """
  property_ = properties_lib.load(name)
  metric = _OF_ROWS.get(name, "mse")
  targets = target(bench, name, rows)
  values = [
      property_.metrics(outputs[i : i + 1], targets[i : i + 1])[metric]
      for i in range(len(rows))
  ]
  return metric, property_.kind == "classification", np.array(values)
