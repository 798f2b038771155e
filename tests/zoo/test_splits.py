import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace.zoo import splits

LANGUAGES = np.array(list(itertools.product(range(-3, 3), repeat=3)))


def _entropy(m):
  counts = np.array([0, *m]) + 1.0 - min(0, *m)
  p = counts / counts.sum()
  return -(p * np.log(p)).sum()


def _tasks(rows):
  return {tuple(row) for row in rows}


@st.composite
def zoos(draw):
  """Tasks of rows, with repeats and ties of novelty, in any order."""
  distinct = draw(
      hnp.arrays(np.int32, (draw(st.integers(7, 40)), 2), unique=True)
  )
  repeats = draw(
      hnp.arrays(np.int8, len(distinct), elements=st.integers(1, 3))
  )
  novelty = draw(
      hnp.arrays(np.float32, len(distinct), elements=st.sampled_from([0, 1, 2]))
  )
  order = draw(st.permutations(range(repeats.sum())))
  of_row = np.repeat(np.arange(len(distinct)), repeats)[order]
  return distinct[of_row], novelty[of_row]


@given(zoos(), st.integers(0, 99))
def test_no_task_is_in_two_splits_and_every_row_in_one(zoo, seed):
  tasks, novelty = zoo
  parts = splits.by_task(tasks, novelty, seed=seed)
  rows = np.concatenate(parts)
  np.testing.assert_array_equal(np.sort(rows), np.arange(len(tasks)))
  for part in parts:
    assert (np.diff(part) > 0).all()
  for a, b in itertools.combinations(parts, 2):
    assert not _tasks(tasks[a]) & _tasks(tasks[b])
  n = len(_tasks(tasks))
  sizes = [len(_tasks(tasks[part])) for part in parts]
  assert sizes[:2] == [int(0.7 * n), int(0.15 * n)]
  seen = np.concatenate([parts.train, parts.validation])
  assert novelty[parts.ood].min() >= novelty[seen].max()


@given(zoos(), st.integers(0, 99), st.randoms(use_true_random=False))
def test_row_order_and_rounding_do_not_matter(zoo, seed, random):
  tasks, novelty = zoo
  order = random.sample(range(len(tasks)), len(tasks))
  noise = [1 + random.uniform(-1e-7, 1e-7) for _ in order]
  a = splits.by_task(tasks, novelty, seed=seed)
  b = splits.by_task(tasks[order], novelty[order] * noise, seed=seed)
  for x, y in zip(a, b):
    assert _tasks(tasks[x]) == _tasks(tasks[order][y])


def test_the_216_languages_split_as_in_the_paper():
  tasks = np.repeat(LANGUAGES, 9, axis=0)
  novelty = np.array([_entropy(m) for m in tasks])
  parts = splits.by_task(tasks, novelty, seed=0)
  assert [len(part) / 9 for part in parts] == [151, 32, 33]
  other = splits.by_task(tasks, novelty, seed=1)
  np.testing.assert_array_equal(parts.ood, other.ood)
  assert _tasks(tasks[parts.validation]) != _tasks(tasks[other.validation])


@given(zoos(), st.integers(0, 99))
def test_halving_shares_no_task(zoo, seed):
  tasks, novelty = zoo
  rows = splits.by_task(tasks, novelty, seed=0).ood
  a, b = splits.halve(rows, tasks, seed=seed)
  np.testing.assert_array_equal(np.sort(np.concatenate([a, b])), rows)
  assert not _tasks(tasks[a]) & _tasks(tasks[b])
  assert 0 <= len(_tasks(tasks[b])) - len(_tasks(tasks[a])) <= 1


@pytest.mark.parametrize("count", [0, 1, 6])
def test_too_few_tasks(count):
  with pytest.raises(ValueError, match=f"{count} distinct tasks make"):
    splits.by_task(LANGUAGES[:count], np.arange(count), seed=0)


def test_halving_one_task():
  with pytest.raises(ValueError, match="have 1 distinct tasks"):
    splits.halve([0, 1], np.zeros((3, 2)), seed=0)


@pytest.mark.parametrize("fractions", [(0.9, 0.1), (0.0, 0.5), (1.2, -0.4)])
def test_fractions_that_cannot_be(fractions):
  with pytest.raises(ValueError, match="fractions"):
    splits.by_task(LANGUAGES, np.zeros(216), seed=0, fractions=fractions)


@pytest.mark.parametrize(
    ("tasks", "novelty", "name"),
    [
        (LANGUAGES[:, 0], np.zeros(216), "tasks has shape"),
        (LANGUAGES * np.nan, np.zeros(216), "tasks has shape"),
        (LANGUAGES, np.zeros(215), "novelty has shape"),
        (LANGUAGES, np.full(216, np.nan), "novelty has shape"),
    ],
)
def test_arrays_that_cannot_be(tasks, novelty, name):
  with pytest.raises(ValueError, match=name):
    splits.by_task(tasks, novelty, seed=0)
