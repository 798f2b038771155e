"""Flips a bit of every byte of the files that users keep.

A zoo must be reported damaged, the file named; a checkpoint and an encoder
must not be read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from tests.faults import damage
from tests.pretrained import example as encoder_example
from tests.zoo import example as zoo_example
from weightspace import pretrained, zoo
from weightspace.io.checkpoints import Checkpoints


class Kept(NamedTuple):
  """Files in a folder, and a way to see that one is damaged.

  Attributes:
    files: that are protected.
    detects: (file) -> whether damage to it is detected.
  """

  files: list[Path]
  detects: Callable[[Path], bool]


def make_zoo(folder: Path) -> Kept:
  """A zoo of noise."""
  path = zoo_example.write(folder)

  def detects(file):
    problems = zoo.verify(path)
    return bool(problems) and all(str(file) in line for line in problems)

  return Kept(_files(path), detects)


def make_checkpoint(folder: Path) -> Kept:
  """A checkpoint of a small training state."""
  state = {"w": np.arange(35, dtype=np.float32), "step": np.int32(20)}
  with Checkpoints(folder) as checkpoints:
    checkpoints.save(20, state)

  def detects(file):
    del file
    with Checkpoints(folder) as checkpoints:
      # `restore` calls it for each step; any error makes it try an older one
      return _fails(lambda: checkpoints._load(20, state))

  return Kept([f for f in _files(folder) if "20" in str(f)], detects)


def make_encoder(folder: Path) -> Kept:
  """A pretrained encoder with heads and a table of networks."""
  pretrained.save_encoder(folder, encoder_example.make())
  files = [folder / "encoder.json", folder / "tensors.safetensors"]
  return Kept(files, lambda _: _fails(lambda: pretrained.load_encoder(folder)))


MAKE = {"zoo": make_zoo, "run": make_checkpoint, "encoder": make_encoder}


def undetected(kept: Kept, stride: int = 1) -> Iterator[tuple[Path, int]]:
  """Files and places where a flipped bit goes unnoticed.

  Args:
    kept: what to damage; files are restored.
    stride: of the bytes, 1 for all.
  """
  generator = np.random.default_rng(0)
  for file in kept.files:
    content = file.read_bytes()
    for place in range(0, len(content), stride):
      bit = int(generator.integers(8))
      file.write_bytes(damage.flipped(content, place, bit))
      if not kept.detects(file):
        yield file, place
    file.write_bytes(content)
  jax.clear_caches()


def _files(path):
  return sorted(file for file in path.rglob("*") if file.is_file())


def _fails(read):
  try:
    read()
  except Exception:
    return True
  return False
