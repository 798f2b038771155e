"""How a report names encoders, families, properties and measures.

The words are in vocabulary.json. Plug-ins that are not in it go by their own
names. Sentences about families are HTML.
"""

import functools
import json
import types
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

from weightspace.report import text


@functools.cache
def _words() -> dict[str, Any]:
  file = resources.files("weightspace.report").joinpath("vocabulary.json")
  return json.loads(file.read_text(encoding="utf-8"))


def _plain(name):
  return name.replace("_", " ")


def encoder(name: str) -> str:
  """An encoder, the raw weights or chance, as in a sentence.

  Of "NAME, how it differs" the name alone is put in words.
  """
  first, comma, rest = name.partition(",")
  known = _words()["encoders"].get(first)
  title = known["title"] if known else _words()["sources"].get(
      first, _plain(first)
  )
  return f"{title}{comma}{rest}"


def description(name: str) -> str:
  """What an encoder does, a sentence; empty of unknown ones."""
  return _words()["encoders"].get(name, {}).get("description", "")


def ordered(encoders: Iterable[str]) -> list[str]:
  """Encoders in the paper's order, then unknown ones, raw weights, chance."""
  known, last = list(_words()["encoders"]), list(_words()["sources"])

  def rank(name):
    if name in last:
      return len(known) + 1 + last.index(name)
    base = name.partition(",")[0]
    return known.index(base) if base in known else len(known)

  return sorted(encoders, key=rank)


def families(names: Iterable[str]) -> list[str]:
  """Families in the paper's order, unknown ones last."""
  known = [name for name in _words()["families"] if name]
  return sorted(
      names, key=lambda n: known.index(n) if n in known else len(known)
  )


def of_family(name: str) -> types.SimpleNamespace:
  """Words about the tasks of a family; see vocabulary.json."""
  known = _words()["families"]
  words = dict(known.get(name, known[""]))
  words["title"] = words["title"] or _plain(name)
  words["short"] = words["short"] or _plain(name)
  return types.SimpleNamespace(**words)


def property_(name: str) -> str:
  """A property of networks."""
  column = name.removeprefix("column:").partition(":")[0]
  return _words()["properties"].get(name, _plain(column))


def measure(name: str) -> str:
  """A metric, or a divergence."""
  if name in _words()["divergences"]:
    return divergence(name)
  return _words()["measures"].get(name, {"title": _plain(name)})["title"]


def divergence(name: str) -> str:
  """A divergence, on an axis or in a sentence."""
  return _words()["divergences"].get(name, _plain(name))


def part(name: str) -> str:
  """A part of a split."""
  return _words()["splits"].get(name, name)


def search(kind: str) -> str:
  """What hyper-parameters were searched for."""
  return _words()["searches"].get(kind, _plain(kind))


def write(metric: str) -> Callable[[Any], str]:
  """How values of a metric are written."""
  unit = _words()["measures"].get(metric, {"unit": "number"})["unit"]
  return {
      "number": text.number,
      "percent": text.precise_percent,
      "per_cent": lambda v: text.precise_percent(
          v / 100 if text.is_number(v) else None
      ),
      "degrees": text.degrees,
      "count": text.count,
  }[unit]


def less_is_better(metric: str) -> bool:
  """Whether small values of a metric are good ones."""
  return metric in ("degrees", "mse", "mean_absolute_error")


def headline(name: str, metrics: Iterable[str]) -> str | None:
  """The metric of a property to show where there is room for one."""
  from weightspace import properties

  metrics = list(metrics)
  return properties.headline(name, metrics) if metrics else None
