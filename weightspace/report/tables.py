"""Tables of results, as HTML for readers and as CSV for programs."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from weightspace.report import text, wording

MEASURES = {
    "per_count_accuracy": ("share of counts right", text.precise_percent),
    "all_right": ("all three counts right", text.precise_percent),
    "accuracy": ("share right", text.precise_percent),
    "degrees": ("mean error", text.degrees),
    "mse": ("mean squared error", text.number),
    "r2": ("R²", text.number),
    "kendall_tau": ("Kendall’s τ", text.number),
}
_PARTS = ("validation", "ood")
PROPERTIES = {
    "task": "language",
    "step": "training step",
    "generalization_gap": "generalization gap",
}
PROTOCOLS = {
    "strict": "heads saw no OOD {task}",
    "paper": "heads saw half of them",
}


class Cell(NamedTuple):
  """One value: a string, a number, or an estimate with its interval.

  An estimate may name the "runs" it comes from: readers see them where they
  point at it, programs in a column of their own.
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
  """

  head: tuple[str, ...]
  keys: tuple[str, ...]
  rows: list[list[Cell]]
  labels: int = 1
  groups: tuple[tuple[str, int], ...] = ()


def emulation(results: Mapping[str, Any]) -> Table:
  """How well each encoder's codes let an emulator imitate networks."""
  found = results["emulation"]
  encoders, paper = found["encoders"], found.get("paper", {})
  names = text.ordered(encoders)
  others = {d for n in names for d in encoders[n]["validation"]}
  divergences = [found["divergence"], *sorted(others - {found["divergence"]})]
  rows = []
  for name in names:
    one = encoders[name]
    row = [
        Cell(name, text.encoder),
        Cell(one.get("parameters"), text.count),
        *(
            Cell(one.get(split, {}).get(divergence), text.number)
            for divergence in divergences
            for split in _PARTS
        ),
        *(
            Cell(one.get("gain", {}).get(split), text.precise_percent)
            for split in _PARTS
        ),
    ]
    if paper:
      row.append(Cell(_estimate(paper.get(name)), text.number))
    rows.append(row)
  parts = tuple(text.SPLITS[split] for split in _PARTS)
  return Table(
      head=(
          "encoder", "parameters", *parts * (len(divergences) + 1),
          *(["validation"] if paper else []),
      ),
      keys=(
          "encoder", "parameters",
          *(f"{d}_{split}" for d in [*divergences, "gain"] for split in _PARTS),
          *(["paper_validation"] if paper else []),
      ),
      rows=rows,
      groups=(
          ("", 2), *((text.divergence(d), 2) for d in divergences),
          ("loss removed", 2), *([("the paper", 1)] if paper else []),
      ),
  )  # fmt: skip


def prediction(results: Mapping[str, Any]) -> Table:
  """What heads tell from frozen codes: a row a measure and encoder.

  Of networks at the end of their training, and of all their snapshots.
  """
  measures: dict[tuple[str, str], list[str]] = {}
  protocols: list[str] = []
  found = results["prediction"]["encoders"]
  for name in text.ordered(found):
    for property_, by_protocol in found[name].items():
      for protocol, parts in by_protocol.items():
        protocols += [protocol] if protocol not in protocols else []
        for measure in parts["test"]:
          listed = measures.setdefault((property_, measure), [])
          listed += [name] if name not in listed else []

  def title(protocol):
    words = wording.of(results)
    return PROTOCOLS.get(protocol, protocol).format(task=words.task)

  rows = []
  for (property_, measure), names in measures.items():
    write = MEASURES.get(measure, ("", text.number))[1]
    for name in names:
      parts = [
          column
          for p in protocols
          for column in _columns(found[name][property_].get(p, {}))
      ]
      rows.append([
          Cell(property_, lambda p: PROPERTIES.get(p, p)),
          Cell(measure, lambda m: MEASURES.get(m, (m,))[0]),
          Cell(name, text.encoder),
          *(Cell(part.get(measure), write) for part in parts),
      ])
  return Table(
      head=(
          "property", "measure", "codes of",
          *("final networks", "all snapshots") * len(protocols),
      ),
      keys=(
          "property", "measure", "encoder",
          *(f"{p}_{column}" for p in protocols for column in
            ("test_final", "test")),
      ),
      rows=rows,
      labels=3,
      groups=(("", 3), *((title(p), 2) for p in protocols)),
  )  # fmt: skip


