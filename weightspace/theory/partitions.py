"""Queries as partitions of the functions, and how many it takes at least.

Sets of functions, and of queries, are bit masks.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np


class Query(NamedTuple):
  """A query that tells some functions apart.

  Attributes:
    number: its column in the table of answers.
    blocks: by answer, the functions that give it.
  """

  number: int
  blocks: dict[int, int]


def queries(outputs: np.ndarray) -> list[Query]:
  """The queries of a table that split its functions, each split once.

  Args:
    outputs: [functions, queries] integers.
  """
  kept, known = [], set()
  for number, column in enumerate(outputs.T):
    blocks: dict[int, int] = {}
    for f, answer in enumerate(column.tolist()):
      blocks[answer] = blocks.get(answer, 0) | 1 << f
    partition = frozenset(blocks.values())
    if len(partition) > 1 and partition not in known:
      known.add(partition)
      kept.append(Query(number, blocks))
  return kept


def lower_bound(useful: Iterable[Query], left: int) -> int:
  """Queries that every interrogator of the functions `left` needs.

  It is stated for decision trees. A non-interactive interrogator is one too,
  a tree whose queries do not depend on answers.

  Args:
    useful: the queries there are.
    left: bit mask of the functions that it may be.

  Returns:
    The larger of two bounds. Counting: a tree of depth k whose nodes have at
    most a answers has at most a^k leaves. Majority: an adversary gives every
    query the answer that most of `left` give. Only the minority of a query
    contradicts it, so k queries rule out no more functions than the k largest
    minorities hold, and all functions but one must be ruled out.
  """
  count = left.bit_count()
  minorities, arity = [], 1
  for query in useful:
    sizes = [n for b in query.blocks.values() if (n := (b & left).bit_count())]
    minorities.append(count - max(sizes, default=0))
    arity = max(arity, len(sizes))
  return max(_logarithm(count, arity), fewest(minorities, count - 1))


def fewest(gains: Iterable[int], goal: int) -> int:
  """How many of the gains, the largest first, it takes to reach the goal."""
  total = count = 0
  for gain in sorted(gains, reverse=True):
    if total >= goal:
      break
    total, count = total + gain, count + 1
  return count


def _logarithm(count, arity):
  """The least k with arity^k >= count."""
  k, leaves = 0, 1
  while leaves < count and arity > 1:
    k, leaves = k + 1, leaves * arity
  return k


def bits(mask: int) -> Iterator[int]:
  """The numbers of the bits that are set."""
  while mask:
    low = mask & -mask
    yield low.bit_length() - 1
    mask ^= low


def lowest(mask: int, count: int) -> int:
  """The `count` lowest bits of a mask, as a mask."""
  lowest_bits = 0
  for _ in range(count):
    low = mask & -mask
    lowest_bits, mask = lowest_bits | low, mask ^ low
  return lowest_bits
