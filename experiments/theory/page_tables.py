"""Tables of the theory's page."""

from collections.abc import Sequence
from typing import Any

from experiments.theory import plots
from weightspace.report import text
from weightspace.report.tables import Cell, Table

CELLS = {"elman": "Elman", "lstm": "LSTM", "gru": "GRU"}


def costs(every: Sequence[dict[str, Any]]) -> Table:
  """How many families need how many queries."""
  rows = [
      [
          Cell(one["functions"], text.count),
          Cell(one["answers"], text.count),
          Cell(cost["interactive"], text.count),
          Cell(cost["noninteractive"], text.count),
          Cell(cost["families"], text.count),
      ]
      for one in every
      for cost in one["costs"]
  ]
  return Table(
      ("functions", "answers, at most", "interactive", "non-interactive",
       "families"),
      ("functions", "answers", "interactive", "noninteractive", "families"),
      rows,
      labels=2,
  )  # fmt: skip


def networks(rows: Sequence[dict[str, Any]]) -> Table:
  """Answers of networks built by hand."""
  deepest = max(row["depth"] for row in rows)
  shown = [
      [
          Cell(row["cell"], CELLS.__getitem__),
          Cell(row["depth"], text.count),
          Cell(row["networks"], text.count),
          Cell(row["wrong"], text.count),
          Cell(row["echoed"], text.count),
          Cell(row["bits"]["most"], _bits),
          Cell(row["bits"]["information"], _bits),
          Cell(row["bits"]["closed_form"], _bits),
      ]
      for row in rows
      if row["depth"] in (2, deepest // 2, deepest)
  ]
  return Table(
      ("cell", "d", "networks", "wrong answers", "read by echo",
       "bits revealed", "information", "2 − 2^(1 − d)"),
      ("cell", "depth", "networks", "wrong", "echoed", "bits", "information",
       "closed_form"),
      shown,
      labels=2,
  )  # fmt: skip


def _bits(value):
  return text.number(value, 4)


def learning(
    arms: Sequence[dict[str, Any]], *, predicted: bool = True
) -> Table:
  """Measured and predicted accuracy and bits of trained encoders."""
  rows = []
  for arm in sorted(arms, key=lambda arm: plots.ARMS[arm["arm"]]):
    row = [
        Cell(arm["arm"]),
        Cell(arm["depth"], text.count),
        Cell(arm["parallel"], text.count),
    ]
    for measure, write in (
        ("accuracy", text.precise_percent), ("bits", _two_digits),
    ):  # fmt: skip
      row.append(Cell(arm[measure], write))
      if predicted:
        row.append(Cell(arm["predicted"][measure], write))
    rows.append(row)
  span = 2 if predicted else 1
  titles, keys = ("encoder", "d", "M"), ("encoder", "depth", "parallel")
  for measure in ("accuracy", "bits"):
    titles += ("measured", "predicted")[:span]
    keys += (measure, f"predicted_{measure}")[:span]
  return Table(
      titles,
      keys,
      rows,
      labels=2,
      groups=(("", 3), ("words identified", span), ("bits of the word", span)),
  )


def _two_digits(value):
  return text.number(value, 2)
