"""Plug-ins: a plug-in is a module, its file name is its name.

`encoders/statistics.py` is the encoder "statistics": flags, contract tests and
help list the package to find it. Modules whose names start with an
underscore are shared parts, not plug-ins. Other packages that are installed add
modules of theirs by entry points in the group of the package, such as
"weightspace.encoders".
"""

import dataclasses
import difflib
import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from weightspace.errors import UserError


def names(package: str) -> tuple[str, ...]:
  """Names of the plug-ins of a package, sorted, without importing them.

  Raises:
    UserError: an installed package adds one of a name that is taken.
  """
  path = importlib.import_module(package).__path__
  modules = {module.name for module in pkgutil.iter_modules(path)}
  added = _installed(package)
  for name in sorted(modules & added.keys()):
    raise UserError(
        f"the entry point {name!r} of {added[name]} names a plug-in that"
        f" {package} has already: give it another name"
    )
  every = modules | added.keys()
  return tuple(sorted(name for name in every if not name.startswith("_")))


@functools.cache
def _installed(package: str) -> dict[str, str]:
  """Modules of plug-ins that installed packages add, by name."""
  entries = importlib.metadata.entry_points(group=package)
  return {entry.name: entry.value for entry in entries}


def load(package: str, name: str) -> ModuleType:
  """Imports the plug-in `name` of a package.

  Raises:
    ValueError: there is none of that name; the message lists those there are.
  """
  known = names(package)
  if name not in known:
    raise UserError(
        f"{package} has no plug-in {name!r}{nearest(name, known)};"
        f" there are: {', '.join(known)}"
    )
  added = _installed(package).get(name)
  return importlib.import_module(added or f"{package}.{name}")


def nearest(name: str, known) -> str:
  """', did you mean X?' for an unknown name, or nothing when none is near."""
  close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
  return f", did you mean {close[0]!r}?" if close else ""


def configure(config_class: type, fields: Mapping[str, Any], what: str):
  """A frozen config dataclass from plain values, as a config file holds them.

  Args:
    config_class: the dataclass.
    fields: values by field name; lists become tuples.
    what: whose configuration it is, for the error message.

  Raises:
    UserError: a field that is not there, with the nearest name there is; a
      value that the dataclass refuses, by a ValueError or a TypeError.
  """
  known = [field.name for field in dataclasses.fields(config_class)]
  for name in fields:
    if name not in known:
      raise UserError(
          f"{what} has no field {name!r}{nearest(name, known)};"
          f" there are: {', '.join(known)}"
      )
  values = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in fields.items()
  }
  try:
    return config_class(**values)
  except (ValueError, TypeError, AttributeError) as error:
    raise UserError(f"{what}: {error}") from error
