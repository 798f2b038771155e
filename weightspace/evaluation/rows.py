"""The rows of a zoo that heads are trained on, selected on and tested on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from weightspace import properties
from weightspace.errors import UserError
from weightspace.zoo import splits

PROTOCOLS = ("strict", "paper")
PARTS = ("validation", "test")


class Rows(NamedTuple):
  """Row numbers of each part of the split, whose tasks are disjoint."""

  train: np.ndarray
  validation: np.ndarray
  ood_train: np.ndarray  # training rows of the "paper" protocol only
  test: np.ndarray  # the other half of the OOD tasks


def make_rows(split, tasks: np.ndarray, seed: int) -> Rows:
  """Splits the OOD tasks in two; one part is the test of all protocols.

  Args:
    split: train, validation and ood rows.
    tasks: [R, D].
    seed: of the split.
  """
  first, second = splits.halve(split.ood, tasks, seed=seed)
  return Rows(split.train, split.validation, first, second)


def train_rows(rows: Rows, protocol: str) -> np.ndarray:
  """The training rows of a protocol, one of `PROTOCOLS`.

  Raises:
    ValueError: there is no such protocol.
  """
  if protocol not in PROTOCOLS:
    raise UserError(
        f"protocol must be {' or '.join(map(repr, PROTOCOLS))}, got"
        f" {protocol!r}"
    )
  if protocol == "strict":
    return rows.train
  return np.concatenate([rows.train, rows.ood_train])


def known_rows(targets: np.ndarray, rows: Rows) -> Rows:
  """The rows whose targets [R, n] are known, see `properties.known`."""
  known = properties.known(targets)
  return Rows(*(part[known[part]] for part in rows))


def unknown(
    property_name: str,
    columns: Mapping[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
) -> dict[str, int]:
  """How many rows of each part are left out, because they have no target."""
  targets = properties.load(property_name, scope).target(columns, scope)
  counts = {
      part: len(getattr(rows, part)) - len(kept)
      for part, kept in known_rows(targets, rows)._asdict().items()
  }
  return {part: count for part, count in counts.items() if count}


def check(
    names: Sequence[str],
    columns: Mapping[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
) -> None:
  """Checks that properties can be predicted, before anything is trained.

  Args:
    names: of properties; targets of those of weights are not looked at.
    columns: of the zoo, [R, ...] each.
    rows: the split.
    scope: of the zoo.

  Raises:
    UserError: the networks do not have a property, no row of a part of the
      split has a value in a column, or all training rows have the same.
  """
  for name in names:
    property_ = properties.check(name, scope)
    if property_.of_weights is not None:
      continue
    targets = property_.target(columns, scope)
    kept = known_rows(targets, rows)
    for part in ("train", *PARTS):
      if not len(getattr(kept, part)):
        raise UserError(
            f"property {name!r} is known of none of the"
            f" {len(getattr(rows, part))} {part} rows: leave it out of"
            " properties, or fill its column"
        )
    of_train = targets[kept.train]
    if name.startswith(properties.COLUMN) and np.all(of_train == of_train[0]):
      raise UserError(
          f"property {name!r} is the same for all {len(of_train)} training"
          " rows: there is nothing to learn; leave it out of properties"
      )
