"""What the contracts of all kinds share."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest


def rule(check: Callable[..., None]) -> Callable[..., None]:
  """A check whose failures state its rule, which is its docstring.

  Any exception that the plug-in raises is a failure, so an AssertionError.
  """
  stated = f"the rule of {check.__name__}: {inspect.getdoc(check)}"

  @functools.wraps(check)
  def checked(*args, **kwargs):
    try:
      check(*args, **kwargs)
    except AssertionError as error:
      error.add_note(stated)
      raise
    except Exception as error:
      raise AssertionError(
          f"{type(error).__name__}: {error}\n{stated}"
      ) from error

  return checked


def make_test(
    checks: Sequence[Callable[..., None]], *cases: tuple[str, tuple[Any, ...]]
) -> Callable[..., None]:
  """A pytest test that runs each check on each case.

  Args:
    checks: of a kind of plug-in.
    *cases: the name and the arguments of each.
  """
  parameters = [
      pytest.param(check, arguments, id="-".join(filter(None, names)))
      for name, arguments in cases
      for check in checks
      for names in [(check.__name__.removeprefix("check_"), name)]
  ]

  @pytest.mark.parametrize("check, arguments", parameters)
  def test(check, arguments):
    check(*arguments)

  return test
