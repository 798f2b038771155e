"""Tables of networks: what a CSV file knows of each, as columns of a zoo."""

import csv
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from weightspace.errors import UserError
from weightspace.plugins import nearest
from weightspace.zoo.spec import RESERVED

FILE, NETWORK, STEP, ACCURACY = "file", "network", "step", "accuracy"
_TAKEN = {*RESERVED, "row"}  # an exported zoo has a column of that name
_NAME = re.compile(r"[A-Za-z0-9_]{1,200}")
_NOT_THERE = {"na", "n/a", "none", "null", "-", "--", "?"}
_LONGEST = 200  # letters of a value
_MOSTLY = 0.8  # of a column's cells are numbers: the others may be typos


class Table(NamedTuple):
  """The cells of a table, as text without spaces around it.

  Attributes:
    name: of its file, for messages.
    cells: {column: [R] strings}, "" where a cell is empty.
    lines: [R], the line of the file that each row is on.
  """

  name: str
  cells: dict[str, list[str]]
  lines: list[int]

  def where(self, row: int) -> str:
    """A row, for messages."""
    return f"{self.name}, line {self.lines[row]}"


class Columns(NamedTuple):
  """Columns of a zoo.

  Attributes:
    arrays: [R] float32 numbers, NaN where a cell was empty, or int32 codes of
      categories, -1 where one was.
    categories: the values that codes stand for, sorted.
  """

  arrays: dict[str, np.ndarray]
  categories: dict[str, tuple[str, ...]]


def read(table: str | os.PathLike | Mapping[str, Sequence[Any]]) -> Table:
  """Reads a CSV file, or takes columns by name, such as a data frame's.

  Raises:
    UserError: it is no table with a header; naming the line.
    OSError: it cannot be read.
  """
  if isinstance(table, str | os.PathLike):
    return _read_csv(Path(table))
  cells = {str(name): [_text(v) for v in table[name]] for name in table}
  sizes = {name: len(values) for name, values in cells.items()}
  if len(set(sizes.values())) != 1:
    raise UserError(f"the table's columns must have the same size, got {sizes}")
  count = next(iter(sizes.values()))
  return _checked(Table("the table", cells, list(range(1, count + 1))))


def _read_csv(path):
  try:
    with path.open(encoding="utf-8-sig", newline="") as file:
      reader = csv.reader(file, strict=True)
      header = [name.strip() for name in next(reader, [])]
      rows, lines = [], []
      for row in reader:
        if not any(cell.strip() for cell in row):
          continue  # an empty line
        if len(row) != len(header):
          raise UserError(
              f"{path}, line {reader.line_num} has {len(row)} cells, but the"
              f" header has {len(header)}: {', '.join(header)}"
          )
        rows.append([cell.strip() for cell in row])
        lines.append(reader.line_num)
  except UnicodeDecodeError as error:
    raise UserError(f"{path} is not text in UTF-8 ({error}): save it so") from (
        error
    )
  except csv.Error as error:
    raise UserError(
        f"{path}, line {reader.line_num}: {error}; expected a table with commas"
    ) from error
  if len(set(header)) < len(header) or not all(header):
    raise UserError(
        f"{path}: each column needs a name of its own in the first line, got"
        f" {', '.join(map(repr, header))}"
    )
  if len(header) == 1 and re.search(r"[;\t]", header[0]):
    raise UserError(
        f"{path}: columns must be divided by commas, got {header[0]!r}"
    )
  columns = zip(*rows) if rows else [()] * len(header)
  cells = {name: list(column) for name, column in zip(header, columns)}
  return _checked(Table(str(path), cells, lines))


def _text(value):
  missing = value is None or (isinstance(value, float) and math.isnan(value))
  return "" if missing else str(value).strip()


def _checked(table):
  if not table.lines:
    raise UserError(f"{table.name} has no rows; expected one for each network")
  return table


def integers(table: Table, name: str) -> np.ndarray:
  """A column of integers from 0 to 2**31 - 1, [R] int32."""
  values = []
  for row, text in enumerate(table.cells[name]):
    value = _number(text)
    if value is None or not value.is_integer() or not 0 <= value < 2**31:
      raise UserError(
          f"{table.where(row)}: {name} is {text!r}, expected an integer from 0"
          f" to {2**31 - 1}"
      )
    values.append(int(value))
  return np.array(values, np.int32)


