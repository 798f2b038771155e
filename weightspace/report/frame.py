"""Results as one tidy table: a row per number, whatever it is of.

Every table, figure and file of a report is made of this data frame.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from weightspace.report import vocabulary

if TYPE_CHECKING:
  import pandas as pd

COLUMNS = (
    "table", "family", "encoder", "way", "seed", "part", "protocol",
    "property", "metric", "snapshot", "setting", "value", "low", "high", "runs",
)  # fmt: skip
_OF_CLONES = ("correlation", "correlation_within_steps", "mean_absolute_error")
ALL, FINAL = "all", "final"  # snapshots; others are training steps

_Row = dict[str, Any]


def tidy(results: Mapping[str, Any]) -> "pd.DataFrame":
  """The numbers of results, in the order of the page.

  Args:
    results: of a study; parts may be missing.

  Returns:
    A frame with `COLUMNS`. "table" says what a number is of; "way" how its
    model was trained or changed; "snapshot" is "all", "final" or a training
    step of the networks; "setting" what was varied: a count of labels or
    neighbours, the name of a variant. "seed" is empty where a number is a mean
    over seeds. What does not apply is an empty string; "low" and "high" are NaN
    without an interval; "runs" are names divided by spaces.
  """
  import pandas as pd

  rows = [row for make in _MAKERS for row in make(results)]
  table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
  for name in ("value", "low", "high"):
    table[name] = pd.to_numeric(table[name])
  words = [name for name in COLUMNS if name not in ("value", "low", "high")]
  return table.assign(**{
      name: table[name].where(table[name].notna(), "") for name in words
  })


def select(frame: "pd.DataFrame", /, **wanted: Any) -> "pd.DataFrame":
  """The rows that have these values; of a list, any of them."""
  for name, value in wanted.items():
    values = value if isinstance(value, list | tuple) else [value]
    frame = frame[frame[name].isin(values)]
  return frame


def _cell(cell, table, **columns) -> Iterator[_Row]:
  """The row of a cell; none where it is missing."""
  if cell is None:
    return
  if not isinstance(cell, Mapping):  # a number without an interval
    cell = {"value": cell}
  yield {
      "table": table,
      **columns,
      **{name: cell.get(name) for name in ("value", "low", "high")},
      "runs": " ".join(map(str, cell.get("runs", ()))),
  }


def _emulation(results):
  for family, entry in _by_family(results, "emulation"):
    encoders = entry.get("encoders", {})
    paper = entry.get("paper", {})
    others = {
        name
        for one in encoders.values()
        for part in ("validation", "ood")
        for name in one.get(part, {})
    } - {entry["divergence"]}
    divergences = [entry["divergence"], *sorted(others)]
    for name in vocabulary.ordered({**encoders, **paper}):
      one = encoders.get(name, {})
      where = {"family": family, "encoder": name}
      yield from _cell(
          one.get("parameters"), "emulation", metric="parameters", **where
      )
      for metric in divergences:
        for part in ("validation", "ood"):
          cell = one.get(part, {}).get(metric)
          yield from _cell(
              cell, "emulation", part=part, metric=metric, snapshot=ALL, **where
          )
      for part, cell in one.get("gain", {}).items():
        yield from _cell(
            cell, "emulation", part=part, metric="gain", snapshot=ALL, **where
        )
      if name in paper:
        cell = dict(zip(("value", "low", "high"), paper[name]))
        yield from _cell(
            cell, "emulation", way="paper", part="validation",
            metric="total_variation", **where,
        )  # fmt: skip


def _comparisons(results):
  for family, entry in _by_family(results, "emulation"):
    for title, parts in entry.get("comparisons", {}).items():
      name, _, other = title.partition(" over ")
      for part, cell in parts.items():
        yield from _cell(
            cell, "comparisons", family=family, encoder=name, part=part,
            way=f"over {other}", metric="gain", snapshot=ALL,
        )  # fmt: skip


def _claims(results):
  for one in results.get("claims", ()):
    yield from _cell(one, "claims", setting=one["claim"], way=one["verdict"])


def _pretraining(results):
  for family, entry in _by_family(results, "pretraining"):
    for name in vocabulary.ordered(entry["encoders"]):
      yield from _cell(
          entry["encoders"][name]["validation"], "pretraining", family=family,
          encoder=name, way=entry["objective"], part="validation",
          metric="loss", snapshot=ALL,
      )  # fmt: skip


def _prediction(results):
  for family, ways in _by_family(results, "prediction"):
    for way in ("frozen", "emulator", "supervised"):
      encoders = ways.get(way, {})
      for name in vocabulary.ordered(encoders):
        for property_, protocols in encoders[name].items():
          for protocol, report in protocols.items():
            where = {
                "family": family, "encoder": name, "way": way,
                "protocol": protocol, "property": property_,
            }  # fmt: skip
            for snapshot, parts in _snapshots(report).items():
              for part in ("validation", "test"):
                for metric, cell in parts.get(part, {}).items():
                  yield from _cell(
                      cell, "prediction", part=part, metric=metric,
                      snapshot=snapshot, **where,
                  )  # fmt: skip


def _tested(results):
  """How many networks were tested, and what a guess without a code reaches."""
  for family, ways in _by_family(results, "prediction"):
    first = next(iter(ways.get("frozen", {}).values()), {})
    for name, protocols in first.items():
      for protocol, report in protocols.items():
        for snapshot, parts in _snapshots(report).items():
          where = {
              "family": family, "part": "test", "protocol": protocol,
              "property": name, "snapshot": snapshot,
          }  # fmt: skip
          for what, counts in parts.get("tested", {}).items():
            yield from _cell(counts.get("test"), "tested", metric=what, **where)
          for metric, value in parts.get("guess", {}).get("test", {}).items():
            yield from _cell(value, "guesses", metric=metric, **where)


def _snapshots(report):
  """Reports of all snapshots, of final ones and of others by their step."""
  by_step = report.get("by_step", {})
  last = max(by_step, key=int, default=None)
  snapshots = {ALL: report, **by_step}
  if last is not None:
    snapshots[FINAL] = snapshots.pop(last)
    if _numbers(snapshots[FINAL]) == _numbers(report):  # all are final
      del snapshots[FINAL]
  return snapshots


def _numbers(report):
  """Text, as NaN equals nothing."""
  return str([report.get(part) for part in ("validation", "test")])


def _clones(results):
  for family, encoders in _by_family(results, "clones"):
    for name in vocabulary.ordered(encoders):
      for metric in _OF_CLONES:
        yield from _cell(
            encoders[name].get(metric), "clones", family=family, encoder=name,
            metric=metric, snapshot=ALL,
        )  # fmt: skip


def _few_labels(results):
  for family, entry in _by_family(results, "labels"):
    counts = entry["networks"]
    for property_, one in entry.get("properties", {}).items():
      arms = {arm: (one["metric"], cells) for arm, cells in one["arms"].items()}
      if "improvement" in one:
        of = f"{one['improvement']['of']} over {one['improvement']['over']}"
        arms[of] = ("improvement", one["improvement"]["per_cent"])
      for arm, (metric, cells) in arms.items():
        encoder, _, way = arm.partition(", ")
        for count, cell in zip(counts, cells):
          yield from _cell(
              cell, "few labels", family=family, encoder=encoder, way=way,
              part="ood", property=property_, metric=metric, setting=count,
          )  # fmt: skip


def _neighbours(results):
  for family, encoders in _by_family(results, "neighbours"):
    for name in vocabulary.ordered(encoders):
      for metric, cells in encoders[name].items():
        for one in cells:
          yield from _cell(
              one["value"], "neighbours", family=family, encoder=name,
              metric=metric, snapshot=ALL, setting=one["k"],
          )  # fmt: skip


def _invariance(results):
  for family, encoders in _by_family(results, "invariance"):
    for name in vocabulary.ordered(encoders):
      for way, one in encoders[name].items():
        yield from _cell(
            one["distance"], "invariance", family=family, encoder=name,
            way=way, metric="distance", snapshot=ALL,
        )  # fmt: skip


def _variants(results):
  runs = results.get("runs", {})
  for family, variants in _by_family(results, "variants"):
    metric = results.get("emulation", {}).get(family, {}).get(
        "divergence", "total_variation"
    )
    emulation = results.get("emulation", {}).get(family, {})
    for name, one in _with_bases(variants, emulation, runs).items():
      where = {
          "family": family, "encoder": one["base"], "way": one["group"],
          "part": "validation", "setting": name,
      }  # fmt: skip
      yield from _cell(
          one["validation"], "variants", metric=metric, snapshot=ALL, **where
      )
      for run in (one["validation"] or {}).get("runs", ()):
        record = runs.get(run, {})
        if record.get("validation") is not None:
          cell = {"value": record["validation"], "runs": [run]}
          yield from _cell(
              cell, "variants", seed=record["seed"], metric=metric,
              snapshot=ALL, **where,
          )  # fmt: skip
      for property_, metrics in one.get("prediction", {}).items():
        for name_of, cell in metrics.items():
          yield from _cell(
              cell, "variants", property=property_, metric=name_of,
              snapshot=FINAL, **where,
          )  # fmt: skip


def _with_bases(variants, emulation, runs):
  """Groups of variants, each with its encoder as it is where comparable.

  That is, where it was trained for as many steps with as many seeds.
  """

  def training(cell):
    of = [runs.get(run, {}).get("config", {}) for run in cell.get("runs", ())]
    return [config.get("emulation", {}).get("steps") for config in of]

  listed, divergence = {}, emulation.get("divergence")
  for name, one in variants.items():
    base = emulation.get("encoders", {}).get(one["base"], {})
    cell = base.get("validation", {}).get(divergence)
    steps = training(one["validation"] or {})
    if cell and any(steps) and training(cell) == steps:
      title = f"{one['base']}, as it is"
      listed.setdefault(title, {
          "group": one["group"], "base": one["base"], "validation": cell,
      })  # fmt: skip
    listed[name] = one
  return listed


def _by_family(results, part):
  for family in vocabulary.families(results.get(part, {})):
    yield family, results[part][family]


_MAKERS = (
    _claims, _emulation, _comparisons, _pretraining, _prediction, _tested,
    _clones, _few_labels, _neighbours, _invariance, _variants,
)  # fmt: skip
