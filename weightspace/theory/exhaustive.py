"""Numbers of queries straight from their definitions; for tiny families.

Nothing is pruned here, so that `interrogators` has something to be held
against. Time and memory grow as 2^functions, or 2^queries.
"""

import functools
import itertools

import numpy as np


def interactive(outputs: np.ndarray) -> int:
  """The depth of the shallowest decision tree.

  Args:
    outputs: [functions, queries] integers, all rows different.
  """

  @functools.cache
  def depth(left):
    if len(left) == 1:
      return 0
    best = len(left)
    for answers in outputs.T:
      blocks: dict[int, list[int]] = {}
      for f in left:
        blocks.setdefault(int(answers[f]), []).append(f)
      if len(blocks) > 1:
        worst = max(depth(tuple(block)) for block in blocks.values())
        best = min(best, 1 + worst)
    return best

  return depth(tuple(range(len(outputs))))


def noninteractive(outputs: np.ndarray) -> int:
  """The size of the smallest set of queries that separates all functions.

  Args:
    outputs: [functions, queries] integers, all rows different.
  """
  count, queries = outputs.shape
  return next(
      size
      for size in range(queries + 1)
      for chosen in itertools.combinations(range(queries), size)
      if len({tuple(row) for row in outputs[:, chosen].tolist()}) == count
  )
