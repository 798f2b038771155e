"""Labelled images in MNIST's file format, IDX, gzipped or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from weightspace.errors import UserError

SIDE, CLASSES = 28, 10
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_BYTES = 8  # IDX's code for arrays of unsigned bytes


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
  """Reads the training images and labels in a folder in MNIST's format.

  Returns:
    images [n, 28, 28] and labels [n], uint8.

  Raises:
    FileNotFoundError: a file is missing.
    ValueError: a file is invalid, or images and labels do not match.
  """
  files = [_find(folder, name) for name in (IMAGES, LABELS)]
  images, labels = read_idx(files[0], axes=3), read_idx(files[1], axes=1)
  if images.shape[1:] != (SIDE, SIDE):
    raise UserError(
        f"{files[0]} has images of {_times(images.shape[1:])} pixels,"
        f" expected {SIDE} x {SIDE}"
    )
  if len(images) != len(labels) or not len(images):
    raise UserError(
        f"{files[1]} has {len(labels)} labels, {files[0]} {len(images)}"
        " images; expected as many of both, and at least one"
    )
  if labels.max() >= CLASSES:
    raise UserError(
        f"{files[1]} has the label {labels.max()}, expected 0 to"
        f" {CLASSES - 1}"
    )
  return images, labels


def _find(folder, name):
  for path in (folder / name, folder / f"{name}.gz"):
    if path.is_file():
      return path
  if not folder.is_dir():
    raise FileNotFoundError(f"there is no folder {folder}")
  files = sorted(path.name for path in folder.glob("*"))[:6]
  raise FileNotFoundError(
      f"{folder} lacks {name} or {name}.gz; it contains:"
      f" {', '.join(files) or 'nothing'}"
  )


def read_idx(path: Path, axes: int) -> np.ndarray:
  """Reads an array of unsigned bytes in IDX format, gzipped or not.

  The format: two zero bytes, the type code, the number of axes; the length of
  each axis as a big-endian 32-bit integer; then the array in C order.

  Args:
    path: the file.
    axes: expected number of axes.

  Returns:
    A writeable uint8 array.

  Raises:
    ValueError: the file is invalid.
  """
  content = path.read_bytes()
  if content[:2] == b"\x1f\x8b":
    try:
      content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
      raise UserError(f"{path} is damaged gzip: {error}") from error
  magic = bytes((0, 0, _BYTES, axes))
  if content[:4] != magic:
    raise UserError(
        f"{path} begins with the magic number 0x{content[:4].hex()}, expected"
        f" 0x{magic.hex()}: an IDX file of unsigned bytes with {axes} axes"
    )
  start = 4 + 4 * axes
  if len(content) < start:
    raise UserError(
        f"{path} is truncated: it has {len(content)} bytes, its header alone"
        f" has {start}"
    )
  shape = tuple(map(int, np.frombuffer(content[4:start], ">u4")))
  if len(content) - start != math.prod(shape):
    raise UserError(
        f"{path} is truncated or too long: it has {len(content)} bytes,"
        f" expected {start + math.prod(shape)}: a header of {start} and an"
        f" array of {_times(shape)}"
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _times(shape):
  return " x ".join(map(str, shape))
