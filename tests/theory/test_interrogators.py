"""Branch and bound against the definitions, and the witnesses."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from weightspace.theory import (
    exhaustive,
    families,
    partitions,
    separating_sets,
    trees,
)


@st.composite
def tables(draw, functions=7, queries=7, answers=3):
  """Tables of distinct functions, with queries that say nothing or repeat."""
  rows = draw(
      st.integers(1, queries).flatmap(
          lambda q: st.lists(
              st.tuples(*[st.integers(0, answers - 1)] * q),
              min_size=1,
              max_size=functions,
              unique=True,
          )
      )
  )
  return np.array(rows)


def forced_tree(table, queries):
  """Whether a tree of that depth exists, straight from the game."""

  def wins(rows, left):
    if len(rows) == 1:
      return True
    return left > 0 and any(
        all(
            wins([r for r in rows if table[r, q] == answer], left - 1)
            for answer in set(table[rows, q].tolist())
        )
        for q in range(table.shape[1])
    )

  return wins(list(range(len(table))), queries)


def separates(table, chosen):
  return len(np.unique(table[:, list(chosen)], axis=0)) == len(table)


@hypothesis.settings(max_examples=150)
@hypothesis.given(tables())
def test_trees(table):
  best = trees.interactive(table)
  assert best.queries == exhaustive.interactive(table)
  assert trees.depth(best.tree) == best.queries
  for i, row in enumerate(table):
    assert trees.identify(best.tree, row.__getitem__) == i


@hypothesis.settings(max_examples=150)
@hypothesis.given(tables())
def test_separating_sets(table):
  best = separating_sets.noninteractive(table)
  assert best.queries == exhaustive.noninteractive(table)
  assert len(set(best.chosen)) == best.queries
  assert separates(table, best.chosen)


@hypothesis.given(tables(functions=5, queries=4))
def test_the_definitions(table):
  depth = exhaustive.interactive(table)
  assert forced_tree(table, depth)
  assert depth == 0 or not forced_tree(table, depth - 1)
  sizes = [
      mask.bit_count()
      for mask in range(2 ** table.shape[1])
      if separates(table, list(partitions.bits(mask)))
  ]
  assert exhaustive.noninteractive(table) == min(sizes)


@hypothesis.given(tables(functions=20, queries=12))
def test_what_holds_for_every_family(table):
  lower = partitions.lower_bound(
      partitions.queries(table), (1 << len(table)) - 1
  )
  interactive = trees.interactive(table).queries
  noninteractive = separating_sets.noninteractive(table).queries
  assert lower <= interactive <= noninteractive <= len(table) - 1


@hypothesis.given(tables(functions=20, queries=30))
def test_one_query_fewer_than_functions_suffices(table):
  chosen = separating_sets.any_separating_set(table)
  assert len(chosen) <= len(table) - 1
  assert separates(table, chosen)


@hypothesis.given(tables(), st.randoms(use_true_random=False))
def test_names_do_not_matter(table, random):
  """Functions, queries and answers may be renamed, queries repeated."""
  rows, columns = (list(range(n)) for n in table.shape)
  random.shuffle(rows)
  random.shuffle(columns)
  renamed = 5 - table[rows][:, [*columns, columns[0]]]
  for solve in (trees.interactive, separating_sets.noninteractive):
    assert solve(renamed).queries == solve(table).queries


@hypothesis.given(tables(functions=8, queries=6), st.data())
def test_fewer_functions_take_no_more_queries(table, data):
  kept = data.draw(
      st.lists(st.sampled_from(range(len(table))), min_size=1, unique=True)
  )
  for solve in (trees.interactive, separating_sets.noninteractive):
    assert solve(table[kept]).queries <= solve(table).queries


def test_an_answer_that_nobody_gives_is_noticed():
  tree = trees.interactive(families.points(3).outputs).tree
  with pytest.raises(KeyError):
    trees.identify(tree, lambda query: 7)


def test_majority_bound_where_counting_says_little():
  useful = partitions.queries(families.points(40).outputs)
  assert partitions.lower_bound(useful, (1 << 40) - 1) == 39


def test_the_bound_of_a_part_is_that_of_its_own_family():
  table = families.thresholds(9).outputs
  part = [0, 3, 4, 8]
  mask = sum(1 << i for i in part)
  assert partitions.lower_bound(
      partitions.queries(table), mask
  ) == partitions.lower_bound(partitions.queries(table[part]), 0b1111)


def test_a_tree_in_words():
  family = families.make(
      [["yes", "4"], ["no", "4"], ["no", "2"]], ["dog", "cat", "bird"],
      ["barks", "legs"],
  )  # fmt: skip
  tree = trees.interactive(family.outputs).tree
  assert list(trees.describe(tree, family)) == [
      "ask barks",
      "  no: ask legs",
      "    2: it is bird",
      "    4: it is cat",
      "  yes: it is dog",
  ]


@pytest.mark.parametrize("functions, answers", [(3, 3), (4, 2)])
def test_every_small_family(functions, answers):
  for table in families.every_family(functions, answers):
    assert trees.interactive(table).queries == exhaustive.interactive(table)
    assert separating_sets.noninteractive(
        table
    ).queries == exhaustive.noninteractive(table)
