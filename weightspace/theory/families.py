"""Finite families of functions, as tables of their answers.

Three families for which the numbers of queries are known in closed form, and
what is needed to bring one's own.
"""

import csv
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from weightspace.errors import UserError


class Family(NamedTuple):
  """A finite family D of functions on finitely many queries.

  Attributes:
    functions: a name for each.
    queries: a name for each.
    outputs: [functions, queries] integers, what each function answers.
    answers: what the integers stand for; empty if for themselves.
  """

  functions: tuple[str, ...]
  queries: tuple[str, ...]
  outputs: np.ndarray
  answers: tuple[str, ...] = ()

  def answer(self, value: int) -> str:
    """An entry of `outputs` as it was given to `make`."""
    return self.answers[value] if self.answers else str(value)


class Cost(NamedTuple):
  """Queries that identify every function of a family, in the worst case."""

  interactive: int
  noninteractive: int


def make(
    outputs,
    functions: Sequence[str] | None = None,
    queries: Sequence[str] | None = None,
) -> Family:
  """A family from a table of answers.

  Args:
    outputs: [functions, queries] of anything that compares equal or not.
    functions: names; numbers if not given.
    queries: names; numbers if not given.

  Raises:
    ValueError: not a table, names too few or many, or two functions that
      answer alike, so that no query tells one from the other.
  """
  table = np.asarray(outputs)
  if table.ndim != 2 or not table.size:
    raise UserError(
        "a family is a table [functions, queries] of answers, got the shape"
        f" {table.shape}"
    )
  rows, columns = table.shape
  functions = tuple(map(str, range(rows) if functions is None else functions))
  queries = tuple(map(str, range(columns) if queries is None else queries))
  if (len(functions), len(queries)) != table.shape:
    raise UserError(
        f"{len(functions)} functions and {len(queries)} queries are named, the"
        f" table has {rows} and {columns}"
    )
  values, coded = np.unique(table, return_inverse=True)
  coded = coded.reshape(table.shape)
  seen: dict[bytes, int] = {}
  for i, row in enumerate(coded):
    other = seen.setdefault(row.tobytes(), i)
    if other != i:
      raise UserError(
          f"the functions {functions[other]!r} and {functions[i]!r} give the"
          " same answers to all queries; the functions of a family are distinct"
      )
  if np.issubdtype(table.dtype, np.integer):
    return Family(functions, queries, table)
  return Family(functions, queries, coded, tuple(map(str, values)))


def read(path: str | os.PathLike) -> Family:
  """A family from a CSV file.

  The first row names the queries, the first column the functions (what stands
  in the corner is not looked at); the rest are answers, of any kind.

  Raises:
    ValueError: rows of different lengths, or see `make`.
  """
  with open(path, newline="", encoding="utf-8") as file:
    try:
      lines = [line for line in csv.reader(file) if line]
    except (csv.Error, UnicodeDecodeError) as error:
      raise UserError(f"{path} is not a CSV table: {error}") from error
  if len(lines) < 2 or len({len(line) for line in lines}) != 1:
    raise UserError(
        f"{path} is not a table: it needs a row of queries' names, then a row"
        " for each function, all of one length"
    )
  (_, *queries), *rows = lines
  try:
    return make([row[1:] for row in rows], [row[0] for row in rows], queries)
  except UserError as error:
    raise UserError(f"{path}: {error}") from None


def every_family(functions: int, answers: int) -> Iterator[np.ndarray]:
  """All families of so many functions, as far as interrogators can tell.

  What a query's answers are called does not matter, nor does asking it twice:
  a query is a way to divide the functions, a family a set of queries.

  Args:
    functions: |D|.
    answers: that a query has, at most.

  Yields:
    outputs [functions, queries] int64, all rows different. There are up to 2
    to the number of queries: 32,768 for 5 functions and 2 answers.
  """
  queries = [q for q in _divisions(functions, answers) if max(q)]
  for size in range(len(queries) + 1):
    for chosen in itertools.combinations(queries, size):
      table = np.array(chosen, np.int64).reshape(size, functions).T
      if len(set(map(tuple, table.tolist()))) == functions:
        yield table


def _divisions(count, answers):
  """Ways to divide things into groups, numbered in order of appearance."""
  if count == 0:
    yield ()
    return
  for first in _divisions(count - 1, answers):
    for group in range(min(max(first, default=-1) + 2, answers)):
      yield (*first, group)


def points(n: int) -> Family:
  """f_i(x) = [x = i]: asking about one function tells nothing of others."""
  return make(np.eye(n, dtype=np.int64))


def points_cost(n: int) -> Cost:
  """The worst that any family of n functions can do."""
  return Cost(n - 1, n - 1)


def thresholds(n: int) -> Family:
  """f_i(x) = [x >= i]: binary search."""
  return make(np.tri(n, dtype=np.int64).T)


def thresholds_cost(n: int) -> Cost:
  """Binary search, or all places but one."""
  return Cost((n - 1).bit_length(), n - 1)


def secret_paths(depth: int) -> Family:
  """f_w(p) = 1 + w_|p| where p is a proper prefix of w, else 0.

  There are 2^depth functions, one for each w in {0, 1}^depth, and a query for
  each of the 2^depth - 1 strings shorter than that.
  """
  words = list(itertools.product((0, 1), repeat=depth))
  prefixes = [
      p for t in range(depth) for p in itertools.product((0, 1), repeat=t)
  ]
  return make(
      [[secret_path(w, p) for p in prefixes] for w in words],
      [_written(w) for w in words],
      [_written(p) or "empty" for p in prefixes],
  )


def secret_path(word: Sequence[int], prefix: Sequence[int]) -> int:
  """f_w(p) for p shorter than w."""
  on_path = tuple(word[: len(prefix)]) == tuple(prefix)
  return 1 + word[len(prefix)] if on_path else 0


def secret_paths_cost(depth: int) -> Cost:
  """Exponentially far apart (statement 3.3).

  An interactive interrogator walks along w, and no answer to any query tells
  it more than one bit of the worst w. Words that differ in their last bit only
  differ in one query alone, so a non-interactive interrogator must query
  all 2^(depth - 1) prefixes of that length, and these suffice.
  """
  return Cost(depth, 2 ** (depth - 1))


def _written(bits):
  return "".join(map(str, bits))
