"""Tables in Markdown of what a study found; see `tables`."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weightspace import properties
from weightspace.report import text

FAMILIES = {"formal_language": "languages", "tiled_mnist": "digits"}
PARTS = {"validation": "validation", "ood": "held out"}
_END = "<!-- end -->"
_NONE = "\u2013"


def fill(document: str, source: str, found: Mapping[str, Any]) -> str:
  """A document with the tables of one study in their places.

  Args:
    document: with `<!-- NAME of SOURCE -->`, the table, `<!-- end -->`.
    source: which study's; places of others are left alone.
    found: the results.

  Raises:
    ValueError: no such table, or a place without an end.
  """

  def table(match):
    start, name = match.group(1), match.group(2)
    if name not in TABLES:
      raise ValueError(
          f"no table {name!r}; there are: {', '.join(TABLES)}"
      )
    return f"{start}\n{TABLES[name](found)}\n{_END}"

  begin = rf"(<!-- ([a-z ]+) of {re.escape(source)} -->)"
  if len(re.findall(begin, document)) != len(
      re.findall(rf"{begin}(?:(?!<!--).)*{_END}", document, re.DOTALL)
  ):
    raise ValueError(f"a table of {source} is not closed by {_END}")
  return re.sub(
      rf"{begin}(?:(?!<!--).)*{_END}", table, document, flags=re.DOTALL
  )


def made_by(found: Mapping[str, Any]) -> str:
  """The command, and the commits that the runs are of."""
  runs = found["runs"].values()
  commits = sorted({run["commit"] or "unknown" for run in runs})
  zoos = ", ".join(
      f"{zoo['networks']} networks on {FAMILIES[name]}, {zoo['tasks']}"
      f" tasks, {zoo['rows']} snapshots"
      for name, zoo in found["zoos"].items()
  )
  minutes = sum(found["seconds"].values()) / 60
  return (
      f"`{found['command']}`, {len(runs)} runs in {minutes:.0f} minutes beside"
      f" the zoos', at {', '.join(commits)}: {zoos}."
  )


def emulation(found: Mapping[str, Any]) -> str:
  """Losses of all encoders on both zoos, beside the paper's."""
  rows = []
  for family, of_family in found["emulation"].items():
    for name in text.ordered(of_family["encoders"]):
      parts = of_family["encoders"][name]
      paper = of_family.get("paper", {}).get(name)
      rows.append([
          FAMILIES[family], text.encoder(name),
          *(
              _cell(parts.get(part, {}).get(divergence))
              for part in PARTS
              for divergence in ("total_variation", "reverse_kl")
          ),
          _interval(*paper) if paper else _NONE,
      ])  # fmt: skip
  return _table(
      ["zoo", "encoder",
       *(f"{part}, {name}" for part in PARTS.values()
         for name in ("total variation", "reverse KL")),
       "paper, validation"],
      rows,
  )  # fmt: skip


def prediction(found: Mapping[str, Any], family: str) -> str:
  """What is told of networks of a zoo's held-out tasks, strict protocol."""
  kinds = found["prediction"].get(family, {})
  frozen = kinds.get("frozen", {})
  names = list(next(iter(frozen.values()), {}))
  metrics = {name: properties.load(name).headline for name in names}
  titles = {"frozen": "frozen code", "supervised": "end to end"}
  rows = [
      [
          text.encoder(encoder),
          *(
              _cell(_entry(
                  kinds, kind, encoder, name, "strict", "test", metric
              ))
              for name, metric in metrics.items()
              for kind in titles
          ),
      ]
      for encoder in text.ordered(frozen)
  ]
  columns = [
      f"{_words(name)} ({_words(metric)}), {title}"
      for name, metric in metrics.items()
      for title in titles.values()
  ]
  return _table(["encoder", *columns], rows)


def _entry(value, *path):
  for name in path:
    value = value.get(name, {})
  return value


def clones(found: Mapping[str, Any]) -> str:
  """How well clones do what their originals do."""
  rows = [
      [FAMILIES[family], text.encoder(name), _cell(one["correlation"]),
       _cell(one["mean_absolute_error"])]
      for family, encoders in found["clones"].items()
      for name in text.ordered(encoders)
      for one in (encoders[name],)
  ]  # fmt: skip
  return _table(["zoo", "encoder", "correlation", "mean absolute error"], rows)


