"""A small data set in MNIST's format: noise, brighter the larger the label."""

import functools
import gzip
import tempfile
from pathlib import Path

import numpy as np

COUNT = 60


def idx(array: np.ndarray) -> bytes:
  """An array of bytes in IDX format."""
  shape = np.array(array.shape, ">u4").tobytes()
  return bytes((0, 0, 8, array.ndim)) + shape + array.tobytes()


def make(seed: int = 0, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
  """Images [count, 28, 28] and labels [count]."""
  generator = np.random.default_rng(seed)
  labels = np.arange(count, dtype=np.uint8) % 10
  noise = generator.integers(0, 130, (count, 28, 28))
  return (noise + 13 * labels[:, None, None]).astype(np.uint8), labels


def write(folder: Path, seed: int = 0, prefixes=("train",)) -> Path:
  """Writes the files of the data set, gzipped."""
  images, labels = make(seed)
  for prefix in prefixes:
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
      path = folder / f"{prefix}-{name}-ubyte.gz"
      path.write_bytes(gzip.compress(idx(array), mtime=0))
  return folder


@functools.cache
def dataset() -> str:
  """What `digits` must be to get the data set, in a folder of this process."""
  folder = _keep(tempfile.TemporaryDirectory(prefix="weightspace-digits-"))
  return f"idx:{write(folder)}"


_kept = []


def _keep(folder):
  _kept.append(folder)  # until the process ends
  return Path(folder.name)
