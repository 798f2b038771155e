"""Records: what a checkpoint must hold, written beside it as JSON.

  version  of this format
  leaves   {path in the tree: {dtype, shape, sha256 of the data}}
  files    {path in the step's folder: {bytes, sha256}}; in version 1, bytes
  checksum of the text above; in version 1, "sha256" of its content

Of files there is none where the process was killed right after Orbax was done.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weightspace.io import files

_VERSION = 2


class TemplateError(ValueError):
  """What was saved does not have the leaves that are asked for."""


class Record(NamedTuple):
  """The arrays and files of one step."""

  leaves: dict[str, dict[str, Any]]
  files: dict[str, dict[str, Any]]


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
  for killed in files.leftovers(path):
    killed.unlink(missing_ok=True)
  files.replace_text(path, files.seal(content))


def read(path: Path) -> Record:
  """Reads a record.

  Raises:
    ValueError: it is torn, altered or of another version.
    OSError: it cannot be read.
  """
  content, text = files.parse(path)
  version = content.get("version")
  if version not in (1, _VERSION):
    raise ValueError(f"not a record of version {_VERSION}")
  if version == _VERSION:
    files.check_seal(text)
  elif content.pop("sha256", None) != _digest(content):
    raise ValueError("checksum differs: it was altered")
  leaves, sizes = content.get("leaves"), content.get("files")
  if not isinstance(leaves, dict) or not isinstance(sizes, dict):
    raise ValueError("it lacks leaves or files")
  if version == 1:
    sizes = {name: {"bytes": size} for name, size in sizes.items()}
  for name, entry in (*leaves.items(), *sizes.items()):
    if not isinstance(entry, dict):
      raise ValueError(f"its entry {name} is no object")
  for name in sizes:
    if Path(name).is_absolute() or ".." in Path(name).parts:
      raise ValueError(f"{name} leads out of the checkpoint's folder")
  return Record(leaves, sizes)


def sync(folder: Path) -> dict[str, dict[str, Any]]:
  """Syncs a folder to disk; returns the `files` of a record."""
  found = {}
  for root, _, names in os.walk(folder):
    for path in (Path(root, name) for name in names):
      files.sync_folder(path)
      found[path.relative_to(folder).as_posix()] = {
          "bytes": path.stat().st_size,
          "sha256": files.sha256(path),
      }
    files.sync_folder(Path(root))
  return found


def check_files(folder: Path, record: Record) -> None:
  """Raises ValueError where a file is missing or has another size."""
  for name, entry in record.files.items():
    path, size = folder / name, entry.get("bytes")
    if path.is_symlink() or not path.is_file():
      raise ValueError(f"{name} is missing, or a link")
    if path.stat().st_size != size:
      raise ValueError(f"{name} has {path.stat().st_size} bytes, not {size}")


def check_bytes(folder: Path, record: Record) -> None:
  """Raises ValueError where a file was altered, be it of no consequence."""
  for name, entry in record.files.items():
    if "sha256" in entry and files.sha256(folder / name) != entry["sha256"]:
      raise ValueError(f"{name} was altered")


def check_arrays(arrays: Mapping[str, np.ndarray], record: Record) -> None:
  """Raises ValueError where an array is not the one that was saved."""
  for name, leaf in record.leaves.items():
    if _sha256(arrays[name]) != leaf.get("sha256"):
      raise ValueError(f"checksum of {name} differs: its data was altered")


def check_template(folder: Path, record: Record, named) -> None:
  """Raises TemplateError where a template's leaves are others than saved.

  Args:
    folder: of the step, for the message.
    record: of what was saved.
    named: (path, leaf) of the template's leaves.
  """
  found = {
      name: f"{leaf.get('dtype')}{leaf.get('shape')}"
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
