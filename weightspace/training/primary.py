"""Checkpoints of several processes that train one model together.

Process 0 alone touches the folder, which the others need not even see: they
give it what of the state only they hold, and are told what it has read. A
checkpoint holds whole arrays, so it can be restored on any number of devices
and processes, whether they share the state out or each have it all.
"""

import os
from typing import Any

import jax
import numpy as np

from weightspace import parallel
from weightspace.training.checkpoints import Checkpoints, place

_NOTHING = -1  # the step where nothing was saved


class PrimaryCheckpoints:
  """As `Checkpoints`; `save` and `restore` take all processes."""

  def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
    """As `Checkpoints`."""
    self._files = Checkpoints(directory, keep=keep)
    self.directory = self._files.directory

  def save(self, step: int, tree: Any) -> None:
    """Process 0 saves; see `Checkpoints.save`."""
    arrays = parallel.fetch(tree)
    if jax.process_index() == 0:
      self._files.save(step, arrays)

  def restore(self, template: Any) -> tuple[int, Any] | None:
    """Process 0 restores, all have it; see `Checkpoints.restore`.

    What it raises, it raises in process 0, which ends the others.
    """
    host = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    found = None
    if jax.process_index() == 0:
      found = self._files.restore(host)
    step, arrays = found or (_NOTHING, host)
    step = int(parallel.broadcast_from_primary(np.int32(step)))
    if step == _NOTHING:
      return None
    return step, place(parallel.broadcast_from_primary(arrays), template)

  def close(self) -> None:
    """As of `Checkpoints`."""
    self._files.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()
