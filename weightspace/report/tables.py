"""Tables: for readers as HTML or Markdown, for programs as CSV."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from weightspace.report import templates, text, vocabulary

if TYPE_CHECKING:
  import pandas as pd

_MISSING = "–"


class Cell(NamedTuple):
  """One value: a string, a number, or an estimate with its interval.

  An estimate is a mapping of "value", "low", "high" and perhaps "runs", the
  names of the runs behind it.
  """

  value: Any
  write: Callable[[Any], str] = str


class Table(NamedTuple):
  """A table: rows begin with `labels` cells that name them.

  Attributes:
    head: titles of the columns, for readers.
    keys: names of the columns, for programs.
    rows: of cells, as many as there are titles.
    labels: how many cells of a row say what it is about.
    groups: (title, number of columns) above the titles; empty for none.
    frame: the tidy rows that it shows; a CSV file has these in its place.
  """

  head: tuple[str, ...]
  keys: tuple[str, ...]
  rows: list[list[Cell]]
  labels: int = 1
  groups: tuple[tuple[str, int], ...] = ()
  frame: "pd.DataFrame | None" = None


def pivot(
    frame: "pd.DataFrame",
    rows: Mapping[str, tuple[str, Callable[[Any], str]]],
    columns: Sequence[str],
    titles: Callable[..., tuple[str, str]],
    *,
    shown: "pd.DataFrame | None" = None,
    order: Callable[..., Any] | None = None,
) -> Table:
  """A table of tidy rows: one cell for each, in the order that they have.

  Encoders are in the paper's order, though.

  Args:
    frame: of `frame.tidy`, what the table's CSV file holds.
    rows: columns of the frame that name a row of the table, each with its
      title and how to write its values.
    columns: those that name a column.
    titles: (values of `columns`) -> group and title of a column; a column
      without a group has "".
    shown: the part of the frame that readers see; by default all.
    order: (values of `columns`) -> what columns are sorted by.
  """
  shown = frame if shown is None else shown
  records = shown.to_dict("records")
  ranks = {name: list(dict.fromkeys(shown[name])) for name in rows}
  if "encoder" in ranks:
    ranks["encoder"] = vocabulary.ordered(ranks["encoder"])
  of_row = sorted(
      dict.fromkeys(tuple(r[name] for name in rows) for r in records),
      key=lambda key: [ranks[n].index(v) for n, v in zip(rows, key)],
  )
  of_column = list(
      dict.fromkeys(tuple(r[name] for name in columns) for r in records)
  )
  if order is not None:
    of_column.sort(key=lambda key: order(*key))
  heads = [titles(*key) for key in of_column]
  groups = [group for group, _ in heads]  # columns of one stand together
  order = sorted(range(len(heads)), key=lambda i: groups.index(groups[i]))
  cells = {
      (tuple(r[n] for n in rows), tuple(r[n] for n in columns)): Cell(
          r, vocabulary.write(r["metric"])
      )
      for r in records
  }
  spans = [("", len(rows))]
  for i in order:
    group = groups[i]
    if group and spans[-1][0] == group:
      spans[-1] = (group, spans[-1][1] + 1)
    else:
      spans.append((group, 1))
  return Table(
      (*(title for title, _ in rows.values()), *(heads[i][1] for i in order)),
      (*rows, *("_".join(map(str, of_column[i])) for i in order)),
      [
          [
              *(Cell(v, write) for v, (_, write) in zip(key, rows.values())),
              *(cells.get((key, of_column[i]), Cell(None)) for i in order),
          ]
          for key in of_row
      ],
      labels=len(rows),
      groups=tuple(spans) if any(groups) else (),
      frame=frame,
  )


def to_html(table: Table) -> str:
  """The table as HTML; a label that repeats the row above it is left out."""
  rows, above = [], []
  for row in table.rows:
    labels = [cell.value for cell in row[: table.labels]]
    same = 0
    while same < min(len(above), len(labels)) and labels[same] == above[same]:
      same += 1
    rows.append({
        "starts": bool(above) and same < table.labels - 1,
        "labels": [
            "" if i < same else _write(cell)
            for i, cell in enumerate(row[: table.labels])
        ],
        "cells": [
            {"text": _write(cell), "interval": _interval(cell),
             "runs": _runs(cell)}
            for cell in row[table.labels :]
        ],
    })  # fmt: skip
    above = labels
  return templates.render("table.html", table=table, rows=rows)


def to_csv(table: Table) -> str:
  """The table as CSV: the tidy rows that it shows, or else its exact values.

  Of the latter, estimates are in the columns K, K_low, K_high, and K_runs where
  they name runs, divided by spaces.
  """
  import pandas as pd

  frame = table.frame
  if frame is None:
    columns = {}
    for i, key in enumerate(table.keys):
      values = [row[i].value for row in table.rows]
      estimates = [v for v in values if isinstance(v, Mapping)]
      parts = [("value", key)]
      if estimates:
        parts += [(part, f"{key}_{part}") for part in ("low", "high")]
      if any("runs" in one for one in estimates):
        parts.append(("runs", f"{key}_runs"))
      for part, name in parts:
        columns[name] = [_plain(value, part) for value in values]
    frame = pd.DataFrame(columns, dtype=object)
  else:
    frame = frame.loc[:, ((frame != "") & frame.notna()).any()]
  return frame.to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
  """The table in Markdown; numbers as short as they can be."""
  titles = list(table.head)
  if table.groups:
    groups = [title for title, count in table.groups for _ in range(count)]
    titles = [
        ", ".join(filter(None, both)) for both in zip(groups, table.head)
    ]
  lines = [titles, ["---"] * len(titles)]
  for row in table.rows:
    labels = [_write(cell) for cell in row[: table.labels]]
    lines.append([*labels, *map(_short, row[table.labels :])])
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write(cell):
  value, write = cell
  if isinstance(value, Mapping):
    value = value.get("value")
  return _MISSING if value is None else write(value)


def _interval(cell):
  if not isinstance(cell.value, Mapping):
    return ""
  low, high = cell.value.get("low"), cell.value.get("high")
  if not (text.is_number(low) and text.is_number(high)):
    return ""
  return text.between(low, high, cell.write)


def _runs(cell):
  return _plain(cell.value, "runs") if isinstance(cell.value, Mapping) else ""


def _plain(value, part):
  if not isinstance(value, Mapping):
    return value if part == "value" else None
  of_part = value.get(part)
  return " ".join(of_part) if isinstance(of_part, list | tuple) else of_part


def _short(cell):
  """.151 (.143, .160): the digits of HTML, without units and leading zeros."""
  if not isinstance(cell.value, Mapping):
    return _write(cell)
  values = [cell.value.get(name) for name in ("value", "low", "high")]
  if not text.is_number(values[0]):
    return _MISSING
  digits = {"improvement": 0, "degrees": 1}.get(cell.value.get("metric"), 3)
  if cell.value.get("metric") == "parameters":
    return _write(cell)

  def short(x):
    if not text.is_number(x):
      return _MISSING
    shown = f"{x:.{digits}f}"
    return shown.replace("0.", ".", 1) if abs(x) < 1 and digits else shown

  value, low, high = map(short, values)
  return value if low == _MISSING else f"{value} ({low}, {high})"
