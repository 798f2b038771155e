"""Tables of a reproduction."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from weightspace.report import tables, text
from weightspace.report.reproduction import words
from weightspace.report.tables import Cell, Table

_SPLITS = ("validation", "ood")
_PROTOCOLS = ("strict", "paper")
# Of a run's config, what says how its encoder was trained
_SHOWN = {
    "learning_rate": "learning rate",
    "warmup_steps": "warm-up",
    "warmup": "warm-up",
    "steps": "steps",
    "parallel": "M",
    "length": "L",
}


def emulation(found: Mapping[str, Any]) -> Table:
  """Losses of emulation on both splits, the paper's beside."""
  encoders, paper = found.get("encoders", {}), found.get("paper", {})
  others = {
      name
      for one in encoders.values()
      for split in _SPLITS
      for name in one.get(split, {})
  } - {found["divergence"]}
  divergences = [found["divergence"], *sorted(others)]
  rows = [
      [
          Cell(name, text.encoder),
          *(
              Cell(
                  encoders.get(name, {}).get(split, {}).get(divergence),
                  text.number,
              )
              for divergence in divergences
              for split in _SPLITS
          ),
          Cell(_triple(paper.get(name)), text.number),
      ]
      for name in text.ordered({**encoders, **paper})
  ]
  return Table(
      ("encoder", *("validation", "OOD") * len(divergences), "validation"),
      (
          "encoder",
          *(f"{d}_{split}" for d in divergences for split in _SPLITS),
          "paper_validation",
      ),
      rows,
      groups=(
          ("", 1),
          *((text.divergence(d), 2) for d in divergences),
          ("the paper’s", 1),
      ),
  )


def _triple(values):
  if values is None:
    return None
  return dict(zip(("value", "low", "high"), values))


class Told(NamedTuple):
  """One metric of one property, told from one encoder's codes."""

  property_: str
  metric: str
  encoder: str
  protocols: Mapping[str, Any]

  def at(self, protocol: str, split: str):
    """The estimate, None where there is none."""
    return self.protocols.get(protocol, {}).get(split, {}).get(self.metric)


def told(found: Mapping[str, Any], *, headlines: bool) -> Iterator[Told]:
  """What heads tell, by property, metric and encoder, in order."""
  metrics: dict[str, list[str]] = {}
  for by_property in found.values():
    for property_, protocols in by_property.items():
      listed = metrics.setdefault(property_, [])
      for parts in protocols.values():
        for values in parts.values():
          listed += [name for name in values if name not in listed]
  for property_, listed in metrics.items():
    if headlines:
      listed = [words.headline(property_, listed)] if listed else []
    for metric in listed:
      for encoder in text.ordered(found):
        if property_ in found[encoder]:
          yield Told(property_, metric, encoder, found[encoder][property_])


def prediction(
    found: Mapping[str, Any], task: str, *, headlines: bool
) -> Table:
  """Properties told by one way of training, both protocols."""
  columns = [(p, split) for p in _PROTOCOLS for split in ("validation", "test")]
  rows = [
      [
          Cell(one.property_, words.property_),
          Cell(one.metric, words.measure),
          Cell(one.encoder, text.encoder),
          *(
              Cell(one.at(*column), words.write(one.metric))
              for column in columns
          ),
      ]
      for one in told(found, headlines=headlines)
  ]
  titles = (tables.PROTOCOLS[p].format(task=task) for p in _PROTOCOLS)
  return Table(
      (
          "property", "measure", "encoder",
          *("validation", "OOD test") * len(_PROTOCOLS),
      ),
      (
          "property", "measure", "encoder",
          *(f"{protocol}_{split}" for protocol, split in columns),
      ),
      rows,
      labels=3,
      groups=(("", 3), *((title, 2) for title in titles)),
  )  # fmt: skip


def clones(found: Mapping[str, Any]) -> Table:
  """How far emulators repeat the accuracy of the networks they imitate."""
  rows = [
      [
          Cell(name, text.encoder),
          Cell(found[name]["correlation"], text.number),
          Cell(found[name]["mean_absolute_error"], text.precise_percent),
          Cell(len(found[name]["original"]), text.count),
          Cell(found[name].get("run") or "–"),
      ]
      for name in text.ordered(found)
  ]
  return Table(
      ("encoder", "correlation", "mean absolute error", "networks shown",
       "run shown"),
      ("encoder", "correlation", "mean_absolute_error", "networks", "run"),
      rows,
  )  # fmt: skip


def ablations(found: Mapping[str, Any], what: str) -> Table:
  """Validation losses at each number ("parallel") or "length" of sequences."""
  settings = sorted({
      one["setting"] for by in found.values() for one in by.get(what, ())
  })
  rows = []
  for name in text.ordered(found):
    losses = {one["setting"]: one["validation"]
              for one in found[name].get(what, ())}  # fmt: skip
    if losses:
      rows.append([
          Cell(name, text.encoder),
          *(Cell(losses.get(n), text.number) for n in settings),
      ])
  letter = {"parallel": "M", "length": "L"}[what]
  return Table(
      ("encoder", *(f"{letter} = {text.count(n)}" for n in settings)),
      ("encoder", *(f"{what}_{n}" for n in settings)),
      rows,
  )


