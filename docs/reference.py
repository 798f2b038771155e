"""The reference: a page for each module, made of its docstrings."""

import importlib
import pathlib
import warnings
from collections.abc import Sequence

import pdoc

_TO_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=../index.html">
<title>weightspace</title>
</head>
</html>
"""


def write(folder: pathlib.Path, modules: Sequence[str]) -> None:
  """Writes the pages of `modules` and all below them into `folder`."""
  for name in pdoc.extract.walk_specs(modules):
    _leave_unsaid(importlib.import_module(name))
  pdoc.render.configure(docformat="google", show_source=False)
  with warnings.catch_warnings():
    # Of names that only a type checker imports; they are shown as they stand
    warnings.filterwarnings("ignore", "Error parsing type annotation")
    pdoc.pdoc(*modules, output_directory=folder)
  # Ours leads to all pages; pdoc's own would be a list without a word
  (folder / "index.html").write_text(_TO_INDEX)


def _leave_unsaid(module):
  """Drops what Python says of any named tuple; the class tells its fields."""
  for value in vars(module).values():
    if isinstance(value, type) and hasattr(value, "_fields"):
      value.__new__.__doc__ = ""
      for field in value._fields:
        if field in vars(value):
          vars(value)[field].__doc__ = ""
