"""What every results.json records, and how it is written."""

import json
import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weightspace.errors import UserError
from weightspace.io import files


def software() -> dict[str, str]:
  """Versions of the libraries that compute."""
  from weightspace.recurrence import kernels_name
  from weightspace.zoo import manifest

  return manifest.software(
      ("jax", "jaxlib", "flax", "optax", "numpy"), kernels_name()
  )


def commit() -> str | None:
  """The commit of the code as it is now, if it is a git checkout."""
  try:
    return subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return None


def read(path: str | os.PathLike) -> dict[str, Any]:
  """Reads what `write` wrote.

  Raises:
    UserError: there is nothing, or it is damaged, and what to do.
  """
  try:
    return files.read_json(path)
  except (FileNotFoundError, NotADirectoryError):
    raise UserError(
        f"{path} does not exist: run python -m experiments.quickstart"
        f" --workdir={Path(path).parent}, or give another folder"
    ) from None


def write(path: str | os.PathLike, results: Mapping[str, Any]) -> None:
  """Writes results as JSON, atomically; non-finite numbers become null."""
  files.replace_text(
      Path(path), json.dumps(_finite(results), indent=1, allow_nan=False) + "\n"
  )


def _finite(value):
  if isinstance(value, Mapping):
    return {k: _finite(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
