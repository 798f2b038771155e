"""What values of a JSON file must be, and errors that name the wrong one."""

from collections.abc import Mapping
from typing import Any

EACH = "*"  # every key that is there, at least one


def _kind(*kinds, called):
  def check(value, where):
    if not isinstance(value, kinds) or isinstance(value, bool):
      raise ValueError(
          f"{where} must be {called}, got {type(value).__name__}"
      )

  return check


string = _kind(str, called="a string")
number = _kind(int, float, type(None), called="a number or null")
count = _kind(int, called="a whole number")


def scalar(value, where):
  """Refuses collections."""
  if isinstance(value, Mapping | list | tuple):
    kind = type(value).__name__
    raise ValueError(f"{where} must be a single value, got {kind}")


def require(value: Any, required: Any, where: str) -> None:
  """Refuses a value that is not as it must be.

  Args:
    value: anything.
    required: None (anything goes), a mapping as in `REQUIRED`, a list of one
      (a list of such values), or a function of (value, where) that raises.
    where: what the value is called.

  Raises:
    ValueError: it is not; names the key.
  """
  if required is None:
    return
  if callable(required):
    required(value, where)
    return
  if isinstance(required, list):
    if not isinstance(value, list | tuple):
      kind = type(value).__name__
      raise ValueError(f"{where} must be a list, got {kind}")
    for i, one in enumerate(value):
      require(one, required[0], f"{where}[{i}]")
    return
  if not isinstance(value, Mapping):
    kind = type(value).__name__
    raise ValueError(f"{where} must be a mapping, got {kind}")
  if EACH in required:
    if not value:
      raise ValueError(f"{where} is empty")
    required = dict.fromkeys(value, required[EACH])
  for name, inner in required.items():
    optional, name = name.endswith("?"), name.removesuffix("?")
    if name in value:
      require(value[name], inner, f"{where}[{name!r}]")
    elif not optional:
      raise ValueError(f"{where} lacks {name!r}")


def same_length(where: str, lists: Mapping[str, Any]) -> None:
  """Refuses lists of different lengths."""
  sizes = {name: len(values) for name, values in lists.items()}
  if len(set(sizes.values())) > 1:
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    raise ValueError(f"{where}: lengths differ: {listed}")
