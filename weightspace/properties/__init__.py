"""The Property contract: labels that heads predict from a network's code.

Each public module here exports one `PROPERTY`. `column:NAME` is a property too,
of any column of a zoo; see `_columns`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from weightspace import plugins
from weightspace.errors import UserError
from weightspace.properties._direction import degrees
from weightspace.tasks import TaskSpec
from weightspace.zoo import Zoo

COLUMN = "column:"


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
      classes; NaN or -1 where a row's is not known. The target of a row depends
      on that row only.
    metrics: (outputs [R, *shape], targets [R, n]), NumPy -> dict of floats.
    headline: name of the main metric.
    labels: (Scope) -> names of the n numbers, and the integer or string that
      each class stands for (empty for numbers); see `labels`.
    ordered: whether classes are ordered.
    errors: names of the metrics that are 0 where all is right; the others are
      1 then.
    of_weights: of a property of weights, in the place of `target`: (weights
      of n networks of one shape, NumPy, every leaf with a leading axis n;
      their RNNSpec) -> targets [n, ...] of each network by itself.
  """

  kind: str
  shape: Callable
  metrics: Callable
  headline: str
  target: Callable | None = None
  labels: Callable | None = None
  ordered: bool = False
  errors: tuple[str, ...] = ("mse", "degrees")
  of_weights: Callable | None = None


def load(name: str, scope: Scope | None = None) -> Property:
  """Loads a property by name.

  Args:
    name: of a module in this package; or of a column, as column:NAME.
    scope: of the zoo; needed for a column, whose kind it decides.

  Raises:
    ValueError: there is no such property; the message suggests the nearest
      name.
  """
  if name.startswith(COLUMN):
    from weightspace.properties import _columns

    return _columns.make(name, scope)
  if name not in (known := names()):
    raise UserError(
        f"no property {name!r}{plugins.nearest(name, known)} (a column of a"
        f" zoo is written {COLUMN}{name}); there are: {', '.join(known)}"
    )
  property_ = plugins.load(__name__, name).PROPERTY
  if property_.of_weights is None:
    return property_

  def target(columns, scope):
    del scope
    if name not in columns:
      raise UserError(
          f"property {name!r} is one of weights: take the columns that"
          " weightspace.properties.columns makes of a zoo"
      )
    return columns[name]

  return property_._replace(target=target)


def check_names(properties: Sequence[str]) -> None:
  """Checks names of properties that are predicted together.

  Raises:
    UserError: there are none, one is named twice, or there is no such property.
  """
  from weightspace.properties import _columns

  if not properties or len(set(properties)) < len(properties):
    raise UserError(
        "properties must name at least one, and each once, got"
        f" {tuple(properties)}"
    )
  for name in properties:
    if name.startswith(COLUMN):
      _columns.parse(name)
    else:
      load(name)


def check(name: str, scope: Scope) -> Property:
  """A property that the networks of a zoo must have.

  Raises:
    UserError: there is no such property, or they do not have it.
  """
  property_ = load(name, scope)
  try:
    property_.shape(scope)
  except ValueError as error:
    raise UserError(
        f"properties: {name}: {error}. Any column of the zoo is a property too:"
        f" --config.properties={COLUMN}NAME"
    ) from error
  return property_


def columns(zoo: Zoo, properties: Sequence[str]) -> Mapping[str, np.ndarray]:
  """What the targets of properties are computed from, [R, ...] each.

  Args:
    zoo: its columns are all that most properties need.
    properties: names; for each one of weights there is a further column, its
      targets, computed in one pass over the weights of all rows.
  """
  from weightspace.properties import _weights

  wanted = {
      name: load(name) for name in properties if not name.startswith(COLUMN)
  }
  wanted = {name: p for name, p in wanted.items() if p.of_weights}
  return _weights.add(zoo.columns, zoo, wanted) if wanted else zoo.columns


def known(targets: np.ndarray) -> np.ndarray:
  """Which rows [R] have targets [R, n]: numbers but NaN, classes from 0."""
  is_class = np.issubdtype(targets.dtype, np.integer)
  return np.all(targets >= 0 if is_class else np.isfinite(targets), axis=1)


def numbers(property_: Property, values: np.ndarray) -> np.ndarray:
  """One number for each row, [R]: that of a regression, degrees, a class.

  Args:
    property_: of one number, angle or classification.
    values: targets; or outputs [R, *shape], of what is no classification.
  """
  if property_.kind == "direction":
    return degrees(values)
  return values[:, 0]


def headline(name: str, metrics: Collection[str]) -> str:
  """The main one of the metrics that were measured of a property."""
  from weightspace.properties import _columns

  main = _columns.HEADLINES
  if name in names():
    main = (load(name).headline,)
  return next(metric for metric in (*main, *metrics) if metric in metrics)


def labels(
    name: str, scope: Scope
) -> tuple[tuple[str, ...], tuple[int | str, ...]]:
  """Names of a property's n numbers, and what its C classes stand for.

  The defaults are the property's name and 0, ..., C - 1.
  """
  property_ = load(name, scope)
  if property_.labels is not None:
    return property_.labels(scope)
  n, *classes = property_.shape(scope)
  labels_ = (name,) if n == 1 else tuple(f"{name} {i}" for i in range(n))
  return labels_, tuple(range(*classes)) if classes else ()


def names() -> tuple[str, ...]:
  """The names of all properties but columns."""
  return plugins.names(__name__)
