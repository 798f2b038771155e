"""What was claimed of the method, and what a study says of each claim.

A claim is a number that must be above a threshold, with what would show it. It
holds if the whole interval is above, does not hold if all of it is below, and
is not decided otherwise, or where the study did not measure it. Losses are
compared row by row. Any other difference has the interval of the farthest ends
of both estimates, which is wider than that of a paired comparison.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.configs.reproduce import DIGITS, LANGUAGES, PATHS, PROBING
from experiments.study import headline

READING = ("statistics", "flat", "transformer", "dws")
COMPARED = (*READING, *PROBING)  # of which losses are compared, row by row
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided here"
_FEW = 0.9  # share of a task's numbers that counts as knowing the task

Cell = Mapping[str, Any]  # "value", "low", "high"
Results = Mapping[str, Any]


class Claim(NamedTuple):
  """One claim.

  Attributes:
    claim: in the words of who made it, or close to them.
    origin: who made it.
    shown_by: what was measured.
    measure: (results) -> a cell; KeyError where a study did not measure it.
    above: what it must exceed.
  """

  claim: str
  origin: str
  shown_by: str
  measure: Callable[[Results], Cell]
  above: float = 0.0


def of(results: Results) -> list[dict[str, Any]]:
  """Every claim with its verdict, and the command and commit behind it."""
  return [_verdict(claim, results) for claim in CLAIMS]


def _verdict(claim, results):
  try:
    cell = claim.measure(results)
  except KeyError:
    cell = {"value": None, "low": None, "high": None}
  verdict = OPEN
  if cell["value"] is not None:
    if cell["low"] > claim.above:
      verdict = HOLDS
    elif cell["high"] < claim.above:
      verdict = FAILS
  runs = results["runs"]
  commits = {runs[r]["commit"] for r in cell.get("runs", ()) if r in runs}
  commits.discard(None)  # from outside of a repository
  return {
      "claim": claim.claim,
      "origin": claim.origin,
      "shown_by": claim.shown_by,
      "verdict": verdict,
      **{name: cell[name] for name in ("value", "low", "high")},
      "above": claim.above,
      "runs": list(cell.get("runs", ())),
      "command": results["command"],
      "commit": " ".join(sorted(commits)) or results["commit"],
  }


def _minus(a: Cell, b: Cell) -> Cell:
  return {
      "value": a["value"] - b["value"],
      "low": a["low"] - b["high"],
      "high": a["high"] - b["low"],
      "runs": [*a.get("runs", ()), *b.get("runs", ())],
  }


def _loss(results, family, encoder):
  of_family = results["emulation"][family]
  return of_family["encoders"][encoder]["validation"][of_family["divergence"]]


def _final(results, family, way, encoder, name, metric, protocol="strict"):
  """A property of final networks of held-out tasks."""
  report = results["prediction"][family][way][encoder][name][protocol]
  return headline.final(report)["test"][metric]


def _best(cells: Sequence[Cell], lowest: bool) -> Cell:
  return (min if lowest else max)(cells, key=lambda cell: cell["value"])


def _emulated_better(family, encoders, over):
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


def _predicted_better(
    family, name, metric, encoders, over, *, lowest=False, protocol="strict"
):
  """By how much codes of the best of some say more than those of others."""

  def measure(results):
    ours, others = (
        _best([
            _final(results, family, "frozen", e, name, metric, protocol)
            for e in names
        ], lowest)
        for names in (encoders, over)
    )  # fmt: skip
    return _minus(others, ours) if lowest else _minus(ours, others)

  return measure


def _frozen_over_supervised(results):
  frozen, supervised = (
      _final(results, LANGUAGES, way, "interactive", "task",
             "per_count_accuracy")
      for way in ("frozen", "supervised")
  )  # fmt: skip
  return _minus(frozen, supervised)


def _spread(results):
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


def _clones(encoder, over):
  def measure(results):
    of_family = results["clones"][LANGUAGES]
    return _minus(
        of_family[encoder]["correlation"],
        _best([of_family[e]["correlation"] for e in over], False),
    )

  return measure


def _clone_correlation(results):
  best = headline.of_family(results, LANGUAGES)["encoder"]
  return results["clones"][LANGUAGES][best]["correlation"]


def _neighbours(results):
  """Share of the 10 nearest networks with the task, less that of weights."""
  of_family = results["neighbours"][LANGUAGES]
  best = headline.of_family(results, LANGUAGES)["encoder"]
  ours, weights = (
      of_family[name]["precision"][-1]["value"] for name in (best, "weights")
  )
  return _minus(ours, weights)


def _gain(results):
  """Relative gain of the best encoder over the best of those that read."""
  best = headline.of_family(results, LANGUAGES)["encoder"]
  ours, other = (
      _best([
          _final(results, LANGUAGES, "frozen", e, "task", "per_count_accuracy")
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


def _few_labels(results):
  """With one labelled network of each unseen task, over chance."""
  report = results["labels"][LANGUAGES]["properties"]["task"]
  return report["arms"][report["improvement"]["of"]][0]


def _labels_needed(results):
  """Networks labelled of each unseen task, at least, to know tasks."""
  labels = results["labels"][LANGUAGES]
  report = labels["properties"]["task"]
  arm = report["arms"][report["improvement"]["of"]]
  most = max(labels["networks"]) + 1

  def first(end):
    enough = [n for n, c in zip(labels["networks"], arm) if c[end] >= _FEW]
    return float(min(enough, default=most))

  runs = [run for cell in arm for run in cell["runs"]]
  return {"value": first("value"), "low": first("high"), "high": first("low"),
          "runs": runs}  # fmt: skip


def _all_right(results):
  best = headline.of_family(results, LANGUAGES)["encoder"]
  return _final(results, LANGUAGES, "frozen", best, "task", "all_right")


def _fixed_queries(results):
  """Loss of the most fixed probes, less that of one interactive sequence."""
  variants = results["variants"][PATHS]
  fixed = variants[max(variants, key=lambda name: int(name.split("=")[-1]))]
  return _minus(fixed["validation"], _loss(results, PATHS, "interactive"))


_PAPER, _PROJECT = "the paper", "the project's first page"
CLAIMS = (
    Claim(
        "Encoders that run the network emulate languages better than those"
        " that read its weights.", _PAPER,
        "share of the loss of the best reading encoder that the best probing"
        " one removes",
        _emulated_better(LANGUAGES, PROBING, READING),
    ),
    Claim(
        "Interactive probing emulates languages best.", _PAPER,
        "share of the loss of non-interactive probing that it removes",
        _emulated_better(LANGUAGES, ("interactive",), ("noninteractive",)),
    ),
    Claim(
        "Probing emulates digits better than reading the weights.", _PAPER,
        "share of the loss of the best reading encoder that the best probing"
        " one removes",
        _emulated_better(DIGITS, PROBING, READING),
    ),
    Claim(
        "Codes of interactive probing are far ahead on unseen languages.",
        _PAPER, "numbers of the language right, less those of the best other"
        " encoder of the paper, final networks",
        _predicted_better(
            LANGUAGES, "task", "per_count_accuracy", ("interactive",),
            (*READING, "noninteractive"), protocol="paper",
        ),
    ),
    Claim(
        "Codes of both probing encoders are ahead on unseen angles.", _PAPER,
        "degrees of the best reading encoder less those of the worse probing"
        " one, final networks",
        lambda results: min(
            (_predicted_better(DIGITS, "angle", "degrees", (e,), READING,
                               lowest=True, protocol="paper")(results)
             for e in PROBING),
            key=lambda cell: cell["value"],
        ),
    ),
    Claim(
        "DWSNet's codes are the best on accuracy.", _PAPER,
        "R2 of accuracy on digits, less that of the best other encoder",
        _predicted_better(
            DIGITS, "accuracy", "r2", ("dws",),
            ("statistics", "flat", "transformer", *PROBING), protocol="paper",
        ),
    ),
    Claim(
        "Interactive probing is weak if it is trained end to end alone.",
        _PAPER, "numbers of the language right from frozen codes, less those"
        " of end-to-end training, final networks", _frozen_over_supervised,
    ),
    Claim(
        "Only interactive probing's clones follow the networks they copy.",
        _PAPER,
        "correlation of accuracies, less the best of the others",
        _clones("interactive", (*READING, "noninteractive")),
    ),
    Claim(
        "A clone performs as the network it copies.", _PAPER,
        "correlation of accuracies, best encoder", _clone_correlation, 0.8,
    ),
    Claim(
        "Codes cluster by language.", _PAPER,
        "share of the 10 nearest networks with the same language, less that of"
        " raw weights", _neighbours,
    ),
    Claim(
        "Interactive probing trains unstably.", _PAPER,
        "deviation of its loss over seeds, divided by that of non-interactive"
        " probing, less 1", _spread,
    ),
    Claim(
        "For some sets of functions interaction saves exponentially many"
        " queries.", _PAPER, "secret paths: loss of 128 fixed sequences less"
        " that of one interactive sequence", _fixed_queries,
    ),
    Claim(
        "+25 % on unseen tasks over baselines.", _PROJECT,
        "per cent more numbers of unseen languages right than the best of the"
        " paper's encoders that read weights", _gain, 25.0,
    ),
    Claim(
        "Robust to task shifts with minimal additional data.", _PROJECT,
        "numbers of unseen languages right after one labelled network of each",
        _few_labels, _FEW,
    ),
    Claim(
        "Limited to few classes.", _PROJECT,
        "share of final networks of unseen languages, of 216, whose language"
        " is not all right",
        lambda results: _minus(
            {"value": 1, "low": 1, "high": 1}, _all_right(results)
        ), 0.5,
    ),
    Claim(
        "Needs large amounts of labelled data.", _PROJECT,
        "labelled networks of each unseen language until nine of ten numbers"
        " are right", _labels_needed, 8.0,
    ),
)  # fmt: skip
