"""Records: what a checkpoint must hold, written beside it as JSON.

  version  of this format
  leaves   {path in the tree: {dtype, shape, sha256 of the data}}
  files    {path in the step's folder: size in bytes}
  sha256   of the three above

Of files there is none where the process was killed right after Orbax was done.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_VERSION = 1


class TemplateError(ValueError):
  """What was saved does not have the leaves that are asked for."""


class Record(NamedTuple):
  """The arrays and files of one step."""

  leaves: dict[str, dict[str, Any]]
  files: dict[str, int]


def describe(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
  """The `leaves` of a record."""
  return {
      name: {
          "dtype": str(array.dtype),
          "shape": list(array.shape),
          "sha256": _sha256(array),
      }
      for name, array in arrays.items()
  }


def write(path: Path, record: Record) -> None:
  """Writes a record in one go: it is there whole, or as it was before."""
  content = {"version": _VERSION, **record._asdict()}
  temporary = path.with_suffix(".json.tmp")
  with open(temporary, "w", encoding="utf-8") as file:
    json.dump(content | {"sha256": _digest(content)}, file, indent=1)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
  _sync(path.parent)


def read(path: Path) -> Record:
  """Reads a record.

  Raises:
    ValueError: it is torn, altered or of another version.
    OSError: it cannot be read.
  """
  content = json.loads(path.read_text(encoding="utf-8"))
  if not isinstance(content, dict) or content.get("version") != _VERSION:
    raise ValueError(f"not a record of version {_VERSION}")
  if content.pop("sha256", None) != _digest(content):
    raise ValueError("checksum differs: it was altered")
  return Record(content["leaves"], content["files"])


def sync(folder: Path) -> dict[str, int]:
  """Syncs a folder to disk; returns the `files` of a record."""
  sizes = {}
  for root, _, names in os.walk(folder):
    for path in (Path(root, name) for name in names):
      _sync(path)
      sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    _sync(root)
  return sizes


def check_files(folder: Path, record: Record) -> None:
  """Raises ValueError where a file is missing or has another size."""
  for name, size in record.files.items():
    path = folder / name
    if not path.is_file():
      raise ValueError(f"{name} is missing")
    if path.stat().st_size != size:
      raise ValueError(f"{name} has {path.stat().st_size} bytes, not {size}")


def check_arrays(arrays: Mapping[str, np.ndarray], record: Record) -> None:
  """Raises ValueError where an array is not the one that was saved."""
  for name, leaf in record.leaves.items():
    if _sha256(arrays[name]) != leaf["sha256"]:
      raise ValueError(f"checksum of {name} differs: its data was altered")


def check_template(folder: Path, record: Record, named) -> None:
  """Raises TemplateError where a template's leaves are others than saved.

  Args:
    folder: of the step, for the message.
    record: of what was saved.
    named: (path, leaf) of the template's leaves.
  """
  found = {
      name: f"{leaf['dtype']}{leaf['shape']}"
      for name, leaf in record.leaves.items()
  }
  expected = {
      name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in named
  }
  for name in sorted({*found, *expected}):
    if found.get(name) != expected.get(name):
      raise TemplateError(
          f"{folder} was saved with another configuration: {name} is"
          f" {found.get(name, 'absent')} there, expected"
          f" {expected.get(name, 'absent')}"
      )


def _sha256(array):
  data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
  return hashlib.sha256(data).hexdigest()


def _digest(content):
  text = json.dumps(content, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _sync(path):
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