def final(report: Mapping[str, Any]) -> Mapping[str, Any]:
  """What a report of predictions says of final snapshots: "test", ...

  Empty where it does not tell snapshots apart.
  """
  return (list(report.get("by_step", {}).values()) or [{}])[-1]


def _columns(report):
  """Metrics on the test of final networks and of all snapshots."""
  return final(report).get("test", {}), report.get("test", {})


def splits(results: Mapping[str, Any]) -> Table:
  """How tasks, and with them networks, were divided."""
  rows = [
      [
          Cell(name, lambda n: text.SPLITS.get(n, n)),
          Cell(one["tasks"], text.count),
          Cell(one["rows"], text.count),
      ]
      for name, one in results["splits"].items()
  ]
  return Table(
      ("split", wording.of(results).tasks, "snapshots"),
      ("split", "tasks", "rows"),
      rows,
  )


def to_html(table: Table) -> str:
  """The table as HTML; a label that repeats the row above it is left out."""
  lines = ["<table>", "<thead>"]
  if table.groups:
    spans = "".join(
        f'<th colspan="{n}" scope="colgroup">{text.escape(title)}</th>'
        if title else f'<td colspan="{n}"></td>'
        for title, n in table.groups
    )  # fmt: skip
    lines.append(f'<tr class="groups">{spans}</tr>')
  head = "".join(
      f'<th scope="col"{_kind(i, table)}>{text.escape(title)}</th>'
      for i, title in enumerate(table.head)
  )
  lines += [f"<tr>{head}</tr>", "</thead>", "<tbody>"]
  above: list[Any] = []
  for row in table.rows:
    labels = [cell.value for cell in row[: table.labels]]
    same = _same(labels, above)
    starts = ' class="starts"' if above and same < table.labels - 1 else ""
    cells = [
        f'<th scope="row">{"" if i < same else _html(cell)}</th>'
        for i, cell in enumerate(row[: table.labels])
    ]
    cells += [
        f'<td class="number"{_origin(cell)}>{_html(cell)}</td>'
        for cell in row[table.labels :]
    ]
    lines.append(f"<tr{starts}>{''.join(cells)}</tr>")
    above = labels
  return "\n".join([*lines, "</tbody>", "</table>"])


def to_csv(table: Table) -> str:
  """The table as CSV: exact numbers, K, K_low and K_high for intervals.

  Where intervals name their runs, these are in K_runs, divided by spaces.
  """
  parts = [
      _parts([row[i].value for row in table.rows])
      for i in range(len(table.keys))
  ]
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow([
      f"{key}_{part}" if part not in (None, "value") else key
      for key, of_key in zip(table.keys, parts)
      for part in of_key
  ])
  for row in table.rows:
    fields: list[Any] = []
    for cell, of_key in zip(row, parts):
      fields += [_plain(cell.value, part) for part in of_key]
    writer.writerow(fields)
  return out.getvalue()


def _estimate(triple):
  return None if triple is None else dict(zip(("value", "low", "high"), triple))


def _kind(i, table):
  return "" if i < table.labels else ' class="number"'


def _same(labels, above):
  """How many labels, from the left, are those of the row above."""
  same = 0
  for label, other in zip(labels, above):
    if label != other:
      break
    same += 1
  return same


def _html(cell):
  value, write = cell
  if not isinstance(value, Mapping):
    return "–" if value is None else text.escape(write(value))
  shown = text.escape(write(value.get("value")))
  low, high = value.get("low"), value.get("high")
  if not (text.is_number(low) and text.is_number(high)):
    return shown
  between = text.escape(text.between(low, high, write))
  return f'{shown}<span class="interval">{between}</span>'


def _origin(cell):
  runs = _plain(cell.value, "runs")
  return f' title="runs: {text.escape(runs)}"' if runs else ""


def _parts(values):
  """The fields that a column of these values has in a CSV file."""
  estimates = [value for value in values if isinstance(value, Mapping)]
  if not estimates:
    return (None,)
  runs = ("runs",) if any("runs" in one for one in estimates) else ()
  return ("value", "low", "high", *runs)


def _plain(value, part):
  if not isinstance(value, Mapping):
    return value if part in (None, "value") else None
  found = value.get(part)
  return " ".join(map(str, found)) if part == "runs" and found else found