def labels(found: Mapping[str, Any]) -> Table:
  """What arms reach with each number of labels, and what pretraining adds."""
  rows = []
  for name, one in found.get("properties", {}).items():
    arms = list(one["arms"].items())
    write = words.write(one["metric"])
    listed = [(words.arm(arm), cells, write) for arm, cells in arms]
    if "improvement" in one:
      gained = one["improvement"]
      listed.append((
          f"improvement of {words.arm(gained['of'])} over"
          f" {words.arm(gained['over'])}",
          gained["per_cent"],
          per_cent,
      ))
    rows += [
        [
            Cell(name, words.property_),
            Cell(arm),
            *(Cell(cell, write) for cell in cells),
        ]
        for arm, cells, write in listed
    ]
  counts = [text.count(n) for n in found["networks"]]
  return Table(
      ("property", "arm", *counts),
      ("property", "arm", *(f"{count}_networks" for count in counts)),
      rows,
      labels=2,
      groups=(("", 2), (found["unit"], len(counts))),
  )


def per_cent(value: Any) -> str:
  """A number that is in per cent already."""
  return text.precise_percent(value / 100 if text.is_number(value) else None)


def invariance(found: Mapping[str, Any]) -> Table:
  """How far codes move where networks only change their form."""
  kinds = list(dict.fromkeys(kind for one in found.values() for kind in one))
  titles = {"permutation": "permuted", "signed": "permuted and negated"}
  rows = [
      [
          Cell(name, words.source),
          *(
              Cell(found[name].get(kind, {}).get("distance"), text.number)
              for kind in kinds
          ),
      ]
      for name in words.sources(found)
  ]
  return Table(
      ("codes of", *(titles.get(kind, kind) for kind in kinds)),
      ("encoder", *kinds),
      rows,
  )


def neighbours(found: Mapping[str, Any], measure: str) -> Table:
  """What the nearest codes have in common, by how many are looked at."""
  counts = sorted({
      one["k"] for by in found.values() for one in by.get(measure, ())
  })
  write = text.degrees if measure == "degrees" else text.precise_percent
  rows = []
  for name in words.sources(found):
    values = {one["k"]: one["value"] for one in found[name].get(measure, ())}
    if values:
      rows.append([
          Cell(name, words.source),
          *(Cell(values.get(k), write) for k in counts),
      ])
  return Table(
      ("codes of", *(f"k = {k}" for k in counts)),
      ("encoder", *(f"{measure}_at_{k}" for k in counts)),
      rows,
  )


def remedies(
    found: Mapping[str, Any], plain: Mapping[str, Any] | None
) -> Table:
  """Validation losses of an encoder as it is, and with each remedy."""
  cells = {"as it is": plain} if plain else {}
  cells |= {name: one["validation"] for name, one in found.items()}
  return Table(
      ("remedy", "validation loss"),
      ("remedy", "validation"),
      [[Cell(name), Cell(cell, text.number)] for name, cell in cells.items()],
  )


def search(found: Mapping[str, Any]) -> Table:
  """Every trial of every encoder, and which was chosen."""
  every = [trial for one in found.values() for trial in one["trials"]]
  names = list(dict.fromkeys(k for trial in every for k in trial["setting"]))
  rows = []
  for encoder in text.ordered(found):
    for trial in found[encoder]["trials"]:
      chosen = trial["setting"] == found[encoder]["chosen"]
      rows.append([
          Cell(encoder, text.encoder),
          *(Cell(trial["setting"].get(name), _short) for name in names),
          Cell(trial["validation"], text.number),
          Cell("chosen" if chosen else ""),
          Cell(trial["run"] or "–"),
      ])
  return Table(
      ("encoder", *(name.replace("_", " ") for name in names),
       "validation loss", "", "run"),
      ("encoder", *names, "validation", "chosen", "run"),
      rows,
  )  # fmt: skip


def _short(value):
  return f"{value:.3g}" if text.is_number(value) else "–"


def runs(found: Mapping[str, Any], *, exact: bool) -> Table:
  """All trainings; `exact` for programs, with whole configs."""
  rows = []
  for name, one in found.items():
    config = one.get("config", {})
    rows.append([
        Cell(name),
        Cell(one["family"], str if exact else words.family),
        Cell(one["stage"]),
        Cell(one["encoder"] or "–", str if exact else text.encoder),
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
  found: dict[str, Any] = {}

  def walk(inner):
    for key, value in inner.items():
      if isinstance(value, Mapping):
        walk(value)
      elif key in _SHOWN and key not in found and value is not None:
        found[key] = value

  walk(config)
  return ", ".join(
      f"{written} {found[key]}"
      for key, written in _SHOWN.items()
      if key in found
  )
