"""What a checkpoint holds: its arrays in an `.npz` file, a record beside it.

A record is JSON,

  version  of this format
  leaves   {path in the tree: {dtype, shape, sha256 of the data}}
  files    {path in the step's folder: {bytes, sha256}}
  checksum of the text above

`files` is empty where the process was killed right after Orbax was done.

Orbax's own format of arrays is made for those spread over hosts. For states
that every process holds whole, one file is quicker to write and to sync, can be
read with NumPy alone, and works in each process of several: what is local to a
process, Orbax saves from process 0 only.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orbax.checkpoint as ocp

from weightspace.errors import UserError
from weightspace.io import files, npz

_ARRAYS = "arrays.npz"
_VERSION = 2


class TemplateError(UserError):
  """The leaves that were saved are not those of the template."""


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
  """Writes a record atomically: it is there whole, or as it was before."""
  for killed in files.leftovers(path):
    killed.unlink(missing_ok=True)
  content = {"version": _VERSION, **record._asdict()}
  files.replace_text(path, files.seal(content))


def read(path: Path) -> Record:
  """Reads a record.

  Raises:
    ValueError: it is torn, altered or of another version.
    OSError: it cannot be read.
  """
  content, text = files.parse(path)
  if content.get("version") != _VERSION:
    raise UserError(
        f"the record is of version {content.get('version')!r}, and this"
        f" release reads version {_VERSION} alone"
    )
  files.check_seal(text)
  leaves, entries = content.get("leaves"), content.get("files")
  if not isinstance(leaves, dict) or not isinstance(entries, dict):
    raise UserError("it lacks leaves or files")
  for name, entry in (*leaves.items(), *entries.items()):
    if not isinstance(entry, dict):
      raise UserError(f"its entry {name} is no object")
  for name in entries:
    if Path(name).is_absolute() or ".." in Path(name).parts:
      raise UserError(f"{name} leads out of the checkpoint's folder")
  return Record(leaves, entries)


def sync(folder: Path) -> dict[str, dict[str, Any]]:
  """Syncs a folder to disk; returns the `files` of a record."""
  entries = {}
  for root, _, names in os.walk(folder):
    for path in (Path(root, name) for name in names):
      files.sync_folder(path)
      entries[path.relative_to(folder).as_posix()] = {
          "bytes": path.stat().st_size,
          "sha256": files.sha256(path),
      }
    files.sync_folder(Path(root))
  return entries


def check_sizes(folder: Path, record: Record) -> None:
  """Raises ValueError where a file is missing or has another size."""
  for name, entry in record.files.items():
    path, size = folder / name, entry.get("bytes")
    if path.is_symlink() or not path.is_file():
      raise UserError(f"{name} is missing, or a link")
    if path.stat().st_size != size:
      raise UserError(f"{name} has {path.stat().st_size} bytes, not {size}")


def check_files(folder: Path, record: Record) -> None:
  """Raises ValueError where a file was altered in any byte."""
  for name, entry in record.files.items():
    if files.sha256(folder / name) != entry.get("sha256"):
      raise UserError(f"{name} was altered")


def check_arrays(arrays: Mapping[str, np.ndarray], record: Record) -> None:
  """Raises ValueError where an array is not the one that was saved."""
  for name, leaf in record.leaves.items():
    if _sha256(arrays[name]) != leaf.get("sha256"):
      raise UserError(f"checksum of {name} differs: its data was altered")


def check_template(folder: Path, record: Record, named) -> None:
  """Raises TemplateError where a template's leaves are not those saved.

  Args:
    folder: of the step, for the message.
    record: of what was saved.
    named: (path, leaf) of the template's leaves.
  """
  saved = {
      name: f"{leaf.get('dtype')}{leaf.get('shape')}"
      for name, leaf in record.leaves.items()
  }
  expected = {
      name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in named
  }
  for name in sorted({*saved, *expected}):
    if saved.get(name) != expected.get(name):
      raise TemplateError(
          f"{folder} was saved with another configuration: {name} is"
          f" {saved.get(name, 'absent')} there, expected"
          f" {expected.get(name, 'absent')}"
      )


class NpzHandler(ocp.CheckpointHandler):
  """Orbax's interface to {path: array} in one file, without pickling."""

  def save(self, directory, args: "NpzSave") -> None:
    """Writes all arrays."""
    npz.write(Path(directory) / _ARRAYS, args.arrays)

  def restore(self, directory, args: "NpzRestore") -> dict[str, np.ndarray]:
    """Reads the arrays whose dtypes are given."""
    arrays = npz.read(Path(directory) / _ARRAYS, args.dtypes)
    return {
        # NumPy knows bfloat16 and its like only as so many bytes
        name: array.view(dtype) if array.dtype.kind == "V" else array
        for name, array in arrays.items()
        for dtype in (np.dtype(args.dtypes[name]),)
    }


@ocp.args.register_with_handler(NpzHandler, for_save=True)
@dataclasses.dataclass
class NpzSave(ocp.args.CheckpointArgs):
  """What to save."""

  arrays: dict[str, np.ndarray]


@ocp.args.register_with_handler(NpzHandler, for_restore=True)
@dataclasses.dataclass
class NpzRestore(ocp.args.CheckpointArgs):
  """What to restore, with the dtypes that it was saved with."""

  dtypes: dict[str, str]


def _sha256(array):
  data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
  return hashlib.sha256(data).hexdigest()
