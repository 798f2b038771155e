"""Few labels: nothing of a test network is ever labelled."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from weightspace.evaluation import few_labels

COUNTS = (1, 2, 4, 8)


def zoo(generator, tasks=6, networks=40, snapshots=3, own=False):
  """Columns of a zoo, rows in any order, and the rows of half of its tasks."""
  task = np.arange(networks) if own else generator.integers(0, tasks, networks)
  net_ids = np.repeat(np.arange(networks) * 7 + 2, snapshots)
  its_task = np.repeat(np.stack([task, 2 * task], axis=1), snapshots, axis=0)
  order = generator.permutation(len(net_ids))
  columns = {"net_id": net_ids[order], "task": its_task[order]}
  ood = np.flatnonzero(columns["task"][:, 0] >= (tasks // 2 if not own else 10))
  return columns, ood


@hypothesis.given(
    st.integers(0, 2**31), st.integers(0, 100), st.booleans(),
    st.integers(1, 5),
)  # fmt: skip
def test_no_network_is_labelled_and_tested(draw, seed, by_task, snapshots):
  generator = np.random.default_rng(draw)
  columns, ood = zoo(generator, snapshots=snapshots, own=not by_task)
  # Some snapshots are of networks that diverged
  ood = ood[generator.random(len(ood)) < 0.9]
  plan = few_labels.plan(columns, ood, COUNTS, seed=seed, by_task=by_task)
  net_ids = columns["net_id"]
  tested = set(net_ids[plan.test])
  before = set()
  for count, rows in plan.labelled.items():
    assert count in COUNTS
    assert np.all(np.diff(rows) > 0)
    assert set(rows) <= set(ood)
    labelled = set(net_ids[rows])
    assert not labelled & tested
    assert before <= labelled
    # All that there is of a network is labelled
    assert set(rows) == set(ood[np.isin(net_ids[ood], list(labelled))])
    before = labelled
  assert set(plan.test) == set(ood[np.isin(net_ids[ood], list(tested))])


def test_each_task_keeps_a_network_and_gives_what_it_has():
  columns, ood = zoo(np.random.default_rng(0))
  plan = few_labels.plan(columns, ood, COUNTS, seed=0, by_task=True)
  task, net_ids = columns["task"][:, 0], columns["net_id"]
  has = {t: len(set(net_ids[task == t])) - 1 for t in set(task[ood])}
  assert len(set(has.values())) > 1
  assert list(plan.labelled) == [k for k in COUNTS if k <= max(has.values())]
  for t, others in has.items():
    assert len(set(net_ids[plan.test][task[plan.test] == t])) == 1
    for count, rows in plan.labelled.items():
      assert len(set(net_ids[rows][task[rows] == t])) == min(count, others)


def test_of_tasks_of_their_own_half_the_networks_are_kept():
  columns, ood = zoo(np.random.default_rng(0), own=True)
  plan = few_labels.plan(
      columns, ood, (1, 4, 15, 16), seed=0, by_task=False
  )
  net_ids = columns["net_id"]
  assert len(set(net_ids[plan.test])) == 15  # of 30
  assert {k: len(set(net_ids[r])) for k, r in plan.labelled.items()} == {
      1: 1, 4: 4, 15: 15,
  }  # fmt: skip


def test_it_depends_on_networks_and_the_seed_alone():
  columns, ood = zoo(np.random.default_rng(0))

  def networks(columns, ood, counts=COUNTS, seed=0):
    plan = few_labels.plan(columns, ood, counts, seed=seed, by_task=True)
    return (
        set(columns["net_id"][plan.test]),
        {k: set(columns["net_id"][r]) for k, r in plan.labelled.items()},
    )

  split = networks(columns, ood)
  back = {name: column[::-1] for name, column in columns.items()}
  assert networks(back, len(columns["task"]) - 1 - ood) == split
  assert networks(columns, ood[::-1], (4, 2, 2))[1][4] == split[1][4]
  assert networks(columns, ood, seed=1) != split


def test_what_cannot_be_is_refused():
  columns, ood = zoo(np.random.default_rng(0))
  for counts in ((), (0, 1)):
    with pytest.raises(ValueError, match="at least one labelled network"):
      few_labels.plan(columns, ood, counts, seed=0, by_task=True)
  with pytest.raises(ValueError, match="networks per task besides"):
    few_labels.plan(columns, ood, (100,), seed=0, by_task=True)
  with pytest.raises(ValueError, match="at most 0 networks besides"):
    few_labels.plan(columns, ood[:1], (1,), seed=0, by_task=False)
  with pytest.raises(ValueError, match="at most 0 networks"):
    few_labels.plan(columns, ood[:0], (1,), seed=0, by_task=True)
  mixed = {**columns, "net_id": np.zeros_like(columns["net_id"])}
  with pytest.raises(ValueError, match="network 0 has rows of several tasks"):
    few_labels.plan(mixed, ood, (1,), seed=0, by_task=True)


def test_improvement_in_per_cent():
  generator = np.random.default_rng(1)
  tasks = np.repeat(np.arange(10), 4)[:, None]
  baseline = 1 + generator.random((5, 40))
  halved = few_labels.improvement(0.5 * baseline, baseline, tasks)
  np.testing.assert_allclose(halved, 50)
  gain = few_labels.improvement(
      generator.random((5, 40)), baseline, tasks, resamples=200
  )
  assert gain.low < gain.value < gain.high < 100
  worse = few_labels.improvement(2 * baseline, baseline, tasks)
  np.testing.assert_allclose(worse, -100)
  assert np.isnan(
      few_labels.improvement(baseline, 0 * baseline, tasks)
  ).all()
