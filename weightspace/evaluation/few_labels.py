"""Few-shot prediction on networks of unseen tasks.

Of the networks of out-of-distribution tasks (section 5's OOD split), some are
labelled and others are for testing. The split is by network, because snapshots
of one network are similar.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.evaluation import bootstrap


class Plan(NamedTuple):
  """Row numbers, increasing.

  Attributes:
    labelled: {number of labelled networks, per task or in total: training
      rows}; larger sets contain the smaller ones.
    test: test rows, of other networks.
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
  """Splits networks of unseen tasks into labelled and test networks.

  With `by_task`, one network of each task is for testing and k others are
  labelled, or all others of a task with fewer. Otherwise, half of the networks
  are for testing and k of the others are labelled.

  Args:
    columns: of the zoo, [R, ...] each; "net_id" and "task" are used.
    ood: [n] row numbers of unseen tasks.
    counts: values of k; those that exceed the number of networks are skipped.
    seed: of the random order of networks.
    by_task: whether networks share tasks.

  Raises:
    ValueError: a count is below 1, rows of one network have several tasks, or
      there are too few networks for every count.
  """
  ood = np.sort(np.asarray(ood))
  if not counts or min(counts) < 1:
    raise UserError(
        f"counts={tuple(counts)} must be at least one labelled network each"
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
    scope = "per task " if by_task else ""
    raise UserError(
        f"unseen tasks have at most {most} networks {scope}besides those for"
        f" testing, too few for counts={tuple(counts)}: use a larger zoo, or"
        " smaller counts"
    )
  return Plan(labelled, ood[np.isin(net_ids, np.concatenate(kept))])


def improvement(
    errors: np.ndarray, baseline: np.ndarray, tasks: np.ndarray, **kwargs
) -> bootstrap.Estimate:
  """The relative reduction of a baseline's mean error, in per cent.

  Args:
    errors: [S, R], for each seed, on the test rows.
    baseline: [S, R], for as many seeds, on the same rows.
    tasks: [R, D], of the rows.
    **kwargs: of `bootstrap.ratio_over_seeds`.

  Returns:
    100 (1 - mean error / mean baseline error), with an interval over seeds and
    tasks; NaN if the baseline's errors are 0.
  """
  ratio = bootstrap.ratio_over_seeds(errors, baseline, tasks, **kwargs)
  return bootstrap.Estimate(
      *(100 * (1 - r) for r in (ratio.value, ratio.high, ratio.low))
  )


def _networks(net_ids, tasks, by_task):
  """Network ids, sorted: a list with one array per task, or with one array."""
  networks, first, inverse = np.unique(
      net_ids, return_index=True, return_inverse=True
  )
  network_tasks = tasks[first]
  mixed = np.any(tasks != network_tasks[inverse.reshape(-1)], axis=1)
  if np.any(mixed):
    raise UserError(
        f"network {net_ids[np.argmax(mixed)]} has rows of several tasks"
    )
  if not by_task:
    return [networks]
  _, task_ids = np.unique(network_tasks, axis=0, return_inverse=True)
  task_ids = task_ids.reshape(-1)
  return [networks[task_ids == t] for t in range(task_ids.max(initial=-1) + 1)]
