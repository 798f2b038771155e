"""Any column of a zoo as a property: `column:NAME`.

A column of categories is a classification over their values, any other one a
regression. `column:NAME:circular` is a direction, of a column in degrees. NAME
may also be a number of the zoo's tasks. An empty cell of a table is -1 among
categories and NaN among numbers: such a row's target is unknown.
"""

import functools

import numpy as np

from weightspace.errors import UserError
from weightspace.plugins import nearest
from weightspace.properties import (
  COLUMN,
  Property,
  Scope,
  _direction,
  _regression,
)

HEADLINES = ("accuracy", "r2", "degrees")  # one of each kind
_CIRCULAR = "circular"


def parse(name: str) -> tuple[str, bool]:
  """The column that a property is of, and whether it is circular.

  Raises:
    UserError: it has another form.
  """
  column, *rest = name.removeprefix(COLUMN).split(":")
  if not column or rest not in ([], [_CIRCULAR]):
    raise UserError(
        f"property {name!r} must be {COLUMN}NAME, or {COLUMN}NAME:{_CIRCULAR}"
        " for angles in degrees"
    )
  return column, bool(rest)


def make(name: str, scope: Scope) -> Property:
  """The property of a column; its kind is that of the column in that zoo.

  Raises:
    UserError: the name has another form, or categories are no angles.
  """
  column, circular = parse(name)
  values = dict(scope.tasks.categories).get(column)
  cells = functools.partial(_cells, column)
  if circular:
    if values is not None:
      raise UserError(
          f"property {name!r} needs angles in degrees, but column {column!r}"
          f" has the categories {', '.join(values)}; leave out :{_CIRCULAR}"
      )
    return Property(
        kind="direction",
        shape=lambda scope: (2,),
        target=lambda columns, scope: _direction.target(cells(columns, scope)),
        metrics=_direction.metrics,
        headline="degrees",
        labels=lambda scope: _direction.LABELS,
    )
  if values is None:
    return Property(
        kind="regression",
        shape=lambda scope: (1,),
        target=lambda columns, scope: _numbers(cells(columns, scope))[:, None],
        metrics=_regression.metrics,
        headline="r2",
        labels=lambda scope: ((column,), ()),
    )
  return Property(
      kind="classification",
      shape=lambda scope: (1, len(values)),
      target=lambda columns, scope: cells(columns, scope)[:, None].astype(
          "int32"
      ),
      metrics=lambda outputs, targets: {
          "accuracy": float(np.mean(np.argmax(outputs, axis=-1) == targets))
      },
      headline="accuracy",
      labels=lambda scope: ((column,), values),
  )


def _numbers(cells):
  numbers = cells.astype("float32")
  return np.where(np.isfinite(numbers), numbers, np.float32(np.nan))


def _cells(column, columns, scope):
  """The column [R], or that number of the tasks."""
  tasks = scope.tasks.task_names
  if column in columns and np.ndim(columns[column]) == 1:
    return np.asarray(columns[column])
  if column in tasks:
    return columns["task"][:, tasks.index(column)]
  known = sorted(
      {*tasks, *(name for name in columns if np.ndim(columns[name]) == 1)}
  )
  raise UserError(
      f"the zoo has no column {column!r} with one number a row"
      f"{nearest(column, known)}; there are: {', '.join(known)}"
  )
