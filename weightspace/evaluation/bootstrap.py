"""Confidence intervals by resampling tasks.

Rows of one task are not independent: snapshots of one network, networks of
one language. So whole tasks are drawn with replacement, never rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
  """A statistic and the percentile interval of its bootstrap."""

  value: float
  low: float
  high: float


def interval(
    statistic: Callable[[np.ndarray], float],
    tasks: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> Estimate:
  """The interval of a statistic of rows, by drawing tasks.

  Args:
    statistic: (row numbers [n]) -> float; rows may repeat.
    tasks: [R, D], the task of each row.
    seed: of the resampling.
    resamples: how often.
    level: of confidence.

  Raises:
    ValueError: there are no rows.
  """
  if len(tasks) == 0:
    raise ValueError("there are no rows to estimate anything from")
  _, of_row = np.unique(tasks, axis=0, return_inverse=True)
  of_row = of_row.reshape(-1)
  order = np.argsort(of_row, kind="stable")
  rows = np.split(order, np.flatnonzero(np.diff(of_row[order])) + 1)
  generator = np.random.default_rng(seed)
  draws = generator.integers(len(rows), size=(resamples, len(rows)))
  values = [
      statistic(np.concatenate([rows[i] for i in draw])) for draw in draws
  ]
  tail = 50 * (1 - level)
  if np.all(np.isnan(values)):
    low = high = float("nan")
  else:
    low, high = np.nanpercentile(values, [tail, 100 - tail])
  every = np.arange(len(tasks))
  return Estimate(float(statistic(every)), float(low), float(high))


def mean(values: np.ndarray, tasks: np.ndarray, **kwargs) -> Estimate:
  """The mean of `values` [R] with its interval; see `interval`."""
  return interval(lambda rows: float(np.mean(values[rows])), tasks, **kwargs)
