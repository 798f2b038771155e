"""The tables of a study: which rows of its tidy frame each one shows."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weightspace.report import charts, text, vocabulary
from weightspace.report.frame import ALL, FINAL, select
from weightspace.report.tables import Cell, Table, pivot

if TYPE_CHECKING:
  import pandas as pd

_ENCODER = ("encoder", vocabulary.encoder)
_FAMILY = ("zoo", lambda name: vocabulary.of_family(name).short)
_SNAPSHOTS = {FINAL: "final networks", ALL: "all snapshots"}
# Of a run's config, what says how its encoder was trained
_SHOWN = {
    "learning_rate": "learning rate",
    "warmup_steps": "warm-up",
    "steps": "steps",
    "parallel": "M",
    "length": "L",
}


def _by(frame, name, title):
  """Rows of a table: first the zoo, where there are several."""
  several = frame["family"].nunique() > 1
  return ({"family": _FAMILY} if several else {}) | {name: title}


def emulation(frame: "pd.DataFrame") -> Table:
  """Losses of emulation on both splits, the paper's beside."""

  def titles(way, metric, part):
    if way == "paper":
      return "the paper", vocabulary.part(part)
    if metric == "parameters":
      return "", "parameters"
    return vocabulary.measure(metric), vocabulary.part(part)

  def order(way, metric, part):
    del part
    return way == "paper", metric == "gain", metric != "parameters"

  return pivot(
      frame, _by(frame, "encoder", _ENCODER), ("way", "metric", "part"), titles,
      order=order,
  )  # fmt: skip


def prediction(
    frame: "pd.DataFrame", task: str, *, headlines: bool = False
) -> Table:
  """Properties predicted on held-out tasks: final and all snapshots."""
  test = select(frame, part="test", snapshot=list(_SNAPSHOTS))
  shown = charts.headlines(test) if headlines else test
  protocols, snapshots = list(charts.PROTOCOLS), list(_SNAPSHOTS)
  return pivot(
      frame,
      {
          "property": ("property", vocabulary.property_),
          "metric": ("measure", vocabulary.measure),
          "encoder": ("codes of", vocabulary.encoder),
      },
      ("protocol", "snapshot"),
      lambda protocol, snapshot: (
          charts.PROTOCOLS.get(protocol, protocol).format(task=task),
          _SNAPSHOTS[snapshot],
      ),
      shown=shown,
      order=lambda protocol, snapshot: (
          protocols.index(protocol), snapshots.index(snapshot)
      ),
  )


def by_property(frame: "pd.DataFrame") -> Table:
  """Headline metrics of held-out tasks, strict protocol: a row an encoder."""
  ways = {
      "frozen": "frozen code",
      "emulator": "emulator with that code, queried",
      "supervised": "end to end",
  }
  test = select(
      frame, part="test", protocol="strict", snapshot=list(_SNAPSHOTS)
  )
  shown = charts.headlines(test)
  several = shown["snapshot"].nunique() > 1

  def titles(property_, metric, snapshot, way):
    parts = [ways[way], *([_SNAPSHOTS[snapshot]] if several else [])]
    title = f"{vocabulary.property_(property_)} ({_plain(metric)})"
    return title, ", ".join(parts)

  return pivot(
      frame, _by(frame, "encoder", _ENCODER),
      ("property", "metric", "snapshot", "way"), titles, shown=shown,
      order=lambda property_, metric, snapshot, way: (
          list(dict.fromkeys(shown["property"])).index(property_), way,
          list(_SNAPSHOTS).index(snapshot),
      ),
  )  # fmt: skip


def _plain(name):
  return name.replace("_", " ")


def clones(frame: "pd.DataFrame") -> Table:
  """How well emulators repeat the accuracy of the networks they imitate."""
  return pivot(
      frame, _by(frame, "encoder", _ENCODER), ("metric",),
      lambda metric: ("", vocabulary.measure(metric)),
  )  # fmt: skip


def few_labels(frame: "pd.DataFrame", unit: str = "labelled") -> Table:
  """What arms reach with each number of labels, and what pretraining adds."""
  arms = frame.assign(
      way=[
          "improvement, %"
          if metric == "improvement"
          else vocabulary.encoder(f"{encoder}, {way}")
          for encoder, way, metric in zip(
              frame["encoder"], frame["way"], frame["metric"]
          )
      ]
  )
  of_arms = frame[frame["metric"] != "improvement"]
  metrics = dict(zip(of_arms["property"], of_arms["metric"]))
  return pivot(
      frame,
      _by(frame, "property", ("property", lambda name: (
          f"{vocabulary.property_(name)}, {vocabulary.measure(metrics[name])}"
      )))
      | {"way": ("arm", str)},
      ("setting",),
      lambda count: (unit, text.count(count)),
      shown=arms,
      order=lambda count: count,
  )


