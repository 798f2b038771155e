"""The best non-interactive interrogator: a smallest separating set.

A set of queries separates a family if no two of its functions agree in all
answers to them.
"""

import itertools
from typing import NamedTuple

import numpy as np

from weightspace.theory import partitions


class NonInteractive(NamedTuple):
  """The least size of a separating set, and a set of that size."""

  queries: int
  chosen: tuple[int, ...]


def noninteractive(outputs: np.ndarray) -> NonInteractive:
  """The best non-interactive interrogator: a smallest separating set.

  Every two functions make a demand: one of the queries that distinguish
  them must be chosen. A query is either chosen or not; demands that only one
  query can satisfy decide at once.

  Args:
    outputs: [functions, queries] integers, all rows different.
  """
  outputs = np.asarray(outputs)
  queries = partitions.queries(outputs)
  everything = (1 << len(outputs)) - 1
  search = _SetSearch(partitions.lower_bound(queries, everything))
  search.explore(_demands(outputs[:, [q.number for q in queries]]), 0)
  chosen = tuple(queries[i].number for i in partitions.bits(search.best))
  return NonInteractive(len(chosen), chosen)


def any_separating_set(outputs: np.ndarray) -> tuple[int, ...]:
  """A separating set of at most |D| - 1 queries (statements 3.1 and 3.2).

  As long as some functions have agreed in all answers, there is a query that
  divides them, and each such query makes at least one group more. From 1
  group to |D| groups it takes |D| - 1 of them at most. A tree may ask the same
  queries, so the bound holds for both kinds of interrogators.

  Args:
    outputs: [functions, queries] integers, all rows different.
  """
  outputs = np.asarray(outputs)
  groups, chosen = np.zeros(len(outputs), np.int64), []
  for query, column in enumerate(outputs.T):
    finer = np.unique(
        np.stack([groups, column]), axis=1, return_inverse=True
    )[1].reshape(-1)
    if finer.max() > groups.max():
      groups, chosen = finer, [*chosen, query]
  return tuple(chosen)


class _SetSearch:
  """The smallest set of queries that satisfies all demands."""

  def __init__(self, bound):
    self.bound = bound  # no separating set is smaller
    self.best: int | None = None

  def explore(self, demands, chosen):
    """Improves `best` by supersets of `chosen` that satisfy the demands."""
    demands, chosen = _settle(demands, chosen)
    if demands is None or self._enough(chosen.bit_count()):
      return
    if not demands:
      self.best = chosen
      return
    if self._enough(chosen.bit_count() + _demanded(demands)):
      return
    counts = _counts(demands)
    query = 1 << max(counts, key=counts.__getitem__)
    self.explore([d for d in demands if not d & query], chosen | query)
    self.explore([d & ~query for d in demands], chosen)

  def _enough(self, size):
    """Whether sets of at least that size cannot improve on `best`."""
    if self.best is None:
      return False
    return max(size, self.bound) >= self.best.bit_count()


def _settle(demands, chosen):
  """Chooses forced queries; demands that others imply are left out.

  Returns:
    The demands that are left, smallest first, or None if one cannot be
    satisfied; and the chosen queries.
  """
  if 0 in demands:
    return None, chosen
  forced = 0
  for demand in demands:
    if demand & (demand - 1) == 0:
      forced |= demand
  kept: list[int] = []
  ordered = sorted(set(demands), key=int.bit_count)
  for _, equals in itertools.groupby(ordered, key=int.bit_count):
    kept += [
        demand
        for demand in equals
        if not demand & forced and not any(k & ~demand == 0 for k in kept)
    ]
  return kept, chosen | forced


def _demanded(demands):
  """A lower bound on the queries that satisfy the demands."""
  packed = count = 0
  for demand in demands:  # those that share no query need one each
    if not demand & packed:
      packed, count = packed | demand, count + 1
  return max(count, partitions.fewest(_counts(demands).values(), len(demands)))


def _counts(demands):
  """How many demands each query satisfies."""
  counts: dict[int, int] = {}
  for demand in demands:
    for query in partitions.bits(demand):
      counts[query] = counts.get(query, 0) + 1
  return counts


def _demands(table):
  """For every two functions the queries that distinguish them."""
  pairs = set()
  for i, row in enumerate(table):
    apart = np.packbits(table[i + 1 :] != row, axis=1, bitorder="little")
    pairs |= {int.from_bytes(mask, "little") for mask in apart}
  return list(pairs)
