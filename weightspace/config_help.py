"""What --help says of a config file: its fields, their values and meanings.

The meaning of a field is what the docstring of its dataclass says under
"Attributes", or else the comment beside it. A config file names its dataclasses
by a function `parts(config)` that returns {name of a part: dataclass}; "" is
the whole config.
"""

import importlib.util
import inspect
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from weightspace.errors import UserError

_ATTRIBUTE = re.compile(r"  (\w+): ")
_COMMENT = re.compile(r"^ *config\.([\w.]+) = .*?  # (.+)$", re.MULTILINE)
_WIDTH = 80


def describe(flag: str) -> str:
  """The fields of --config=`flag`, one or two lines each.

  Args:
    flag: FILE.py or FILE.py:ARGUMENT, of `get_config`.

  Raises:
    UserError: there is no such file, or `get_config` refuses the argument.
  """
  path, _, argument = flag.partition(":")
  if not os.path.isfile(path):
    raise UserError(f"--config={flag}: there is no file {path}")
  spec = importlib.util.spec_from_file_location("config_of_help", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config(*([argument] if argument else []))
  meanings = _comments(module)
  if hasattr(module, "parts"):
    for part, dataclass in module.parts(config).items():
      for name, meaning in _attributes(dataclass):
        meanings[f"{part}.{name}" if part else name] = meaning
  lines = [f"fields of --config={flag}, each set by --config.FIELD=VALUE:"]
  for name, value in _leaves(config.to_dict()):
    lines.append(f"  {name}={value!r}")
    lines += textwrap.wrap(
        meanings.get(name, ""), _WIDTH,
        initial_indent=6 * " ", subsequent_indent=6 * " ",
    )  # fmt: skip
  return "\n".join(lines)


def _leaves(value: Mapping[str, Any], prefix="") -> Iterator[tuple[str, Any]]:
  for name, item in value.items():
    if isinstance(item, Mapping) and item:
      yield from _leaves(item, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", item


def _attributes(dataclass: type) -> Iterator[tuple[str, str]]:
  """(field, meaning) from a docstring, those of base classes first."""
  for base in reversed(dataclass.__mro__[:-1]):
    _, _, section = (inspect.getdoc(base) or "").partition("Attributes:\n")
    name = None
    text = ""
    for line in section.splitlines():
      match = _ATTRIBUTE.match(line)
      if match or not line.startswith("    "):
        if name:
          yield name, text
        name, text = match and match[1], line[match.end() :] if match else ""
      else:
        text += f" {line.strip()}"
    if name:
      yield name, text


def _comments(module: ModuleType) -> dict[str, str]:
  """Comments beside fields in a config file and in those it is made from."""
  folder = os.path.dirname(os.path.abspath(module.__file__))
  files = [
      other.__file__
      for other in vars(module).values()
      if inspect.ismodule(other)
      and os.path.dirname(getattr(other, "__file__", None) or "") == folder
  ]
  meanings: dict[str, str] = {}
  for file in (*files, module.__file__):
    with open(file, encoding="utf-8") as opened:
      meanings |= _COMMENT.findall(opened.read())
  return meanings