def neighbours(frame: "pd.DataFrame") -> Table:
  """What the nearest codes have in common, by their number."""
  return pivot(
      frame, _by(frame, "encoder", ("codes of", vocabulary.encoder)),
      ("setting",), lambda k: ("", f"k = {k}"),
  )  # fmt: skip


def invariance(frame: "pd.DataFrame") -> Table:
  """How far codes move where networks only change their form."""
  titles = {"permutation": "permuted", "signed": "permuted and negated"}
  return pivot(
      frame, _by(frame, "encoder", ("codes of", vocabulary.encoder)),
      ("way",), lambda way: ("", titles.get(way, way)),
  )  # fmt: skip


def variants(frame: "pd.DataFrame") -> Table:
  """Validation of variants; each seed beside where there are several."""
  many = frame.groupby("setting")["seed"].nunique().max() > 2
  shown = frame if many else select(frame, seed="")

  def titles(property_, metric, seed):
    if seed != "":
      return "seed", str(seed)
    name = vocabulary.measure(metric)
    if property_:
      return f"final networks, {vocabulary.property_(property_)}", name
    return "validation", name

  return pivot(
      frame,
      _by(frame, "setting", ("variant", vocabulary.encoder)),
      ("property", "metric", "seed"), titles, shown=shown,
      order=lambda property_, metric, seed: (seed != "", property_),
  )  # fmt: skip


def claims(
    entry: Sequence[Mapping[str, Any]], *, exact: bool = False
) -> Table:
  """What was claimed, what was measured and whether it holds.

  `exact` is for programs, with commands and commits.
  """
  names = ("claim", "origin", "shown_by", "verdict")
  more = ("command", "commit") if exact else ()
  rows = [
      [
          *(Cell(one[name]) for name in names),
          Cell(one if one["value"] is not None else None, _two),
          Cell(one["above"], _two),
          *(Cell(one[name]) for name in more),
      ]
      for one in entry
  ]
  return Table(
      ("claim", "by", "what shows it", "verdict", "measured", "must exceed",
       *more),
      (*names, "measured", "above", *more),
      rows,
      labels=4,
  )  # fmt: skip


def splits(zoo: Mapping[str, Any], tasks: str) -> Table:
  """How tasks, and with them networks, were divided."""
  rows = [
      [
          Cell(name, vocabulary.part),
          Cell(one["tasks"], text.count),
          Cell(one["rows"], text.count),
      ]
      for name, one in zoo["splits"].items()
  ]
  return Table(
      ("split", tasks, "snapshots"), ("split", "tasks", "rows"), rows
  )


def search(entry: Mapping[str, Any]) -> Table:
  """Every trial of every encoder, and which was chosen."""
  every = [trial for one in entry.values() for trial in one["trials"]]
  names = list(dict.fromkeys(k for trial in every for k in trial["setting"]))
  rows = []
  for encoder in vocabulary.ordered(entry):
    for trial in entry[encoder]["trials"]:
      chosen = trial["setting"] == entry[encoder]["chosen"]
      rows.append([
          Cell(encoder, vocabulary.encoder),
          *(Cell(trial["setting"].get(name), _three) for name in names),
          Cell(trial["validation"], text.number),
          Cell("chosen" if chosen else ""),
          Cell(trial["run"] or "–"),
      ])
  return Table(
      ("encoder", *map(_plain, names), "validation loss", "", "run"),
      ("encoder", *names, "validation", "chosen", "run"),
      rows,
  )


def _two(value):
  return f"{value:.2f}" if text.is_number(value) else "–"


def _three(value):
  return f"{value:.3g}" if text.is_number(value) else "–"


def runs(entry: Mapping[str, Any], *, exact: bool) -> Table:
  """All trainings; `exact` for programs, with whole configs."""
  rows = []
  for name, one in entry.items():
    config = one.get("config", {})
    title = vocabulary.of_family(one["family"]).title
    rows.append([
        Cell(name),
        Cell(one["family"] if exact else title),
        Cell(one["stage"]),
        Cell(one["encoder"] or "–", str if exact else vocabulary.encoder),
        Cell(json.dumps(config) if exact else _settings(config) or "–"),
        Cell(one["seed"]),
        Cell(one.get("best_step"), text.count),
        Cell(one.get("seconds"), text.duration),
        Cell(one.get("commit"), str if exact else lambda c: str(c)[:12]),
    ])
  return Table(
      ("run", "zoo", "stage", "encoder", "settings", "seed", "best step",
       "time", "commit"),
      ("run", "family", "stage", "encoder", "config", "seed", "best_step",
       "seconds", "commit"),
      rows,
      labels=5,
  )  # fmt: skip


def _settings(config):
  """The hyper-parameters of a config, wherever in it they are."""
  settings: dict[str, Any] = {}

  def walk(inner):
    for key, value in inner.items():
      if isinstance(value, Mapping):
        walk(value)
      elif key in _SHOWN and key not in settings and value is not None:
        settings[key] = value

  walk(config)
  return ", ".join(
      f"{title} {settings[key]}"
      for key, title in _SHOWN.items()
      if key in settings
  )
