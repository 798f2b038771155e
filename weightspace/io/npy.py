"""`.npy` files, read as untrusted input.

Headers must match the form that NumPy writes for arrays of numbers, and the
file's size; they are never evaluated. Rows are read, not memory-mapped: mapped
pages count as the process's own memory, and a file that shrinks while it is
mapped kills the process.
"""

import functools
import itertools
import math
import os
import re
import weakref
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.io import files

_MAGIC = b"\x93NUMPY\x01\x00"  # version 1.0, what arrays of numbers get
_HEADER = re.compile(
    rb" *\{ *'descr' *: *'([<>|=][biufcV]\d{1,2})' *,"
    rb" *'fortran_order' *: *(True|False) *,"
    rb" *'shape' *: *\(([\d, ]*)\) *,? *\} *\n?"
)
_AXES, _DIGITS = 32, 18  # at most; of a shape, and of a number in it
_BUFFERS = 1024  # to read into by one call: IOV_MAX


class Header(NamedTuple):
  """What an array is, before its data is looked at."""

  shape: tuple[int, ...]
  dtype: np.dtype
  fortran: bool
  offset: int  # of the data, in bytes

  @property
  def bytes(self) -> int:
    """Of the data."""
    return math.prod(self.shape) * self.dtype.itemsize


def parse_header(file: BinaryIO) -> Header:
  """Reads a header; the data is next.

  Raises:
    ValueError: it is none, or of an array that holds other than numbers.
  """
  start = file.read(len(_MAGIC) + 2)
  if not start.startswith(_MAGIC) or len(start) < len(_MAGIC) + 2:
    raise UserError("it does not begin as NumPy's format 1.0 does")
  length = int.from_bytes(start[-2:], "little")
  return _parse_header(file.read(length), len(start) + length)


@functools.lru_cache(maxsize=256)  # those of all shards are the same
def _parse_header(text, offset):
  match = _HEADER.fullmatch(text)
  if match is None:
    raise UserError("its header is not that of an array of numbers")
  sizes = [size.strip() for size in match[3].split(b",")]
  if sizes[-1] == b"":
    sizes.pop()
  if len(sizes) > _AXES or any(
      not size.isdigit() or len(size) > _DIGITS for size in sizes
  ):
    raise UserError(f"its shape is malformed: ({match[3].decode()[:80]})")
  try:
    dtype = np.dtype(match[1].decode())
  except TypeError as error:
    raise UserError(f"its dtype is malformed ({error})") from error
  return Header(tuple(map(int, sizes)), dtype, match[2] == b"True", offset)


def read_header(path: str | Path) -> Header:
  """The header of a file whose size is what the header says.

  Raises:
    ValueError: it is not an array of numbers, or cut short, or too long.
    OSError: it cannot be read, or is no regular file.
  """
  with files.reading(path) as file:
    header = parse_header(file)
    _check_size(header, file)
  return header


class Rows:
  """The rows of an array in a file. May be used by several threads."""

  def __init__(self, path: Path):
    """Opens the file, as `read_header` does.

    Raises:
      ValueError: see `read_header`.
      OSError: the same.
    """
    self.path = path
    with files.reading(path) as file:
      self.header = parse_header(file)
      _check_size(self.header, file)
      self._file = os.dup(file.fileno())
    weakref.finalize(self, os.close, self._file)
    if self.header.fortran and len(self.header.shape) > 1:
      raise UserError("its columns are contiguous, not its rows")

  def read(self, items: np.ndarray, out: np.ndarray, places: np.ndarray):
    """Reads items into `out`; neighbours by one call.

    Args:
      items: [n] increasing, repeated or not. An item is as large as one of
        `out`, so that of an array [R, K, ...] there may be R * K.
      out: [m, ...] contiguous, of the file's dtype.
      places: [n] where in `out` each goes.

    Raises:
      OSError: the file was cut short since it was opened.
    """
    if not len(items):
      return
    flat = out.reshape(len(out), -1).view(np.uint8)
    size = flat.shape[1]
    begin, items = self.header.offset, items.tolist()
    jumps = np.cumsum(np.diff(places, prepend=places[0]) != 1).tolist()
    breaks = np.flatnonzero(np.diff(items) != 1) + 1
    places = places.tolist()
    for start, stop in itertools.pairwise([0, *breaks.tolist(), len(items)]):
      offset, first = begin + items[start] * size, places[start]
      if jumps[start] == jumps[stop - 1]:
        self._fill(flat[first : first + stop - start].reshape(-1), offset)
        continue
      for low in range(start, stop, _BUFFERS):
        buffers = [flat[i] for i in places[low : min(stop, low + _BUFFERS)]]
        where = offset + (low - start) * size
        if os.preadv(self._file, buffers, where) != size * len(buffers):
          for i, buffer in enumerate(buffers):
            self._fill(buffer, where + i * size)

  def read_all(self, out: np.ndarray) -> None:
    """Reads the whole array into one of its shape and dtype, contiguous."""
    self._fill(out.reshape(-1).view(np.uint8), self.header.offset)

  def _fill(self, buffer, offset):
    done = os.preadv(self._file, [buffer], offset)
    while done < len(buffer):
      count = os.preadv(self._file, [buffer[done:]], offset + done)
      if not count:
        raise OSError(f"{self.path} was cut short while it was in use")
      done += count


def scratch(
    path: Path, shape: tuple[int, ...], dtype: np.dtype
) -> np.memmap:
  """An array of zeros in a new file of its own, mapped to be written.

  Raises:
    OSError: the disk is full. Space is allocated now, since a full disk would
      kill a process that writes to a map.
  """
  dtype = np.dtype(dtype)
  with files.writing(path) as file:
    size = math.prod(shape) * dtype.itemsize
    if hasattr(os, "posix_fallocate"):
      os.posix_fallocate(file.fileno(), 0, size)
    else:
      file.truncate(size)
  return np.memmap(path, dtype, "r+", shape=shape)


def _check_size(header, file):
  size = os.fstat(file.fileno()).st_size
  if header.offset + header.bytes != size:
    raise UserError(
        f"its header announces {header.bytes} bytes of data, there are"
        f" {size - header.offset}"
    )
