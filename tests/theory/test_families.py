"""Families as tables, and the closed forms of their costs."""

import numpy as np
import pytest

from weightspace.theory import exhaustive, families, separating_sets, trees

CASES = [
    *((families.points, families.points_cost, n) for n in (1, 2, 5, 9)),
    *((families.thresholds, families.thresholds_cost, n)
      for n in (1, 2, 3, 8, 9, 30)),
    *((families.secret_paths, families.secret_paths_cost, d)
      for d in (1, 2, 3, 5, 6)),
]  # fmt: skip


@pytest.mark.parametrize(
    "make, cost, size", CASES, ids=lambda x: getattr(x, "__name__", x)
)
def test_closed_forms(make, cost, size):
  table = make(size).outputs
  costs = families.Cost(
      trees.interactive(table).queries,
      separating_sets.noninteractive(table).queries,
  )
  assert costs == cost(size)


@pytest.mark.parametrize(
    "make, cost, size",
    [
        (families.points, families.points_cost, 7),
        (families.thresholds, families.thresholds_cost, 7),
        (families.secret_paths, families.secret_paths_cost, 3),
    ],
)
def test_closed_forms_by_definition(make, cost, size):
  table = make(size).outputs
  assert exhaustive.interactive(table) == cost(size).interactive
  assert exhaustive.noninteractive(table) == cost(size).noninteractive


def test_the_tables_are_what_the_formulas_say():
  points, thresholds = families.points(4), families.thresholds(4)
  for i in range(4):
    for x in range(4):
      assert points.outputs[i, x] == (x == i)
      assert thresholds.outputs[i, x] == (x >= i)
  paths = families.secret_paths(3)
  assert paths.functions == tuple(f"{w:03b}" for w in range(8))
  assert len(paths.queries) == 7
  row = dict(zip(paths.queries, paths.outputs[paths.functions.index("011")]))
  assert row == {
      "empty": 1, "0": 2, "1": 0, "00": 0, "01": 2, "10": 0, "11": 0,
  }  # fmt: skip


def test_any_answers_will_do():
  family = families.make([["x", "y"], ["x", "z"]], queries=["a", "b"])
  assert family.functions == ("0", "1")
  assert np.issubdtype(family.outputs.dtype, np.integer)
  assert [len(set(column)) for column in family.outputs.T] == [1, 2]


@pytest.mark.parametrize(
    "table, names, message",
    [
        ([[0, 1], [1, 0], [0, 1]], None, "'0' and '2' give the same answers"),
        ([0, 1], None, r"got the shape \(2,\)"),
        ([[]], None, "got the shape"),
        ([[0], [1]], ["only one"], "1 functions and 1 queries are named"),
    ],
)
def test_what_is_no_family_is_refused(table, names, message):
  with pytest.raises(ValueError, match=message):
    families.make(table, names)


@pytest.mark.parametrize(
    "functions, answers, queries",
    [(1, 2, 0), (2, 2, 1), (3, 2, 3), (3, 3, 4), (4, 4, 14), (5, 2, 15)],
)
def test_every_family(functions, answers, queries):
  """As many queries as ways to divide the functions; families are distinct."""
  tables = list(families.every_family(functions, answers))
  assert max(table.shape[1] for table in tables) == queries
  assert len({table.tobytes() for table in tables if table.size}) <= len(tables)
  for table in tables[:200]:
    assert len(np.unique(table, axis=0)) == functions
    assert table.size == 0 or table.max() < answers


def test_every_family_of_three():
  """Two of the three ways to set one apart suffice, or the one that is all."""
  assert len(list(families.every_family(3, 2))) == 4
  assert len(list(families.every_family(3, 3))) == 4 + 8


def test_read(tmp_path):
  file = tmp_path / "family.csv"
  file.write_text(",barks,legs\ndog,yes,4\ncat,no,4\nbird,no,2\n")
  family = families.read(file)
  assert family.functions == ("dog", "cat", "bird")
  assert family.queries == ("barks", "legs")
  assert trees.interactive(family.outputs).queries == 2
  assert separating_sets.noninteractive(family.outputs).chosen == (0, 1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a table"),
        (",a\n", "not a table"),
        (",a,b\nf,1\n", "not a table"),
        (",a\nf,1\ng,1\n", "family.csv: the functions 'f' and 'g'"),
    ],
)
def test_a_file_that_is_no_family_is_refused(tmp_path, text, message):
  file = tmp_path / "family.csv"
  file.write_text(text)
  with pytest.raises(ValueError, match=message):
    families.read(file)