def groups(table: Table, name: str) -> np.ndarray:
  """Rows of the same value by numbers, in their order in the table, [R]."""
  numbers: dict[str, int] = {}
  for row, text in enumerate(table.cells[name]):
    if not text:
      raise UserError(f"{table.where(row)}: {name} is empty")
    numbers.setdefault(text, len(numbers))
  return np.array([numbers[text] for text in table.cells[name]], np.int32)


def columns(
    table: Table, names: Sequence[str], accuracy: str | None
) -> Columns:
  """Columns of a table as columns of a zoo.

  Args:
    table: of networks.
    names: of the columns to take.
    accuracy: the one of them that is the accuracy, in [0, 1], and is taken
      under that name.

  Raises:
    UserError: a column has a name that a zoo's cannot have, or a cell cannot be
      read; naming column and line.
  """
  if accuracy is not None and accuracy not in names:
    raise UserError(
        f"{table.name} has no column {accuracy!r} of accuracies"
        f"{nearest(accuracy, names)}; it has {', '.join(names) or 'no columns'}"
    )
  arrays, categories = {}, {}
  for name in names:
    if name == accuracy:
      arrays[ACCURACY] = _accuracies(table, name)
      continue
    _check_name(table, name)
    numbers = [_number(text) for text in table.cells[name]]
    if all(n is not None for n in numbers):
      arrays[name] = _float32(table, name, numbers)
      continue
    _check_missing(table, name, numbers)
    _warn_of_typos(table, name, numbers)
    values = sorted({text for text in table.cells[name] if text})
    codes = {"": -1, **{value: code for code, value in enumerate(values)}}
    arrays[name] = np.array([codes[c] for c in table.cells[name]], np.int32)
    categories[name] = tuple(values)
  return Columns(arrays, categories)


def _number(text):
  """A cell as a float, NaN if it is empty, None if it is no number."""
  if not text:
    return math.nan
  try:
    return None if "_" in text else float(text)
  except ValueError:
    return None


def _check_name(table, name):
  if name == ACCURACY:
    raise UserError(
        f"{table.name}: column {name!r} needs --accuracy={name} (in Python"
        f" accuracy={name!r}) if it is the share of right answers, from 0 to 1;"
        " otherwise rename it, such as score"
    )
  free = re.sub(r"\W+", "_", name, flags=re.ASCII)[:200]
  if name in _TAKEN or name == NETWORK:
    free = f"{name}_"
  if free != name or not _NAME.fullmatch(name):
    why = "is a name that zoos use" if name in _TAKEN else (
        "has other characters than letters, digits and _"
    )
    raise UserError(
        f"{table.name}: column {name!r} {why}; rename it, such as {free}"
    )


def _check_missing(table, name, numbers):
  """Numbers beside words such as n/a are no categories."""
  texts = table.cells[name]
  if not any(n is not None and math.isfinite(n) for n in numbers):
    texts = []
  for row, text in enumerate(texts):
    if text.lower() in _NOT_THERE:
      raise UserError(
          f"{table.where(row)}: {name} is {text!r} in a column with numbers;"
          " leave the cell empty where there is no value"
      )
  for row, text in enumerate(table.cells[name]):
    if not text.isprintable() or len(text) > _LONGEST:
      raise UserError(
          f"{table.where(row)}: {name} must be text on one line of at most"
          f" {_LONGEST} letters, got {text[:40]!r}"
      )


def _warn_of_typos(table, name, numbers):
  """A few words among many numbers make a column text, perhaps unmeant."""
  words = [row for row, number in enumerate(numbers) if number is None]
  count = sum(n is not None and math.isfinite(n) for n in numbers)
  if count >= max(3, _MOSTLY * (count + len(words))):
    logging.warning(
        "%s: column %s is text because of line %d: %r; most of it is numbers",
        table.name, name, table.lines[words[0]], table.cells[name][words[0]],
    )  # fmt: skip


def _float32(table, name, numbers):
  with np.errstate(over="ignore"):
    array = np.array(numbers, np.float64).astype(np.float32)
  for row in np.flatnonzero(np.isinf(array)):
    raise UserError(
        f"{table.where(row)}: {name} is {table.cells[name][row]}, which is not"
        " finite in float32; leave the cell empty where there is no value"
    )
  return array + np.float32(0)  # 0 and -0 are one value


def _accuracies(table, name):
  values = []
  for row, text in enumerate(table.cells[name]):
    value = _number(text)
    if value is None or not 0 <= value <= 1:
      raise UserError(
          f"{table.where(row)}: {name} is {text!r}, expected an accuracy from 0"
          " to 1, of each network; divide per cents by 100"
      )
    values.append(value)
  return np.array(values, np.float32)
