"""A run's folder knows which config it belongs to."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weightspace.io import files

CONFIG = "config.json"


def claim(workdir: str | os.PathLike, config: Mapping[str, Any]) -> Path:
  """Makes a run's folder, or takes up the one there is.

  Args:
    workdir: the folder.
    config: JSON values; what decides the outcome of the run.

  Returns:
    The folder.

  Raises:
    FileExistsError: it belongs to a run of another config, naming each field
      that differs, or holds something that is not a run.
    ValueError: its config is not JSON, or a file of it is a link.
  """
  workdir, wanted = Path(workdir), json.loads(json.dumps(config))
  file = workdir / CONFIG
  # What a process was killed over, or one that begins the same run holds
  drafts = files.leftovers(file)
  if file.exists():
    files.refuse_links(*workdir.iterdir())
    there = read(workdir)
    if there != wanted:
      raise FileExistsError(
          f"{workdir} is the folder of a run with another config:"
          f" {'; '.join(_differences(there, wanted))}. Ask for the same, or"
          " choose another --workdir"
      )
    for draft in drafts:
      draft.unlink(missing_ok=True)
    return workdir
  if workdir.exists() and any(f not in drafts for f in workdir.iterdir()):
    raise FileExistsError(
        f"{workdir} is not empty and has no {CONFIG}, so it is not the folder"
        " of a run; choose another --workdir"
    )
  workdir.mkdir(parents=True, exist_ok=True)
  files.replace_text(file, json.dumps(wanted, indent=2) + "\n")
  return workdir


def read(workdir: str | os.PathLike) -> dict[str, Any]:
  """The config of the run in a folder.

  Raises:
    FileNotFoundError: there is no run.
    ValueError: its config is not JSON.
    OSError: it cannot be read.
  """
  file = Path(workdir) / CONFIG
  if not file.exists():
    raise FileNotFoundError(
        f"{file} does not exist: {workdir} is not the folder of a run"
    )
  try:
    return files.parse(file)[0]
  except ValueError as error:
    raise ValueError(f"{file} cannot be used: {error}") from error


def _differences(there, wanted, prefix=""):
  found = []
  for name in sorted(there.keys() | wanted.keys()):
    a, b = there.get(name), wanted.get(name)
    if isinstance(a, dict) and isinstance(b, dict):
      found += _differences(a, b, f"{prefix}{name}.")
    elif a != b:
      found.append(f"{prefix}{name} is {a!r} there, {b!r} asked for")
  return found
