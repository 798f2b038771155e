"""What was claimed of the method, and what a study says of each claim.

A claim is a number that must be above a threshold, with what would show it. It
holds if the whole interval is above, does not hold if all of it is below, and
is not decided otherwise, or where the study did not measure it. Losses are
compared row by row. Any other difference has the interval of the farthest ends
of both estimates, which is wider than that of a paired comparison.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.configs.reproduce import DIGITS, LANGUAGES, PROBING
from experiments.study import evidence
from experiments.study.evidence import ENOUGH, READING, Cell, Results

COMPARED = (*READING, *PROBING)  # of which losses are compared, row by row
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided here"


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
    cell = evidence.known(claim.measure(results))
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


_PAPER, _PROJECT = "the paper", "the project's first page"
CLAIMS = (
    Claim(
        "Encoders that run the network emulate languages better than those"
        " that read its weights.", _PAPER,
        "share of the loss of the best reading encoder that the best probing"
        " one removes",
        evidence.emulated_better(LANGUAGES, PROBING, READING),
    ),
    Claim(
        "Interactive probing emulates languages best.", _PAPER,
        "share of the loss of the best other encoder of the paper that it"
        " removes",
        evidence.emulated_better(
            LANGUAGES, ("interactive",), ("noninteractive", *READING)
        ),
    ),
    Claim(
        "Probing emulates digits better than reading the weights.", _PAPER,
        "share of the loss of the best reading encoder that the best probing"
        " one removes",
        evidence.emulated_better(DIGITS, PROBING, READING),
    ),
    Claim(
        "Codes of interactive probing are far ahead on unseen languages.",
        _PAPER, "numbers of the language right, less those of the best other"
        " encoder of the paper, final networks",
        evidence.predicted_better(
            LANGUAGES, "task", "per_count_accuracy", ("interactive",),
            (*READING, "noninteractive"), protocol="paper",
        ),
    ),
    Claim(
        "Codes of both probing encoders are ahead on unseen angles.", _PAPER,
        "degrees of the best reading encoder less those of the worse probing"
        " one, final networks",
        lambda results: min(
            (
                evidence.predicted_better(
                    DIGITS, "angle", "degrees", (e,), READING, lowest=True,
                    protocol="paper",
                )(results)
                for e in PROBING
            ),
            key=lambda cell: cell["value"],
        ),
    ),
    Claim(
        "DWSNet's codes are the best on accuracy.", _PAPER,
        "R2 of accuracy on digits, all snapshots, less that of the best other"
        " encoder",
        evidence.predicted_better(
            DIGITS, "accuracy", "r2", ("dws",),
            ("statistics", "flat", "transformer", *PROBING), protocol="paper",
            final=False,
        ),
    ),
    Claim(
        "Interactive probing is weak if it is trained end to end alone.",
        _PAPER, "numbers of the language right from frozen codes, less those"
        " of end-to-end training of fewer steps, final networks",
        evidence.frozen_over_supervised,
    ),
    Claim(
        "Only interactive probing's clones follow the networks they copy.",
        _PAPER,
        "correlation of accuracies within training steps, less the best of the"
        " others",
        evidence.clones("interactive", (*READING, "noninteractive")),
    ),
    Claim(
        "A clone performs as the network it copies.", _PAPER,
        "correlation of accuracies within training steps, best encoder",
        evidence.clone_correlation, 0.8,
    ),
    Claim(
        "Codes cluster by language.", _PAPER,
        "share of the 10 nearest networks with the same language, less that of"
        " the best encoder that reads weights", evidence.neighbours,
    ),
    Claim(
        "Interactive probing trains unstably.", _PAPER,
        "deviation of its loss over seeds, divided by that of non-interactive"
        " probing, less 1", evidence.spread,
    ),
    Claim(
        "For some sets of functions interaction saves exponentially many"
        " queries.", _PAPER, "secret paths: loss of 64 fixed sequences, of"
        " which 128 suffice, less that of one interactive sequence",
        evidence.fixed_queries,
    ),
    Claim(
        "+25 % on unseen tasks over baselines.", _PROJECT,
        "per cent more numbers of unseen languages right than the best of the"
        " paper's encoders that read weights", evidence.gain, 25.0,
    ),
    Claim(
        "Robust to task shifts with minimal additional data.", _PROJECT,
        "numbers of unseen languages right after one labelled network of each,"
        " final networks",
        evidence.few_labels, ENOUGH,
    ),
    Claim(
        "Limited to few classes.", _PROJECT,
        "share of final networks of unseen languages, of 216, whose language"
        " is not all right",
        lambda results: evidence.minus(
            {"value": 1, "low": 1, "high": 1}, evidence.all_right(results)
        ), 0.5,
    ),
    Claim(
        "Needs large amounts of labelled data.", _PROJECT,
        "labelled networks of each unseen language, on average, until nine of"
        " ten numbers are right", evidence.labels_needed, 8.0,
    ),
)  # fmt: skip
