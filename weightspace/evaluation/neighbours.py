"""Nearest neighbours in code space: how similar are their tasks?

This quantifies figures of codes (section 5: clusters by language, smoothly
varying angles). Neighbours are rows of other networks, not snapshots of the
same network.
"""

import numpy as np

from weightspace.errors import UserError

_BLOCK = 512  # rows of a block of the distance matrix


def measure(
    codes: np.ndarray,
    net_ids: np.ndarray,
    tasks: np.ndarray,
    *,
    k: int,
    continuous: bool,
    seed: int = 0,
) -> np.ndarray:
  """Similarity of each row's task to those of its k nearest neighbours.

  Args:
    codes: [n, Z], or weights [n, P].
    net_ids: [n], the network of each row.
    tasks: [n, D].
    k: number of neighbours. For several k, call `nearest` once, then `alike`.
    continuous: whether tasks are angles in degrees, [n, 1], or classes.
    seed: see `nearest`.

  Returns:
    [n] float64: the fraction of neighbours with the row's task (precision at
    k); or, for angles, the mean difference in degrees.

  Raises:
    ValueError: there are fewer than k rows of other networks, or continuous
      tasks are not angles.
  """
  neighbours = nearest(codes, net_ids, k, seed=seed)
  return alike(neighbours, tasks, continuous=continuous).mean(axis=1)


def alike(
    neighbours: np.ndarray, tasks: np.ndarray, *, continuous: bool
) -> np.ndarray:
  """Compares the task of each row with those of its neighbours.

  Args:
    neighbours: [n, k] indices, from `nearest`.
    tasks: [n, D].
    continuous: see `measure`.

  Returns:
    [n, k] float64: 1 for equal tasks, else 0; or differences in degrees.

  Raises:
    ValueError: continuous tasks are not angles.
  """
  tasks = _as_tasks(tasks, continuous)
  return _compare(tasks[:, None], tasks[neighbours], continuous)


def chance(
    net_ids: np.ndarray, tasks: np.ndarray, *, continuous: bool
) -> np.ndarray:
  """The expectation of `measure` for uninformative codes, [n] float64.

  It is the mean over all rows of other networks, for every k.

  Args:
    net_ids: [n].
    tasks: [n, D].
    continuous: see `measure`.

  Raises:
    ValueError: the rows are of fewer than two networks, or continuous tasks
      are not angles.
  """
  tasks, net_ids = _as_tasks(tasks, continuous), np.asarray(net_ids)
  _check(net_ids, 1)
  means = []
  for start in range(0, len(net_ids), _BLOCK):
    block = slice(start, start + _BLOCK)
    other = net_ids[block, None] != net_ids
    value = _compare(tasks[block, None], tasks[None], continuous)
    means.append(np.sum(value * other, axis=1) / np.sum(other, axis=1))
  return np.concatenate(means)


def nearest(
    codes: np.ndarray, net_ids: np.ndarray, k: int, *, seed: int = 0
) -> np.ndarray:
  """The k nearest rows of other networks, by Euclidean distance.

  Distances are computed in blocks, which bounds the memory.

  Args:
    codes: [n, Z].
    net_ids: [n].
    k: number of neighbours.
    seed: of the random order of rows at equal distances.

  Returns:
    [n, k] indices, the nearest first.

  Raises:
    ValueError: there are fewer than k rows of other networks, or codes are not
      finite.
  """
  codes, net_ids = np.asarray(codes), np.asarray(net_ids)
  _check(net_ids, k)
  if codes.shape[:1] != net_ids.shape or codes.ndim != 2:
    raise UserError(
        f"codes have shape {codes.shape}, expected one for each of the"
        f" {len(net_ids)} net_ids: [n, Z]"
    )
  order = np.random.default_rng(seed).permutation(len(codes))
  codes, net_ids = codes[order], net_ids[order]
  # Centred codes reduce cancellation in the expansion of squared distances
  centre = codes.mean(axis=0, dtype=np.float64)
  blocks = [
      slice(start, start + _BLOCK) for start in range(0, len(codes), _BLOCK)
  ]
  neighbours = np.empty((len(codes), k), np.int64)
  for block in blocks:
    x = codes[block].astype(np.float64) - centre
    best = np.empty((len(x), 0)), np.empty((len(x), 0), np.int64)
    for other in blocks:
      y = codes[other].astype(np.float64) - centre
      distances = (
          np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * x @ y.T
      )
      if not np.isfinite(distances).all():
        raise UserError("codes are not finite: exclude such rows")
      distances[net_ids[block, None] == net_ids[other]] = np.inf
      indices = np.arange(len(codes))[other]
      best = _smallest(k, best, (distances, indices))
    neighbours[block] = best[1]
  result = np.empty_like(neighbours)
  result[order] = order[neighbours]
  return result


def _smallest(k, best, new):
  """Merges (distances, indices), keeping the k smallest distances of each."""
  distances = np.concatenate([best[0], new[0]], axis=1)
  indices = np.concatenate(
      [best[1], np.broadcast_to(new[1], new[0].shape)], axis=1
  )
  keep = np.argsort(distances, axis=1, kind="stable")[:, :k]
  return tuple(
      np.take_along_axis(a, keep, axis=1) for a in (distances, indices)
  )


def _as_tasks(tasks, continuous):
  tasks = np.asarray(tasks)
  if continuous and tasks.shape[1:] != (1,):
    raise UserError(
        f"tasks have shape {tasks.shape}, expected angles [n, 1]"
    )
  return tasks.astype(np.float64) if continuous else tasks


def _compare(a, b, continuous):
  if continuous:
    return np.abs((a - b + 180) % 360 - 180)[..., 0]
  return np.all(a == b, axis=-1).astype(np.float64)


def _check(net_ids, k):
  if not len(net_ids):
    raise UserError("there are no rows to find neighbours of")
  networks, sizes = np.unique(net_ids, return_counts=True)
  others = len(net_ids) - sizes.max()
  if k < 1 or others < k:
    raise UserError(
        f"k={k} must be from 1 to {others}, the number of rows of networks"
        f" other than {networks[np.argmax(sizes)]}"
    )
