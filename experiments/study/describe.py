"""What a zoo is, in numbers: its networks, how they learned, its split."""

from typing import Any

import numpy as np

from experiments.study.study import Study


def zoo(study: Study) -> dict[str, Any]:
  """An entry of results["zoos"]."""
  spec, columns = study.zoo.spec, study.zoo.columns
  steps = list(spec.snapshot_steps)
  finite = columns["finite"]

  def curve(name):
    values = [columns[name][(columns["step"] == s) & finite] for s in steps]
    values = [v if len(v) else np.array([np.nan]) for v in values]
    return {
        "median": [float(np.median(v)) for v in values],
        "mean": [float(np.mean(v)) for v in values],
        "low": [float(np.quantile(v, 0.1)) for v in values],
        "high": [float(np.quantile(v, 0.9)) for v in values],
    }

  def count(tasks):
    return len(np.unique(tasks, axis=0))

  last = []
  if "accuracy" in spec.metric_names:
    last = columns["accuracy"][study.zoo.final & finite]
  return {
      "family": spec.family,
      "shapes": [
          {
              "cell": rnn.spec.cell,
              "hidden": list(rnn.spec.hidden),
              "parameters": rnn.size,
          }
          for rnn in study.zoo.rnns
      ],
      "networks": spec.num_networks,
      "tasks": count(columns["task"]),
      "task_names": list(spec.task_names),
      "rows": len(study.zoo),
      "diverged": int(np.sum(~finite)),
      "steps": steps,
      "curves": {name: curve(name) for name in spec.metric_names},
      "final_accuracy": [float(a) for a in last],
      "splits": {
          name: {"tasks": count(study.tasks(rows)), "rows": len(rows)}
          for name, rows in study.split._asdict().items()
      },
  }
