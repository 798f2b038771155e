"""Nearest neighbours in code space: do networks of one task lie together?

What the pictures of codes show (section 5: clusters by language, angles that
vary smoothly), as numbers. Snapshots of a network are no neighbours of its
own: only rows of other networks count.
"""

import numpy as np

_BLOCK = 512  # rows that are compared with as many at a time


def measure(
    codes: np.ndarray,
    net_ids: np.ndarray,
    tasks: np.ndarray,
    *,
    k: int,
    continuous: bool,
    seed: int = 0,
) -> np.ndarray:
  """How alike the tasks of each row and of its k nearest rows are.

  Args:
    codes: [n, Z], or weights [n, P].
    net_ids: [n], which network each row is of.
    tasks: [n, D].
    k: how many neighbours. For several, take `nearest` once and then `alike`.
    continuous: whether tasks are angles in degrees, [n, 1], or to be told
      apart.
    seed: see `nearest`.

  Returns:
    [n] float64: the share of its k nearest rows of other networks that have
    the row's task (precision at k); or, for angles, how far theirs are from
    it on average, in degrees.

  Raises:
    ValueError: fewer than k rows of other networks; tasks that are not angles.
  """
  found = nearest(codes, net_ids, k, seed=seed)
  return alike(found, tasks, continuous=continuous).mean(axis=1)


def alike(
    found: np.ndarray, tasks: np.ndarray, *, continuous: bool
) -> np.ndarray:
  """Of each row and each of its neighbours: 1 for one task; or degrees apart.

  Args:
    found: [n, k] places of the neighbours, as of `nearest`.
    tasks: [n, D].
    continuous: see `measure`.

  Returns:
    [n, k] float64.

  Raises:
    ValueError: tasks that are not angles.
  """
  tasks = _checked(tasks, continuous)
  return _compare(tasks[:, None], tasks[found], continuous)


def chance(
    net_ids: np.ndarray, tasks: np.ndarray, *, continuous: bool
) -> np.ndarray:
  """What `measure` is for codes that tell nothing, exactly, [n] float64.

  The mean over all rows of other networks; the same for every k.

  Args:
    net_ids: [n].
    tasks: [n, D].
    continuous: see `measure`.

  Raises:
    ValueError: rows of fewer than two networks; tasks that are not angles.
  """
  tasks, net_ids = _checked(tasks, continuous), np.asarray(net_ids)
  _check(net_ids, 1)
  found = []
  for start in range(0, len(net_ids), _BLOCK):
    block = slice(start, start + _BLOCK)
    other = net_ids[block, None] != net_ids
    value = _compare(tasks[block, None], tasks[None], continuous)
    found.append(np.sum(value * other, axis=1) / np.sum(other, axis=1))
  return np.concatenate(found)


def nearest(
    codes: np.ndarray, net_ids: np.ndarray, k: int, *, seed: int = 0
) -> np.ndarray:
  """The k nearest rows of other networks, by Euclidean distance.

  No more than a block of distances is held at a time.

  Args:
    codes: [n, Z].
    net_ids: [n].
    k: how many.
    seed: of the order in which rows that are equally near are taken.

  Returns:
    [n, k] places, the nearest first.

  Raises:
    ValueError: a row with fewer than k rows of other networks; codes that are
      not finite.
  """
  codes, net_ids = np.asarray(codes), np.asarray(net_ids)
  _check(net_ids, k)
  if codes.shape[:1] != net_ids.shape or codes.ndim != 2:
    raise ValueError(
        f"codes have shape {codes.shape}, expected one for each of the"
        f" {len(net_ids)} net_ids: [n, Z]"
    )
  order = np.random.default_rng(seed).permutation(len(codes))
  codes, net_ids = codes[order], net_ids[order]
  # About their mean, where products lose least of small distances
  centre = codes.mean(axis=0, dtype=np.float64)
  blocks = [
      slice(start, start + _BLOCK) for start in range(0, len(codes), _BLOCK)
  ]
  found = np.empty((len(codes), k), np.int64)
  for block in blocks:
    mine = codes[block].astype(np.float64) - centre
    best = np.empty((len(mine), 0)), np.empty((len(mine), 0), np.int64)
    for other in blocks:
      theirs = codes[other].astype(np.float64) - centre
      distances = (
          np.sum(mine**2, axis=1)[:, None]
          + np.sum(theirs**2, axis=1)
          - 2 * mine @ theirs.T
      )
      if not np.isfinite(distances).all():
        raise ValueError("codes are not finite: leave such rows out")
      distances[net_ids[block, None] == net_ids[other]] = np.inf
      places = np.arange(len(codes))[other]
      best = _smallest(k, best, (distances, places))
    found[block] = best[1]
  back = np.empty_like(found)
  back[order] = order[found]
  return back


def _smallest(k, best, more):
  distances = np.concatenate([best[0], more[0]], axis=1)
  places = np.concatenate(
      [best[1], np.broadcast_to(more[1], more[0].shape)], axis=1
  )
  kept = np.argsort(distances, axis=1, kind="stable")[:, :k]
  return tuple(np.take_along_axis(a, kept, axis=1) for a in (distances, places))


def _checked(tasks, continuous):
  tasks = np.asarray(tasks)
  if continuous and tasks.shape[1:] != (1,):
    raise ValueError(
        f"tasks have shape {tasks.shape}, expected angles [n, 1]: other"
        " numbers have no distance in degrees"
    )
  return tasks.astype(np.float64) if continuous else tasks


def _compare(a, b, continuous):
  if continuous:
    return np.abs((a - b + 180) % 360 - 180)[..., 0]
  return np.all(a == b, axis=-1).astype(np.float64)


def _check(net_ids, k):
  if not len(net_ids):
    raise ValueError("there are no rows to find neighbours of")
  _, of_row, sizes = np.unique(
      net_ids, return_inverse=True, return_counts=True
  )
  least = len(net_ids) - sizes.max()
  if k < 1 or least < k:
    network = net_ids[np.argmax(sizes[of_row.reshape(-1)])]
    raise ValueError(
        f"{k} neighbours are asked for, but rows of network {network} have"
        f" {least} rows of other networks: ask for 1 to {least}, or give more"
        " rows"
    )
