"""Files that survive a crash: fsync, atomic replacement, sealed JSON.

A sealed document carries the sha256 of its own text, so that no byte of it can
change unnoticed.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def temporary(path: Path) -> Path:
  """A name beside `path` that no other process uses."""
  return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex}.tmp")


def leftovers(path: Path) -> list[Path]:
  """What `temporary(path)` named and nobody renamed."""
  return sorted(path.parent.glob(f".{path.name}.*.tmp"))


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
  """A scratch folder that becomes `path` once the block ends without error.

  Whatever happens before leaves nothing at `path`; what a killed process left
  beside it is removed by the next one that succeeds.

  Raises:
    FileExistsError: something is at `path`.
  """
  if path.exists():
    raise FileExistsError(f"{path} is there already; choose another folder")
  path.parent.mkdir(parents=True, exist_ok=True)
  scratch = temporary(path)
  try:
    scratch.mkdir()
    yield scratch
    for file in scratch.iterdir():
      with file.open("rb") as opened:
        os.fsync(opened.fileno())
    sync_folder(scratch)
    if path.exists():  # renaming would replace an empty folder
      raise FileExistsError(f"{path} is there already; choose another folder")
    scratch.rename(path)
  finally:
    shutil.rmtree(scratch, ignore_errors=True)
  sync_folder(path.parent)
  for leftover in leftovers(path):
    shutil.rmtree(leftover, ignore_errors=True)


def sync_folder(path: Path) -> None:
  """Makes the names in a folder durable."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def write_text(path: Path, text: str) -> None:
  """Writes a file durably; it must not be there yet."""
  with path.open("x", encoding="utf-8") as file:
    file.write(text)
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
  with path.open("xb") as file:
    np.save(file, array, allow_pickle=False)
    file.flush()
    os.fsync(file.fileno())
  return {
      "shape": list(array.shape),
      "dtype": array.dtype.name,
      "bytes": path.stat().st_size,
      "sha256": sha256(path),
  }


def map_array(path: Path) -> np.memmap:
  """Memory-maps `.npy`. Never unpickles: an array of objects is refused.

  Raises:
    ValueError: not an array of numbers.
  """
  return np.lib.format.open_memmap(path, mode="r")


def sha256(path: Path) -> str:
  """The checksum of a file, in hexadecimal."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def seal(document: dict[str, Any]) -> str:
  """The text of a document, closed by its own checksum."""
  digest = hashlib.sha256(_text(document).encode()).hexdigest()
  return _text({**document, "checksum": digest})


def parse(path: Path) -> tuple[dict[str, Any], str]:
  """The document in a file, whatever its seal, and its text.

  Raises:
    ValueError: it holds no JSON object.
    OSError: it cannot be read.
  """
  try:
    text = path.read_bytes().decode("utf-8")
    document = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(f"it is not JSON ({error})") from error
  if not isinstance(document, dict):
    raise ValueError(f"it holds no JSON object but {str(document)[:40]!r}")
  return document, text


def check_seal(document: dict[str, Any], text: str) -> None:
  """ValueError when `text` is not what was sealed."""
  content = {k: v for k, v in document.items() if k != "checksum"}
  if seal(content) != text:
    raise ValueError(
        "it was altered after it was written: its checksum is not the one"
        " that it states"
    )


def _text(document):
  return json.dumps(document, indent=1) + "\n"