def few_labels(found: Mapping[str, Any]) -> str:
  """Arms with few labels on unseen tasks, and the improvement."""
  rows = []
  counts = sorted({
      count
      for of_family in found["labels"].values()
      for count in of_family["networks"]
  })
  for family, of_family in found["labels"].items():
    for name, one in of_family["properties"].items():
      title = f"{_words(name)}, {_words(one['metric'])}"
      lines = {**one["arms"], "**improvement, %**": [
          *one["improvement"]["per_cent"]
      ]}  # fmt: skip
      for arm, cells in lines.items():
        by_count = dict(zip(of_family["networks"], cells))
        digits = 0 if arm.startswith("**") else 3
        rows.append([
            FAMILIES[family], title, _arm(arm),
            *(_cell(by_count.get(count), digits) for count in counts),
        ])  # fmt: skip
  return _table(
      ["zoo", "property", "arm", *(f"{n} labelled" for n in counts)], rows
  )


def _arm(name):
  encoder, comma, how = name.partition(", ")
  return f"{text.encoder(encoder)}{comma}{how}"


def kept(found: Mapping[str, Any]) -> str:
  """What codes keep: neighbours and invariance."""
  rows = []
  for family, encoders in found["neighbours"].items():
    drifts = found["invariance"].get(family, {})
    for name in text.ordered(encoders):
      one = encoders[name]
      (kind, values), = one.items()
      drift = drifts.get(name, {})
      rows.append([
          FAMILIES[family], text.encoder(name),
          *(_cell(v["value"], 3 if kind == "precision" else 0)
            for v in values),
          *(_cell(drift.get(group, {}).get("distance"))
            for group in ("permutation", "signed")),
      ])  # fmt: skip
  ks = [v["k"] for v in values]
  return _table(
      ["zoo", "encoder", *(f"neighbours, k={k}" for k in ks),
       "drift, permutations", "drift, signed"],
      rows,
  )  # fmt: skip


def ablations(found: Mapping[str, Any]) -> str:
  """Validation losses with other M and L."""
  symbol = {"parallel": "M", "length": "L"}
  rows = [
      [FAMILIES[family], text.encoder(name), ", ".join(
          f"{symbol[field]}={p['setting']}: {_cell(p['validation'])}"
          for p in points
      )]
      for family, encoders in found["ablations"].items()
      for name, lines in encoders.items()
      for field, points in lines.items()
  ]  # fmt: skip
  return _table(["zoo", "encoder", "validation, total variation"], rows)


def remedies(found: Mapping[str, Any]) -> str:
  """Spread over seeds of interactive probing, as it is and with remedies."""
  rows = []
  for family, of_family in found["remedies"].items():
    encoder = next(iter(of_family.values()))["encoder"]
    plain = found["emulation"][family]["encoders"][encoder]["validation"]
    divergence = found["emulation"][family]["divergence"]
    cells = {"as it is": plain[divergence]} | {
        name: one["validation"] for name, one in of_family.items()
    }
    rows += [
        [FAMILIES[family], name, _cell(cell), ", ".join(
            _short(found["runs"][run]["validation"], 4)
            for run in cell["runs"]
        )]
        for name, cell in cells.items()
    ]  # fmt: skip
  return _table(
      ["zoo", "interactive probing", "validation", "each seed"], rows
  )


TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "source": made_by,
    "emulation": emulation,
    "prediction of languages": lambda found: prediction(
        found, "formal_language"
    ),
    "prediction of digits": lambda found: prediction(found, "tiled_mnist"),
    "clones": clones,
    "few labels": few_labels,
    "codes": kept,
    "ablations": ablations,
    "remedies": remedies,
}


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [titles, ["---"] * len(titles), *rows]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell, digits=3):
  if not cell or cell.get("value") is None:
    return _NONE
  return _interval(cell["value"], cell["low"], cell["high"], digits)


def _interval(value, low, high, digits=3):
  value, low, high = (_short(x, digits) for x in (value, low, high))
  return f"{value} ({low}, {high})"


def _short(x, digits):
  if x is None:
    return _NONE
  shown = f"{x:.{digits}f}"
  return shown.replace("0.", ".", 1) if abs(x) < 1 and digits else shown


def _words(name):
  return name.replace("_", " ")
