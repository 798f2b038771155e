"""What shows a claim: numbers of a study's results, with their intervals.

Every measure raises KeyError where the results lack what it needs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.configs.reproduce import LANGUAGES, PATHS
from experiments.study import headline

READING = ("statistics", "flat", "transformer", "dws")
ENOUGH = 0.9  # share of a task's numbers that counts as knowing the task
_FOLLOWS = "correlation_within_steps"  # of the accuracies of clones
_SUFFICIENT = 128  # fixed sequences of 8 bits identify every path of 8 bits

Cell = Mapping[str, Any]  # "value", "low", "high"
Results = Mapping[str, Any]


def known(cell: Cell) -> Cell:
  """The cell; KeyError where its number is undefined."""
  if any(cell[name] is None for name in ("value", "low", "high")):
    raise KeyError("undefined")
  return cell


def minus(a: Cell, b: Cell) -> Cell:
  """A difference, with the farthest ends of both intervals."""
  a, b = known(a), known(b)
  return {
      "value": a["value"] - b["value"],
      "low": a["low"] - b["high"],
      "high": a["high"] - b["low"],
      "runs": [*a.get("runs", ()), *b.get("runs", ())],
  }


def _loss(results, family, encoder):
  of_family = results["emulation"][family]
  return of_family["encoders"][encoder]["validation"][of_family["divergence"]]


def _predicted(
    results, family, way, encoder, name, metric, protocol="strict", final=True
):
  """A property of held-out tasks' networks: final ones, or all snapshots."""
  report = results["prediction"][family][way][encoder][name][protocol]
  report = headline.final(report) if final else report
  return report["test"][metric]


def _best(cells: Sequence[Cell], lowest: bool) -> Cell:
  best = min if lowest else max
  return best(map(known, cells), key=lambda cell: cell["value"])


def emulated_better(family, encoders, over):
  """The share of the loss of the best of others that the best of some removes.

  Measured on validation, on the same rows.
  """

  def measure(results):
    ours, other = (
        min(names, key=lambda e: _loss(results, family, e)["value"])
        for names in (encoders, over)
    )
    comparisons = results["emulation"][family]["comparisons"]
    return comparisons[f"{ours} over {other}"]["validation"]

  return measure


def predicted_better(
    family, name, metric, encoders, over, *, lowest=False, protocol="strict",
    final=True,
):  # fmt: skip
  """By how much codes of the best of some say more than those of others."""

  def measure(results):
    ours, others = (
        _best([
            _predicted(
                results, family, "frozen", e, name, metric, protocol, final
            )
            for e in names
        ], lowest)
        for names in (encoders, over)
    )  # fmt: skip
    return minus(others, ours) if lowest else minus(ours, others)

  return measure


def frozen_over_supervised(results):
  """How much more of unseen tasks frozen codes say than end-to-end training."""
  frozen, supervised = (
      _predicted(results, LANGUAGES, way, "interactive", "task",
                 "per_count_accuracy")
      for way in ("frozen", "supervised")
  )  # fmt: skip
  return minus(frozen, supervised)


def spread(results):
  """Deviation over seeds of interactive probing's loss by the other's, less 1.

  Its interval is that of a ratio of variances, by the F distribution.
  """
  deviations, runs = [], []
  for encoder in ("interactive", "noninteractive"):
    cell = _loss(results, LANGUAGES, encoder)
    losses = [results["runs"][run]["validation"] for run in cell["runs"]]
    deviations.append(np.std(losses, ddof=1) if len(losses) > 1 else np.nan)
    runs += cell["runs"]
  ratio = deviations[0] / deviations[1]
  if not np.isfinite(ratio):
    raise KeyError("one seed has no deviation")
  from scipy.stats import f

  n = len(runs) // 2 - 1
  low, high = (
      ratio / np.sqrt(f.ppf(q, n, n)) - 1 for q in (0.975, 0.025)
  )  # fmt: skip
  return {
      "value": float(ratio - 1), "low": float(low), "high": float(high),
      "runs": runs,
  }  # fmt: skip


def clones(encoder, over):
  """How much closer clones follow their networks than those of the others."""

  def measure(results):
    of_family = results["clones"][LANGUAGES]
    return minus(
        of_family[encoder][_FOLLOWS],
        _best([of_family[e][_FOLLOWS] for e in over], False),
    )

  return measure


def clone_correlation(results):
  """How closely the clones of the best encoder follow their networks."""
  best = headline.of_family(results, LANGUAGES)["encoder"]
  return results["clones"][LANGUAGES][best][_FOLLOWS]


def neighbours(results):
  """Share of the 10 nearest networks with the task, less that of others."""
  best = headline.of_family(results, LANGUAGES)["encoder"]
  cells = {
      name: one["precision"][-1]["value"]
      for name, one in results["neighbours"][LANGUAGES].items()
  }
  return minus(cells[best], _best([cells[e] for e in READING], False))


def gain(results):
  """Relative gain of the best encoder over the best of those that read."""
  best = headline.of_family(results, LANGUAGES)["encoder"]
  ours, other = (
      _best([
          _predicted(results, LANGUAGES, "frozen", e, "task",
                     "per_count_accuracy")
          for e in names
      ], False)
      for names in ((best,), READING)
  )  # fmt: skip
  return {
      "value": 100 * (ours["value"] / other["value"] - 1),
      "low": 100 * (ours["low"] / other["high"] - 1),
      "high": 100 * (ours["high"] / other["low"] - 1),
      "runs": [*ours["runs"], *other["runs"]],
  }


def few_labels(results):
  """With one labelled network of each unseen task, over chance."""
  report = results["labels"][LANGUAGES]["properties"]["task"]
  return report["arms"][report["improvement"]["of"]][0]


def labels_needed(results):
  """Networks labelled of each unseen task, on average, to know tasks."""
  labels = results["labels"][LANGUAGES]
  report = labels["properties"]["task"]
  arm = report["arms"][report["improvement"]["of"]]

  def first(end):
    enough = [n for n, c in zip(labels["mean"], arm) if c[end] >= ENOUGH]
    if not enough:
      raise KeyError("more than any arm had")
    return float(min(enough))

  runs = [run for cell in arm for run in cell["runs"]]
  return {"value": first("value"), "low": first("high"), "high": first("low"),
          "runs": runs}  # fmt: skip


def all_right(results):
  """Share of unseen tasks that the best encoder names as a whole."""
  best = headline.of_family(results, LANGUAGES)["encoder"]
  return _predicted(results, LANGUAGES, "frozen", best, "task", "all_right")


def fixed_queries(results):
  """Loss of too few fixed probes, less that of one interactive sequence."""
  variants = results["variants"][PATHS]
  counts = {int(name.split("=")[-1]): one for name, one in variants.items()}
  fixed = counts[max(count for count in counts if count < _SUFFICIENT)]
  return minus(fixed["validation"], _loss(results, PATHS, "interactive"))
