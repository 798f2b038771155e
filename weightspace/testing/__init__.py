"""Contract tests of plug-ins, for packages that have plug-ins of their own.

Each kind of plug-in has a module with checks, `check_*`, that raise
AssertionErrors which state the rule that is broken, and `contract`, which makes
a pytest test of them:

    from my_package import counting, mgu
    from weightspace import testing

    test_mgu = testing.cells.contract(mgu.CELL)
    test_counting = testing.tasks.contract(
        counting.make(counting.Config(length=8))
    )

Raises:
  MissingPackage: pytest is not installed.
"""

from weightspace.errors import MissingPackage

KINDS = ("cells", "encoders", "objectives", "properties", "tasks")

try:
  import pytest
except ModuleNotFoundError as error:
  raise MissingPackage(
      "weightspace.testing needs pytest: pip install pytest"
  ) from error

# Before their import, so that a failed assert shows its values
pytest.register_assert_rewrite(*(f"{__name__}.{kind}" for kind in KINDS))

from weightspace.testing import (  # noqa: E402
    cells,
    encoders,
    objectives,
    properties,
    tasks,
)

__all__ = [
    "KINDS", "cells", "encoders", "objectives", "properties", "tasks",
]
