"""What the report of a reproduction calls things."""

from collections.abc import Iterable, Mapping
from typing import Any

from weightspace.report import tables, text, wording

FAMILIES = {
    "formal_language": "Formal languages",
    "tiled_mnist": "Tiled sequential MNIST",
}
WAYS = {
    "frozen": "frozen codes",
    "supervised": "end-to-end supervised",
}
TRAININGS = {  # that hyper-parameters of encoders are searched for
    "emulation": "pretraining", "supervised": "supervised training",
}
_SOURCES = {"weights": "raw weights", "chance": "chance"}
_LESS_IS_BETTER = ("degrees", "mse")


def family(name: str) -> str:
  """What a family of tasks is called in a heading."""
  return FAMILIES.get(name, name.replace("_", " "))


def ordered(families: Iterable[str]) -> list[str]:
  """Families in the paper's order, unknown ones last."""
  known = list(FAMILIES)
  return sorted(
      families, key=lambda n: known.index(n) if n in known else len(known)
  )


def of(family_name: str) -> wording.Wording:
  """Words about the tasks of a family."""
  return wording.of({"zoo": {"family": family_name}})


def source(name: str) -> str:
  """What codes are of: an encoder, the weights themselves, chance."""
  return _SOURCES.get(name, text.encoder(name))


def sources(found: Mapping[str, Any]) -> list[str]:
  """Encoders in the paper's order, then raw weights, then chance."""
  last = [name for name in _SOURCES if name in found]
  return [n for n in text.ordered(found) if n not in _SOURCES] + last


def arm(name: str) -> str:
  """What an arm of a comparison, "ENCODER, how it was trained", is called."""
  encoder, comma, how = name.partition(",")
  return f"{text.encoder(encoder)}{comma}{how}"


def search(kind: str) -> str:
  """What was searched for."""
  return TRAININGS.get(kind, kind.replace("_", " "))


def property_(name: str) -> str:
  """What a property is called."""
  return tables.PROPERTIES.get(name, name.replace("_", " "))


def measure(name: str) -> str:
  """What a metric is called."""
  return tables.MEASURES.get(name, (name.replace("_", " "),))[0]


def write(metric: str):
  """How values of a metric are written."""
  return tables.MEASURES.get(metric, ("", text.number))[1]


def less_is_better(metric: str) -> bool:
  """Whether small values of a metric are good ones."""
  return metric in _LESS_IS_BETTER


def headline(name: str, metrics: Iterable[str]) -> str | None:
  """The metric of a property to show where there is room for one."""
  from weightspace import properties

  metrics = list(metrics)
  if name in properties.names():
    first = properties.load(name).headline
    if first in metrics:
      return first
  return metrics[0] if metrics else None
