"""Intervals by resampling tasks."""

import numpy as np
import pytest

from weightspace.evaluation import bootstrap


def clustered(generator, tasks=40, rows=8):
  """Values whose tasks differ much more than the rows of a task."""
  own = generator.standard_normal((tasks, 1))
  values = own + 0.2 * generator.standard_normal((tasks, rows))
  names = np.repeat(np.arange(tasks), rows)
  task = np.stack([names // 6, names % 6], axis=1)
  order = generator.permutation(len(names))
  return values.ravel()[order], task[order]


def test_the_interval_covers_the_truth_as_often_as_it_says():
  generator = np.random.default_rng(0)
  covered, too_narrow = 0, 0
  for _ in range(100):
    values, tasks = clustered(generator)
    estimate = bootstrap.mean(values, tasks, resamples=200)
    covered += estimate.low <= 0 <= estimate.high
    # What a resampling of rows would say
    by_row = bootstrap.mean(
        values, np.arange(len(values))[:, None], resamples=200
    )
    too_narrow += by_row.low <= 0 <= by_row.high
  # Binomial(100, 0.95) and a little less: percentiles are not exact
  assert 86 <= covered <= 99
  assert too_narrow < 70


def test_tasks_are_drawn_whole():
  values, tasks = clustered(np.random.default_rng(1), tasks=10)
  _, of_row, sizes = np.unique(
      tasks, axis=0, return_inverse=True, return_counts=True
  )
  of_row = of_row.reshape(-1)

  def statistic(rows):
    drawn = np.bincount(of_row[rows], minlength=len(sizes))
    assert np.all(drawn % sizes == 0)
    times = drawn // sizes
    assert np.sum(times) == len(sizes)
    each = np.bincount(rows, minlength=len(values))
    np.testing.assert_array_equal(each, times[of_row])
    return 0.0

  bootstrap.interval(statistic, tasks, resamples=50)


def test_tasks_of_different_sizes_are_kept_together():
  tasks = np.array([[0, 0]] * 5 + [[0, 1]] + [[1, 0]] * 2)
  seen = set()
  bootstrap.interval(
      lambda rows: seen.add(len(rows)) or 0.0, tasks, resamples=100
  )
  possible = {
      5 * a + b + 2 * (3 - a - b) for a in range(4) for b in range(4 - a)
  }
  assert seen <= possible
  assert len(seen) > 5


def test_same_seed_same_interval():
  values, tasks = clustered(np.random.default_rng(2))
  assert bootstrap.mean(values, tasks) == bootstrap.mean(values, tasks)
  assert bootstrap.mean(values, tasks, seed=1) != bootstrap.mean(values, tasks)


def test_the_value_is_that_of_all_rows():
  values, tasks = clustered(np.random.default_rng(3))
  estimate = bootstrap.mean(values, tasks)
  assert estimate.value == np.mean(values)
  assert estimate.low < estimate.value < estimate.high


def test_a_lower_level_makes_a_narrower_interval():
  values, tasks = clustered(np.random.default_rng(4))
  wide = bootstrap.mean(values, tasks)
  narrow = bootstrap.mean(values, tasks, level=0.5)
  assert wide.low < narrow.low < narrow.high < wide.high


def test_a_single_task_has_no_width():
  estimate = bootstrap.mean(np.arange(3.0), np.zeros((3, 2)))
  assert estimate == (1.0, 1.0, 1.0)


def test_resamples_that_have_no_value_are_left_out():
  """R² of a resample of one task that never varies is not a number."""
  tasks = np.repeat(np.arange(3), 2)[:, None]
  values = np.repeat([0.0, 1.0, 2.0], 2)

  def statistic(rows):
    spread = np.var(values[rows])
    return float(spread) if spread > 0 else float("nan")

  estimate = bootstrap.interval(statistic, tasks, resamples=100)
  assert np.isfinite(estimate).all()


def test_a_statistic_that_never_has_a_value_has_no_interval():
  estimate = bootstrap.interval(
      lambda rows: float("nan"), np.arange(3)[:, None], resamples=10
  )
  assert np.isnan(estimate).all()


def test_no_rows_are_refused():
  with pytest.raises(ValueError, match="no rows"):
    bootstrap.mean(np.zeros(0), np.zeros((0, 2)))


def of_seeds(generator, seeds=12):
  """Values [S, R] whose seeds and tasks differ more than anything else."""
  values, tasks = clustered(generator, tasks=20, rows=4)
  own = generator.standard_normal((seeds, 1))
  noise = 0.2 * generator.standard_normal((seeds, len(values)))
  return 0.5 * values + own + noise, tasks


def test_seeds_and_tasks_cover_the_truth_as_often_as_they_say():
  generator = np.random.default_rng(5)
  covered, too_narrow = 0, 0
  for _ in range(100):
    values, tasks = of_seeds(generator)
    estimate = bootstrap.over_seeds(values, tasks, resamples=200)
    assert estimate.value == pytest.approx(np.mean(values))
    covered += estimate.low <= 0 <= estimate.high
    by_task = bootstrap.mean(values.mean(axis=0), tasks, resamples=200)
    too_narrow += by_task.low <= 0 <= by_task.high
  # Percentiles of so few seeds are somewhat too narrow
  assert 84 <= covered <= 99
  assert too_narrow < 60


def test_a_mean_is_a_statistic_of_rows_and_seeds():
  values, tasks = of_seeds(np.random.default_rng(6))
  tasks = np.where(np.arange(len(tasks))[:, None] < 30, 0, tasks)  # of sizes
  estimate = bootstrap.over_seeds(values, tasks, resamples=50)
  spelt = bootstrap.interval_over_seeds(
      lambda rows, seed: np.mean(values[seed][rows]),
      len(values), tasks, resamples=50,
  )  # fmt: skip
  np.testing.assert_allclose(estimate, spelt, rtol=1e-9)


def test_one_seed_is_an_interval_over_tasks():
  values, tasks = of_seeds(np.random.default_rng(7))
  estimate = bootstrap.over_seeds(values[:1], tasks)
  np.testing.assert_allclose(
      estimate, bootstrap.mean(values[0], tasks), rtol=1e-9
  )
  same = bootstrap.over_seeds(np.repeat(values[:1], 5, axis=0), tasks)
  np.testing.assert_allclose(estimate, same, rtol=1e-9)


def test_seeds_that_cannot_be_are_refused():
  tasks = np.arange(4)[:, None]
  with pytest.raises(ValueError, match=r"shape \(4,\), expected \[seeds, 4\]"):
    bootstrap.over_seeds(np.zeros(4), tasks)
  with pytest.raises(ValueError, match="at least one seed, got 0"):
    bootstrap.over_seeds(np.zeros((0, 4)), tasks)
  with pytest.raises(ValueError, match="no rows"):
    bootstrap.over_seeds(np.zeros((2, 0)), tasks[:0])


def test_a_ratio_is_of_the_means_of_one_draw():
  generator = np.random.default_rng(8)
  values, tasks = of_seeds(generator)
  size = np.exp(values)
  thrice = bootstrap.ratio_over_seeds(3 * size, size, tasks, resamples=50)
  np.testing.assert_allclose(thrice, 3, rtol=1e-9)
  noise = generator.random(size.shape)
  estimate = bootstrap.ratio_over_seeds(noise, size, tasks, resamples=50)
  assert estimate.value == pytest.approx(noise.mean() / size.mean())
  assert estimate.low < estimate.value < estimate.high
  with pytest.raises(ValueError, match="12 seeds, denominators 3"):
    bootstrap.ratio_over_seeds(size, size[:3], tasks)
