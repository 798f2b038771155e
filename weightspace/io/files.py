"""Files that survive a crash: fsync, atomic replacement, sealed JSON.

Every failure to write names the file, and leaves nothing half-written.

A sealed document carries the sha256 of its own text, so that no byte of it can
change unnoticed.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from weightspace.errors import UserError
from weightspace.io import locks

_LARGEST = 2**28  # bytes of a JSON document; a zoo of 10^5 shards has 2^28
_END = "\n}\n"
_SEAL = re.compile(r',\n "checksum": "([0-9a-f]{64})"\n\}\n\Z')


def expand_home(path: str) -> str:
  """A path with the home folder in the place of a `~` that it begins with.

  Raises:
    UserError: nothing says where the home folder is.
  """
  expanded = os.path.expanduser(path)
  if path.startswith("~") and expanded == path and not os.path.exists(path):
    raise UserError(
        f"{path!r} names no home folder that is known: set HOME, or write the"
        " path in full (./~ for a folder of that name)"
    )
  return expanded


def temporary(path: Path) -> Path:
  """A name beside `path` that no other process uses."""
  return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex}.tmp")


def leftovers(path: Path) -> list[Path]:
  """Files that `temporary(path)` named and no process renamed."""
  return sorted(path.parent.glob(f".{path.name}.*.tmp"))


def check_new_folder(path: Path) -> None:
  """Checks that a folder can be made: nothing or an empty folder is there.

  Raises:
    FileExistsError: it is a file, or not empty.
    PermissionError: the folder that it would be made in cannot be written to.
  """
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise FileExistsError(
        f"{path} exists and is not an empty folder; choose another, or remove"
        " it first"
    )
  parent = next(p for p in path.absolute().parents if p.exists())
  if not os.access(parent, os.W_OK):
    raise PermissionError(
        f"{path} cannot be made: {parent} cannot be written to; choose another"
        " place"
    )


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
  """A scratch folder that becomes `path` once the block ends without error.

  An error leaves nothing at `path`. The next process that succeeds removes the
  scratch folders of killed ones.

  Raises:
    FileExistsError: as `check_new_folder`.
    UserError: another process makes it.
  """
  check_new_folder(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  lock = path.with_name(f".{path.name}{locks.NAME}")
  with locks.claim(lock) as mine:
    if not mine:
      raise UserError(
          f"another process makes {path}: wait until it ends, or choose another"
          " folder"
      )
    scratch = temporary(path)
    try:
      with naming(path):
        scratch.mkdir()
        yield scratch
        for file in scratch.iterdir():
          with file.open("rb") as opened:
            os.fsync(opened.fileno())
        sync_folder(scratch)
      check_new_folder(path)
      scratch.rename(path)
    finally:
      shutil.rmtree(scratch, ignore_errors=True)
      lock.unlink(missing_ok=True)
    sync_folder(path.parent)
    for leftover in leftovers(path):
      shutil.rmtree(leftover, ignore_errors=True)


def refuse_links(*paths: Path) -> None:
  """ValueError where one is a symbolic link, which may leave the folder."""
  for path in paths:
    if path.is_symlink():
      raise UserError(
          f"{path} is a symbolic link; files are not written through links."
          " Put its target in its place"
      )


def sync_folder(path: Path) -> None:
  """Makes the names in a folder durable."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
  """A new file to write to; it must not be there yet.

  Raises:
    OSError: naming the file, such as a full disk; the part that was written
      is removed.
  """
  try:
    with path.open("xb") as file:
      yield file
  except FileExistsError:
    raise
  except OSError as error:
    path.unlink(missing_ok=True)
    raise _failed(path, error) from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
  """Errors of the system in this block, a full disk say, name this path."""
  try:
    yield
  except OSError as error:
    if error.errno is None:  # it is in words already
      raise
    raise _failed(path, error) from error


def _failed(path, error):
  return OSError(
      f"{path} could not be written: {error.strerror or error}. No earlier"
      " data is lost; fix that and run again"
  )


def reading(path: str | Path) -> BinaryIO:
  """Opens a regular file to read, unbuffered.

  Raises:
    OSError: it cannot be read, or is no regular file.
  """
  # A pipe would block until somebody writes to it
  file = open(  # noqa: SIM115
      path,
      "rb",
      buffering=0,
      opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK),
  )
  if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
    file.close()
    raise OSError(f"{path} is no regular file")
  return file


def write_text(path: Path, text: str) -> None:
  """Writes a file durably; it must not be there yet."""
  with writing(path) as file:
    file.write(text.encode())
    file.flush()
    os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
  """Writes or replaces a file: readers see the old text or the new."""
  scratch = temporary(path)
  try:
    write_text(scratch, text)
    scratch.replace(path)
  finally:
    scratch.unlink(missing_ok=True)
  sync_folder(path.parent)


def write_array(path: Path, array: np.ndarray) -> dict[str, Any]:
  """Writes `.npy` durably; returns its record: shape, dtype, bytes, sha256."""
  with writing(path) as file:
    np.save(file, array, allow_pickle=False)
    file.flush()
    os.fsync(file.fileno())
  return {
      "shape": list(array.shape),
      "dtype": array.dtype.name,
      "bytes": path.stat().st_size,
      "sha256": sha256(path),
  }


def sha256(path: str | Path) -> str:
  """The checksum of a file, in hexadecimal."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def seal(document: dict[str, Any]) -> str:
  """The text of a document, closed by its own checksum."""
  return seal_text(json.dumps(document, indent=1) + "\n")


def seal_text(text: str) -> str:
  """The same of JSON text that ends in a line of its own with a brace."""
  digest = hashlib.sha256(text.encode()).hexdigest()
  return f'{text.removesuffix(_END)},\n "checksum": "{digest}"{_END}'


def parse(path: Path) -> tuple[dict[str, Any], str]:
  """The document in a file, whatever its seal, and its text.

  Raises:
    ValueError: it is not a JSON object, or too large.
    OSError: it cannot be read, or is no regular file.
  """
  with reading(path) as file:
    status = os.fstat(file.fileno())
    if status.st_size > _LARGEST:
      raise UserError(
          f"it has {status.st_size} bytes, more than the limit of"
          f" {_LARGEST}"
      )
    content = file.readall()
  try:
    text = content.decode("utf-8")
    document = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise UserError(f"it is not JSON ({error})") from error
  if not isinstance(document, dict):
    raise UserError(f"it holds no JSON object but {text[:40]!r}")
  return document, text


def read_json(path: str | os.PathLike) -> dict[str, Any]:
  """The JSON object in a file.

  Raises:
    UserError: there is none, naming the file.
    OSError: it cannot be read.
  """
  try:
    return parse(Path(path))[0]
  except UserError as error:
    raise UserError(
        f"{path} cannot be used: {error}. Delete it and run again what wrote it"
    ) from error


def check_seal(text: str) -> None:
  """ValueError unless `text` carries its own checksum."""
  match = _SEAL.search(text)
  content = text[: match.start()] + _END if match else ""
  if not match or hashlib.sha256(content.encode()).hexdigest() != match[1]:
    raise UserError(
        "it was altered after it was written: its checksum differs from"
        " the one that it states"
    )
