"""The Property contract: what there is to predict about a network.

Each public module here exports one `PROPERTY`.
"""

from collections.abc import Callable
from typing import NamedTuple

from weightspace import plugins
from weightspace.tasks import TaskSpec


class Scope(NamedTuple):
  """What properties must know of the zoo that they are properties of."""

  tasks: TaskSpec
  steps: tuple[int, ...]  # the snapshots of each network


class Property(NamedTuple):
  """Something a zoo knows about its rows.

  Attributes:
    kind: "regression", "proportion" (of numbers in [0, 1], such as shares
      that were counted), "direction" (a unit vector in the plane: cosine and
      sine) or "classification" (possibly several at once).
    shape: (Scope) -> shape of what a head puts out for one network: (n,) for
      n numbers, (n, C) for n classifications into C classes (logits).
      ValueError where the zoo's networks have no such property.
    target: (columns of a zoo, Scope) -> [R, n], float32 numbers or int32
      classes.
    metrics: (outputs [R, *shape], targets [R, n]), numpy -> dict of floats.
    headline: the metric to show where there is room for one.
    labels: (Scope) -> what each of the n is, strings, and what each class
      stands for, integers (empty for numbers); see `labels`.
    ordered: whether classes are ordered, so that the ones next to each other
      are alike.
  """

  kind: str
  shape: Callable
  target: Callable
  metrics: Callable
  headline: str
  labels: Callable | None = None
  ordered: bool = False


def load(name: str) -> Property:
  """The property of that name; ValueError names the nearest there is."""
  return plugins.load(__name__, name).PROPERTY


def labels(
    name: str, scope: Scope
) -> tuple[tuple[str, ...], tuple[int, ...]]:
  """What each of the n numbers of a property is, and each of its C classes.

  A property that does not say is called by its name, its classes by numbers.
  """
  property_ = load(name)
  if property_.labels is not None:
    return property_.labels(scope)
  n, *classes = property_.shape(scope)
  called = (name,) if n == 1 else tuple(f"{name} {i}" for i in range(n))
  return called, tuple(range(*classes)) if classes else ()


def names() -> tuple[str, ...]:
  """The names of all properties."""
  return plugins.names(__name__)
