"""The Property contract: labels that heads predict from a network's code.

Each public module here exports one `PROPERTY`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from weightspace import plugins
from weightspace.errors import UserError
from weightspace.tasks import TaskSpec


class Scope(NamedTuple):
  """The zoo that a property is a property of.

  Attributes:
    tasks: of the zoo's task family.
    steps: training steps of each network's snapshots.
  """

  tasks: TaskSpec
  steps: tuple[int, ...]


class Property(NamedTuple):
  """A label of each row of a zoo.

  Attributes:
    kind: "regression", "proportion" (numbers in [0, 1]), "direction" (a unit
      vector in the plane: cosine and sine) or "classification" (one or
      several).
    shape: (Scope) -> shape of a head's output for one network: (n,) for n
      numbers, (n, C) for logits of n classifications into C classes. It raises
      ValueError if the zoo's networks do not have the property.
    target: (columns of a zoo, Scope) -> [R, n], float32 numbers or int32
      classes. The target of a row depends on that row only.
    metrics: (outputs [R, *shape], targets [R, n]), NumPy -> dict of floats.
    headline: name of the main metric.
    labels: (Scope) -> names of the n numbers, and the integer that each class
      stands for (empty for numbers); see `labels`.
    ordered: whether classes are ordered.
  """

  kind: str
  shape: Callable
  target: Callable
  metrics: Callable
  headline: str
  labels: Callable | None = None
  ordered: bool = False


def load(name: str) -> Property:
  """Loads a property by name.

  Raises:
    ValueError: there is no such property; the message suggests the nearest
      name.
  """
  return plugins.load(__name__, name).PROPERTY


def check_names(properties: Sequence[str]) -> None:
  """Checks names of properties that are predicted together.

  Raises:
    UserError: there are none, one is named twice, or there is no such property.
  """
  if not properties or len(set(properties)) < len(properties):
    raise UserError(
        "properties must name at least one, and each once, got"
        f" {tuple(properties)}"
    )
  for name in properties:
    load(name)


def labels(
    name: str, scope: Scope
) -> tuple[tuple[str, ...], tuple[int, ...]]:
  """Names of a property's n numbers, and the integers of its C classes.

  The defaults are the property's name and 0, ..., C - 1.
  """
  property_ = load(name)
  if property_.labels is not None:
    return property_.labels(scope)
  n, *classes = property_.shape(scope)
  labels_ = (name,) if n == 1 else tuple(f"{name} {i}" for i in range(n))
  return labels_, tuple(range(*classes)) if classes else ()


def names() -> tuple[str, ...]:
  """The names of all properties."""
  return plugins.names(__name__)
