"""Notebooks as scripts: cells in the percent format, executed one by one.

A line `# %% [markdown]` begins a cell of prose, in comments; `# %%` one of
code. As in Jupyter, the value of a cell's last expression is shown, unless it
is None.
"""

import ast
import contextlib
import io
import re
import types
from collections.abc import Iterator
from typing import NamedTuple

_MARK = re.compile(r"^# %%(.*)\n", re.MULTILINE)


class Cell(NamedTuple):
  """A cell.

  Attributes:
    kind: "markdown" or "code".
    text: Markdown, or Python.
    line: of the file, where the text begins; the first is 1.
  """

  kind: str
  text: str
  line: int


class Output(NamedTuple):
  """What a cell of code left: what it printed and the value to be shown."""

  printed: str
  value: object


def parse(source: str) -> list[Cell]:
  """The cells of a notebook.

  Raises:
    ValueError: text before the first cell, a cell of another kind, or a line
      of prose that is no comment; the message names the line.
  """
  marks = list(_MARK.finditer(source))
  head = source[: marks[0].start()] if marks else source
  if not marks or head.strip():
    raise ValueError("line 1: a notebook begins with a cell, '# %%'")
  cells = []
  ends = [mark.start() for mark in marks[1:]] + [len(source)]
  for mark, end in zip(marks, ends):
    line = source.count("\n", 0, mark.end()) + 1
    kind = {"": "code", "[markdown]": "markdown"}.get(mark[1].strip())
    if kind is None:
      raise ValueError(
          f"line {line - 1}: a cell begins with '# %%' or '# %% [markdown]',"
          f" got {mark[0].strip()!r}"
      )
    text = source[mark.end() : end]
    if kind == "markdown":
      text = "\n".join(_prose(text.rstrip().split("\n"), line))
    cells.append(Cell(kind, text.strip("\n"), line))
  return cells


def _prose(lines, first):
  for number, line in enumerate(lines, first):
    if line != "#" and not line.startswith("# "):
      raise ValueError(f"line {number}: prose is written as comments, '# '")
    yield line[2:]


def run(cells: list[Cell], name: str) -> Iterator[tuple[Cell, Output | None]]:
  """Executes the cells in one namespace, in turn, as they are asked for.

  Args:
    cells: of a notebook.
    name: of its file, for tracebacks.

  Yields:
    Each cell, and what it left; None for prose.
  """
  module = types.ModuleType("__main__")
  for cell in cells:
    if cell.kind == "markdown":
      yield cell, None
      continue
    tree = ast.parse("\n" * (cell.line - 1) + cell.text, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
      last = ast.Expression(tree.body.pop().value)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
      exec(compile(tree, name, "exec"), vars(module))
      value = eval(compile(last, name, "eval"), vars(module)) if last else None
    yield cell, Output(printed.getvalue(), value)
