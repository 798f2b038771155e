"""Few labels: what pretraining is worth on tasks that nobody has seen.

Of the networks of out-of-distribution tasks (section 5's OOD split) some are
labelled, and others are kept to test on. Whole networks are: snapshots of one
network are alike, so a test network of which one snapshot was labelled would
be no test.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from weightspace.evaluation import bootstrap


class Plan(NamedTuple):
  """Row numbers, increasing.

  Attributes:
    labelled: {how many networks, of each task or in all: rows to train on};
      each holds those before it.
    test: rows to test on, of networks of which none is labelled.
  """

  labelled: dict[int, np.ndarray]
  test: np.ndarray


def plan(
    columns: Mapping[str, np.ndarray],
    ood: np.ndarray,
    counts: Sequence[int],
    *,
    seed: int,
    by_task: bool,
) -> Plan:
  """Which networks are labelled, and which are the test.

  By task, one network of each is kept for the test, and k others of each are
  labelled; a task that has fewer gives all. Where each network has a task of
  its own, half of the networks are kept, and k in all are labelled.

  Args:
    columns: of the zoo, [R, ...] each; "net_id" and "task" are read.
    ood: [n] row numbers of unseen tasks.
    counts: each k to plan for; those that no task, or not the zoo, has so many
      networks for are left out.
    seed: of which networks are kept and in which order others are labelled.
    by_task: whether networks share tasks.

  Raises:
    ValueError: counts below 1; rows of one network with several tasks; too few
      networks for any of the counts.
  """
  ood = np.sort(np.asarray(ood))
  if not counts or min(counts) < 1:
    raise ValueError(
        f"counts={tuple(counts)} must be of at least one labelled network"
    )
  net_ids = columns["net_id"][ood]
  groups = _networks(net_ids, columns["task"][ood], by_task)
  generator = np.random.default_rng([seed, zlib.crc32(b"few labels")])
  kept, others = [], []
  for networks in groups:
    drawn = generator.permutation(networks)
    test = 1 if by_task else -(-len(drawn) // 2)
    kept.append(drawn[:test])
    others.append(drawn[test:])
  most = max((len(rest) for rest in others), default=0)
  labelled = {
      int(k): ood[np.isin(net_ids, np.concatenate([o[:k] for o in others]))]
      for k in sorted(set(counts))
      if k <= most
  }
  if not labelled:
    where = "of a task " if by_task else ""
    raise ValueError(
        f"the unseen tasks have at most {most} networks {where}besides those of"
        f" the test, too few for counts={tuple(counts)}: use a zoo of more"
        " networks, or smaller counts"
    )
  return Plan(labelled, ood[np.isin(net_ids, np.concatenate(kept))])


def improvement(
    errors: np.ndarray, baseline: np.ndarray, tasks: np.ndarray, **kwargs
) -> bootstrap.Estimate:
  """How much smaller errors are than a baseline's: 100 (1 - mean / mean).

  Args:
    errors: [S, R], of each seed on the rows of the test.
    baseline: [S, R], of as many seeds on the same rows.
    tasks: [R, D], of the rows.
    **kwargs: of `bootstrap.ratio_over_seeds`.

  Returns:
    Per cent, with the interval over seeds and tasks; NaN where the baseline
    makes no errors.
  """
  ratio = bootstrap.ratio_over_seeds(errors, baseline, tasks, **kwargs)
  return bootstrap.Estimate(
      *(100 * (1 - r) for r in (ratio.value, ratio.high, ratio.low))
  )


def _networks(net_ids, tasks, by_task):
  """Networks of each task in turn, or all together; in order of their ids."""
  networks, first, of_row = np.unique(
      net_ids, return_index=True, return_inverse=True
  )
  its_task = tasks[first]
  mixed = np.any(tasks != its_task[of_row.reshape(-1)], axis=1)
  if np.any(mixed):
    raise ValueError(
        f"network {net_ids[np.argmax(mixed)]} has rows of several tasks"
    )
  if not by_task:
    return [networks]
  _, task_of = np.unique(its_task, axis=0, return_inverse=True)
  task_of = task_of.reshape(-1)
  return [networks[task_of == t] for t in range(task_of.max(initial=-1) + 1)]
