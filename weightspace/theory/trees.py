"""The best interactive interrogator: a decision tree of least depth."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from weightspace.theory import partitions
from weightspace.theory.families import Family


class Ask(NamedTuple):
  """An inner node of a decision tree: a query, and how each answer goes on."""

  query: int
  answers: Mapping[int, "Ask | int"]


Tree = Ask | int  # a leaf is the one function that it can be


class Interactive(NamedTuple):
  """The least depth of a decision tree, and a tree of that depth."""

  queries: int
  tree: Tree


def interactive(outputs: np.ndarray) -> Interactive:
  """The best interactive interrogator, for the worst function.

  Depth is raised from a lower bound until a tree is found. Where a set of
  functions is found to need more than k queries, the part of it that the proof
  made use of is kept: whatever holds that part needs more than k too. So what
  is learned in one corner of a family is not proved again for every larger
  set, which makes 512 secret paths a matter of a second.

  Args:
    outputs: [functions, queries] integers, all rows different.
  """
  outputs = np.asarray(outputs)
  search = _TreeSearch(outputs)
  everything = (1 << len(outputs)) - 1
  depth = partitions.lower_bound(search.queries, everything)
  while (outcome := search.solve(everything, depth)).tree is None:
    depth += 1
  return Interactive(depth, outcome.tree)


def depth(tree: Tree) -> int:
  """Queries that a decision tree asks of the worst function."""
  if not isinstance(tree, Ask):
    return 0
  return 1 + max(depth(subtree) for subtree in tree.answers.values())


def identify(tree: Tree, answer: Callable[[int], int]) -> int:
  """The function that a tree says it is.

  Args:
    tree: a decision tree.
    answer: (query) -> what the function answers.

  Raises:
    KeyError: an answer that no function left over gives.
  """
  while isinstance(tree, Ask):
    tree = tree.answers[answer(tree.query)]
  return tree


def describe(tree: Tree, family: Family) -> Iterator[str]:
  """A tree in words, a line for each node, indented by depth."""
  if not isinstance(tree, Ask):
    yield f"it is {family.functions[tree]}"
    return
  yield f"ask {family.queries[tree.query]}"
  for answer, subtree in sorted(tree.answers.items()):
    first, *rest = describe(subtree, family)
    yield f"  {family.answer(answer)}: {first}"
    yield from (f"  {line}" for line in rest)


class _Outcome(NamedTuple):
  tree: Tree | None  # of the depth that was asked for, or None
  reason: int = 0  # if None: a part of the functions that has no such tree


class _TreeSearch:
  """Remembers what it solved and what it refuted."""

  def __init__(self, outputs):
    self.queries = partitions.queries(outputs)
    self.arity = max((len(q.blocks) for q in self.queries), default=1)
    self.hard: dict[int, list[int]] = {}  # by depth
    self.solved: dict[tuple[int, int], Tree] = {}

  def solve(self, left, depth):
    """A tree of at most that depth for the functions `left`, or why not."""
    if left & (left - 1) == 0:
      return _Outcome(left.bit_length() - 1)
    if left.bit_count() > self.arity**depth:
      return _Outcome(None, partitions.lowest(left, self.arity**depth + 1))
    if (left, depth) in self.solved:
      return _Outcome(self.solved[left, depth])
    for part in self.hard.setdefault(depth, []):
      if part & ~left == 0:
        return _Outcome(None, part)
    if partitions.lower_bound(self.queries, left) > depth:
      return self._refuted(left, depth)
    obstacles = []
    for query in self._splitting(left):
      outcome = self._ask(query, left, depth)
      if outcome.tree is not None:
        self.solved[left, depth] = outcome.tree
        return outcome
      obstacles.append((query, outcome.reason))
    return self._refuted(self._union(obstacles, depth), depth)

  def _splitting(self, left):
    """Queries that split `left`, the most even splits first."""
    splits = []
    for query in self.queries:
      sizes = [(b & left).bit_count() for b in query.blocks.values()]
      sizes.sort(reverse=True)
      if sizes[1]:
        splits.append((sizes, query))
    return [query for _, query in sorted(splits, key=lambda pair: pair[0])]

  def _ask(self, query, left, depth):
    blocks = {a: b & left for a, b in query.blocks.items() if b & left}
    trees = {}
    for answer in sorted(blocks, key=lambda a: -blocks[a].bit_count()):
      outcome = self.solve(blocks[answer], depth - 1)
      if outcome.tree is None:
        return outcome
      trees[answer] = outcome.tree
    return _Outcome(Ask(query.number, trees))

  def _union(self, obstacles, depth):
    """A set of which every query leaves an obstacle at some answer."""
    union = 0
    for query, reason in obstacles:
      known = (reason, *self.hard.get(depth - 1, ()))
      blocks = [b & union for b in query.blocks.values()]
      if not any(part & ~b == 0 for b in blocks for part in known):
        union |= reason
    return union

  def _refuted(self, part, depth):
    kept = [known for known in self.hard.setdefault(depth, []) if part & ~known]
    self.hard[depth] = [*kept, part]
    return _Outcome(None, part)
