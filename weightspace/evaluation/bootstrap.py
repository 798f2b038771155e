"""Bootstrap confidence intervals over tasks and seeds of training.

Rows of one task are not independent: they are snapshots of one network, or
networks of one language. The bootstrap therefore resamples tasks, not rows. If
training was repeated with several seeds, as in section 5, it resamples seeds
too.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from weightspace.errors import UserError


class Estimate(NamedTuple):
  """A statistic and its percentile bootstrap interval."""

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
  """The interval of a statistic of rows, resampling tasks.

  Args:
    statistic: (row numbers [n]) -> float; rows may repeat.
    tasks: [R, D], the task of each row.
    seed: of the resampling.
    resamples: number of bootstrap resamples.
    level: confidence level.

  Raises:
    ValueError: there are no rows.
  """
  rows = _by_task(tasks)
  generator = np.random.default_rng(seed)
  draws = generator.integers(len(rows), size=(resamples, len(rows)))
  values = [
      statistic(np.concatenate([rows[i] for i in draw])) for draw in draws
  ]
  return _estimate(statistic(np.arange(len(tasks))), values, level)


def mean(values: np.ndarray, tasks: np.ndarray, **kwargs) -> Estimate:
  """The mean of `values` [R] and its interval; see `interval`."""
  return interval(lambda rows: float(np.mean(values[rows])), tasks, **kwargs)


def interval_over_seeds(
    statistic: Callable[[np.ndarray, int], float],
    seeds: int,
    tasks: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> Estimate:
  """The interval of a statistic's mean over seeds, resampling seeds and tasks.

  All seeds are evaluated on the same rows. Each resample draws tasks and,
  independently, seeds. For one seed it equals `interval`.

  Args:
    statistic: (row numbers [n], index of a seed) -> float; rows may repeat.
    seeds: number of seeds, S.
    tasks: [R, D], the task of each row.
    seed: of the resampling.
    resamples: number of bootstrap resamples.
    level: confidence level.

  Raises:
    ValueError: there are no rows, or no seeds.
  """
  rows = _by_task(tasks)
  draws, weights = _draw(len(rows), seeds, resamples, seed)
  values = []
  for draw, weight in zip(draws, weights):
    drawn = np.concatenate([rows[i] for i in draw])
    chosen = np.flatnonzero(weight).tolist()
    values.append(sum(weight[s] * statistic(drawn, s) for s in chosen))
  all_rows = np.arange(len(tasks))
  value = np.mean([statistic(all_rows, s) for s in range(seeds)])
  return _estimate(value, values, level)


def over_seeds(
    values: np.ndarray,
    tasks: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> Estimate:
  """The mean of `values` over seeds and rows, and its interval over both.

  Args:
    values: [S, R], for each seed of training, of the same rows.
    tasks: [R, D], the task of each row.
    seed: of the resampling; see `interval_over_seeds`.
    resamples: number of bootstrap resamples.
    level: confidence level.

  Raises:
    ValueError: values have another shape, or there are no rows or no seeds.
  """
  value, drawn = _means((values,), tasks, seed, resamples)
  return _estimate(value[0], drawn[0], level)


def ratio_over_seeds(
    numerators: np.ndarray,
    denominators: np.ndarray,
    tasks: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> Estimate:
  """The ratio of two means over seeds and rows, and its interval over both.

  Both means use the same resamples.

  Args:
    numerators: [S, R], for each seed of training, of the same rows.
    denominators: [S, R], of the same seeds and rows.
    tasks: [R, D], the task of each row.
    seed: of the resampling; see `interval_over_seeds`.
    resamples: number of bootstrap resamples.
    level: confidence level.

  Returns:
    The estimate; NaN if all denominators are 0.

  Raises:
    ValueError: values have another shape, numbers of seeds differ, or there
      are no rows or no seeds.
  """
  if len(numerators) != len(denominators):
    raise UserError(
        f"numerators have {len(numerators)} seeds, denominators"
        f" {len(denominators)}: expected as many of both"
    )
  values, drawn = _means((numerators, denominators), tasks, seed, resamples)
  with np.errstate(invalid="ignore", divide="ignore"):
    value, ratios = (a[0] / np.where(a[1] == 0, np.nan, a[1])
                     for a in (values, drawn))  # fmt: skip
  return _estimate(value, ratios, level)


def _means(arrays, tasks, seed, resamples):
  """Means [len(arrays)] of arrays [S, R], and those of resamples [.., n]."""
  rows = _by_task(tasks)
  sizes = np.array([len(r) for r in rows])
  means, resampled = [], []
  for values in arrays:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1] != len(tasks):
      raise UserError(
          f"values have shape {values.shape}, expected [seeds, {len(tasks)}]"
      )
    draws, weights = _draw(len(rows), len(values), resamples, seed)
    sums = np.stack([values[:, r].sum(axis=1) for r in rows], axis=1)
    drawn = sums[:, draws].sum(axis=2) / sizes[draws].sum(axis=1)
    means.append(values.mean())
    resampled.append(np.sum(weights.T * drawn, axis=0))
  return np.stack(means), np.stack(resampled)


def _by_task(tasks):
  """Row numbers of each distinct task."""
  if len(tasks) == 0:
    raise UserError("there are no rows to estimate a statistic from")
  _, task_ids = np.unique(tasks, axis=0, return_inverse=True)
  task_ids = task_ids.reshape(-1)
  order = np.argsort(task_ids, kind="stable")
  return np.split(order, np.flatnonzero(np.diff(task_ids[order])) + 1)


def _draw(tasks, seeds, resamples, seed):
  """Indices of tasks [n, tasks] and weights of seeds [n, S] of resamples."""
  if seeds < 1:
    raise UserError(f"there must be at least one seed, got {seeds}")
  generator = np.random.default_rng(seed)
  draws = generator.integers(tasks, size=(resamples, tasks))
  chosen = generator.integers(seeds, size=(resamples, seeds))
  weights = np.stack([np.sum(chosen == s, axis=1) for s in range(seeds)], 1)
  return draws, weights / seeds


def _estimate(value, values, level):
  tail = 50 * (1 - level)
  if np.all(np.isnan(values)):
    low = high = float("nan")
  else:
    low, high = np.nanpercentile(values, [tail, 100 - tail])
  return Estimate(float(value), float(low), float(high))
