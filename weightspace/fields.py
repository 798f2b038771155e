"""Checks of the fields of configs: their types and ranges.

Configs call them when they are made, so that a value that cannot be is refused
before a folder is claimed or an hour is spent.
"""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

from weightspace.errors import UserError

SEEDS = 2**32  # the seeds that JAX distinguishes, whatever its settings
_INT32 = 2**31 - 1


def check_integers(
    config: Any, *names: str, least: int = 1, most: int = _INT32
) -> None:
  """Checks that fields of a config are integers in a range.

  Args:
    config: with those fields.
    *names: of the fields.
    least: the smallest value.
    most: the largest value.

  Raises:
    UserError: one is not, by name.
  """
  for name in names:
    value = getattr(config, name)
    try:
      number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
      number = None
    if number is None:
      raise UserError(f"{name} must be an integer, got {value!r}")
    if number < least:
      bound = f"be at least {least}" if least else "not be negative"
      raise UserError(f"{name} must {bound}, got {value}")
    if number > most:
      raise UserError(f"{name} must be at most {most}, got {value}")


def check_seeds(config: Any, *names: str) -> None:
  """Checks that fields of a config are seeds, see `check_seed`."""
  for name in names:
    check_seed(getattr(config, name), name)


def check_seed(seed: Any, name: str = "seed") -> int:
  """A seed as an integer from 0 to 2**32 - 1.

  JAX takes larger ones modulo 2**32, so that two of them would be the same.

  Raises:
    UserError: it is none.
  """
  try:
    number = None if isinstance(seed, bool) else operator.index(seed)
  except TypeError:
    number = None
  if number is None or not 0 <= number < SEEDS:
    raise UserError(
        f"{name} must be an integer from 0 to {SEEDS - 1}, got {seed!r}"
    )
  return number


def check_numbers(
    config: Any,
    *names: str,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> None:
  """Checks that fields of a config are finite numbers in a range.

  Args:
    config: with those fields.
    *names: of the fields.
    least: the smallest value.
    above: a bound that values must exceed.
    most: the largest value.

  Raises:
    UserError: one is not, by name.
  """
  for name in names:
    check_number(
        getattr(config, name), name, least=least, above=above, most=most
    )


def check_number(
    value: Any,
    name: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> None:
  """As `check_numbers`, of one value."""
  real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  if not real or not math.isfinite(value):
    raise UserError(f"{name} must be a finite number, got {value!r}")
  if value < least:
    bound = f"be at least {least:g}" if least else "not be negative"
    raise UserError(f"{name} must {bound}, got {value}")
  if value <= above:
    bound = f"larger than {above:g}" if above else "positive"
    raise UserError(f"{name} must be {bound}, got {value}")
  if value > most:
    raise UserError(f"{name} must be at most {most:g}, got {value}")


def check_bools(config: Any, *names: str) -> None:
  """UserError where a field of that name is not true or false."""
  for name in names:
    if not isinstance(getattr(config, name), bool):
      raise UserError(
          f"{name} must be true or false, got {getattr(config, name)!r}"
      )


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
  """UserError where a value is none of those that are known."""
  if value not in known:
    raise UserError(
        f"{name} must be one of {', '.join(known)}, got {value!r}"
    )
