"""Splits of a zoo's rows by task: no task is in two of them.

Section 5 of the paper: 70 % of the distinct tasks train, 15 % validate, and
the 15 % most novel ones are out of distribution (OOD).
"""

import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import settings
from weightspace.errors import UserError
from weightspace.tasks import TaskFamily
from weightspace.zoo.reader import Zoo


class Splits(NamedTuple):
  """Row numbers of each split, increasing."""

  train: np.ndarray  # [n] int64
  validation: np.ndarray  # [n] int64
  ood: np.ndarray  # [n] int64


def by_task(
    tasks: np.ndarray,
    novelty: np.ndarray,
    *,
    seed: int,
    fractions: tuple[float, float] = (0.7, 0.15),
) -> Splits:
  """Splits rows by distinct task.

  The tasks of highest novelty are OOD; the others are shuffled between
  training and validation. The outcome depends on the set of tasks and not on
  the order or number of their rows.

  Args:
    tasks: [R, D], what each row was trained to do.
    novelty: [R], the same for rows of the same task. Values that differ by no
      more than rounding are ties; the task's own numbers break them.
    seed: of the shuffle.
    fractions: of the n distinct tasks that go to training and validation,
      rounded down; the rest is OOD.

  Returns:
    `Splits` of row numbers that together are all rows.

  Raises:
    ValueError: a split would be empty; numbers that are not finite; fractions
      that leave nothing for OOD.
  """
  distinct, of_row = _distinct(tasks)
  novelty = np.asarray(novelty)
  if novelty.shape != of_row.shape or not np.isfinite(novelty).all():
    raise UserError(
        f"novelty has shape {novelty.shape}, expected finite numbers of shape"
        f" {of_row.shape}, one for each row of tasks"
    )
  if min(fractions) <= 0 or sum(fractions) >= 1:
    raise UserError(
        f"fractions {fractions} must be positive with a sum below 1: what is"
        " left is the OOD split"
    )
  n = len(distinct)
  train, validation = (int(fraction * n) for fraction in fractions)
  if min(train, validation, n - train - validation) < 1:
    raise UserError(
        f"{n} distinct tasks make {train} for training, {validation} for"
        f" validation and {n - train - validation} for OOD; every split needs"
        " at least one, so use a zoo with more tasks (7 for the fractions 0.7"
        " and 0.15)"
    )
  order = np.argsort(_ranks(novelty, of_row, n), kind="stable")
  familiar, novel = order[: train + validation], order[train + validation :]
  # Sorted first: which tasks there are, not how novel, decides the shuffle.
  shuffled = _generator(seed, "splits").permutation(np.sort(familiar))
  return Splits(
      _rows(of_row, shuffled[:train]),
      _rows(of_row, shuffled[train:]),
      _rows(of_row, novel),
  )


def halve(
    rows: np.ndarray, tasks: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Splits rows in two at random so that no task is in both parts.

  The paper lets one half of the OOD tasks join the training of the heads and
  tests on the other.

  Args:
    rows: [n] row numbers.
    tasks: [R, D], of all rows of the zoo.
    seed: of the shuffle.

  Returns:
    Two increasing arrays of row numbers; of an odd number of tasks the second
    half has one more.

  Raises:
    ValueError: fewer than two distinct tasks.
  """
  rows = np.sort(np.asarray(rows))
  distinct, of_row = _distinct(np.asarray(tasks)[rows])
  n = len(distinct)
  if n < 2:
    raise UserError(
        f"the {len(rows)} rows to halve have {n} distinct tasks, but each half"
        " needs its own: at least 2"
    )
  shuffled = _generator(seed, "halves").permutation(n)
  first, second = shuffled[: n // 2], shuffled[n // 2 :]
  return rows[_rows(of_row, first)], rows[_rows(of_row, second)]


def _distinct(tasks):
  """The distinct tasks in lexicographic order, and the one of each row."""
  tasks = np.asarray(tasks)
  if tasks.ndim != 2 or not np.isfinite(tasks).all():
    raise UserError(
        f"tasks has shape {tasks.shape}, expected finite numbers of shape"
        " [R, D], one row for each row of the zoo"
    )
  distinct, of_row = np.unique(tasks, axis=0, return_inverse=True)
  return distinct, of_row.reshape(-1)


def _ranks(novelty, of_row, n):
  """Rank of each task's novelty; equal up to float32 rounding, equal rank.

  Permuted sums and other devices round differently. That must not decide which
  of two equally novel tasks is OOD.
  """
  highest = np.full(n, -np.inf)
  np.maximum.at(highest, of_row, novelty.astype(np.float64))
  order = np.argsort(highest, kind="stable")
  rounding = 4 * np.finfo(np.float32).eps * np.abs(highest).max()
  steps = np.diff(highest[order], prepend=-np.inf) > rounding
  ranks = np.empty(n, np.int64)
  ranks[order] = np.cumsum(steps)
  return ranks


def _rows(of_row, chosen):
  return np.flatnonzero(np.isin(of_row, chosen))


def _generator(seed, purpose):
  return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


@settings.pinned()
def of_zoo(zoo: Zoo, family: TaskFamily, *, seed: int) -> Splits:
  """`by_task` of a zoo's rows, without those of diverged networks.

  Args:
    zoo: to split.
    family: its task family, which says how novel a task is.
    seed: of the shuffle.

  Raises:
    UserError: nothing is left of a split; see `by_task` too.
  """
  task = zoo.columns["task"]
  novelty = np.asarray(jax.vmap(family.novelty)(jnp.asarray(task)))
  parts = by_task(task, novelty, seed=seed)
  finite = zoo.columns["finite"]
  if not np.any(finite[zoo.final]):
    raise UserError(
        f"all {zoo.spec.num_networks} networks of {zoo.path} diverged, so there"
        " is nothing to learn from: make a zoo with lower learning rates"
    )
  kept = Splits(*(rows[finite[rows]] for rows in parts))
  empty = [name for name, rows in kept._asdict().items() if not len(rows)]
  if empty:
    raise UserError(
        f"all networks of the {' and '.join(empty)} tasks of {zoo.path}"
        " diverged: make a zoo of more networks, or with lower learning rates"
    )
  return kept
