"""Batches of a split: from memory where it fits, else read ahead from disk.

What a step is trained on is a function of its number and keys. So the same
batches can be gathered on the device from a split in memory, or be read from
the zoo by a thread while earlier steps are computed; the bits are the same.
"""

import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from weightspace import parallel
from weightspace.training import draws
from weightspace.training.draws import Rows, Size
from weightspace.types import Key
from weightspace.zoo import Zoo, loader
from weightspace.zoo.loader import Data

_WINDOW = 2**26  # bytes of batches that go to the device at a time


class Split(NamedTuple):
  """A split in memory."""

  rows: tuple[Rows, ...]  # of each shape of networks, places in `shapes`
  shapes: tuple[Data, ...]  # of each shape of networks


class Window(NamedTuple):
  """The batches of successive steps."""

  first: jax.Array  # [] int32, the step of the first one
  batches: tuple[Data | None, ...]  # of each shape of networks; [W, ...]


def of_step(
    data: Split | Window,
    key: Key,
    step: jax.Array,
    size: Size,
    mesh: Mesh | None = None,
) -> tuple[Data | None, ...]:
  """The batch of a step: for each shape of networks, or None of one without.

  Args:
    data: a split in memory, or a window with this step in it.
    key: of this step alone; it decides which rollouts are taken.
    step: its number, traced.
    size: of the batch.
    mesh: inside `parallel.psum_over_mesh`, to get this device's shard.
  """
  if isinstance(data, Window):
    batch = jax.tree.map(lambda leaf: leaf[step - data.first], data.batches)
  else:
    kept = data.shapes[0].log_probs.shape[1]
    drawn = draws.of_step(data.rows, key, step, size, kept)
    if mesh is not None:
      drawn = jax.tree.map(lambda leaf: parallel.local_shard(leaf, mesh), drawn)
    batch = tuple(
        None if chosen is None else _gather(of_shape, *chosen)
        for of_shape, chosen in zip(data.shapes, drawn)
    )
  # Where a batch comes from may not change how its use is compiled
  return jax.lax.optimization_barrier(batch)


def in_specs(data: Split | Window, mesh: Mesh) -> Any:
  """What of `data` is on each device: see `parallel.psum_over_mesh`."""
  if not isinstance(data, Window):
    return PartitionSpec()
  return Window(PartitionSpec(), PartitionSpec(None, mesh.axis_names[0]))


def map_batches(
    f: Callable[[np.ndarray], Any], size: int, batch: int, axis: int = 0
) -> Any:
  """`f` of all rows, one batch at a time: no more is on the device.

  Args:
    f: (row numbers [batch]) -> arrays of these rows. The last batch is filled
      up with rows from the beginning, so that all have one size.
    size: rows, at least one.
    batch: rows at a time.
    axis: of rows in what `f` returns.

  Returns:
    What `f` returns of rows 0 to size - 1, in that order, as NumPy arrays.
  """
  order = np.arange(-(-size // batch) * batch) % size
  parts = [jax.device_get(f(rows)) for rows in order.reshape(-1, batch)]
  return jax.tree.map(
      lambda *leaves: np.concatenate(leaves, axis).take(range(size), axis),
      *parts,
  )


def _gather(data, rows, which):
  return Data(
      vectors=data.vectors[rows],
      sequences=data.sequences[rows[:, None], which],
      log_probs=data.log_probs[rows[:, None], which],
      task=data.task[rows],
      columns={name: column[rows] for name, column in data.columns.items()},
  )


class Dataset(NamedTuple):
  """The split of a zoo that batches are made of.

  Attributes:
    zoo: of the networks.
    rows: of the split, for each shape of networks; see `loader.by_shape`.
    columns: {name: [R, ...]} of all rows, which batches carry.
    size: of a batch.
  """

  zoo: Zoo
  rows: tuple[np.ndarray, ...]
  columns: dict[str, np.ndarray]
  size: Size


@contextlib.contextmanager
def open_split(
    dataset: Dataset,
    drawn: tuple[Rows, ...],
    step_key: Callable[[jax.Array], Key],
    *,
    mesh: Mesh | None = None,
    memory: int | None = None,
) -> "Iterator[Split | Stream]":
  """A split for `fit`: in memory if it fits, or a stream while that is open.

  Args:
    dataset: what batches are made of.
    drawn: of each shape, places in `dataset.rows`.
    step_key: (step) -> the key of that step, which the loss gets.
    mesh: where batches are spread, and a split that fits is copied to.
    memory: bytes that a split may take up; by default a quarter of the memory,
      shared by the devices where these are CPU cores. Where it does not fit
      in one of several processes, all of them read from disk.
  """
  if not parallel.any_process(not fits(dataset, mesh, memory)):
    yield load(dataset, drawn)
    return
  with contextlib.closing(
      Stream(dataset, drawn, step_key, mesh=mesh)
  ) as stream:
    yield stream


def load(dataset: Dataset, drawn: tuple[Rows, ...]) -> Split:
  """A split in memory; see `open_split` for the arguments."""
  which = None if dataset.size.sequences else np.arange(0)
  shapes = tuple(_read(dataset, rows, which) for rows in dataset.rows)
  return Split(drawn, shapes)


def _read(dataset, rows, which=None):
  """Rows of one shape as `Data`; which rollouts, [k] or [n, k], or all."""
  seen = dataset.zoo.rollouts(rows, which)
  return Data(
      vectors=dataset.zoo.vectors(rows),
      sequences=seen.sequences,
      log_probs=seen.log_probs,
      task=dataset.zoo.columns["task"][rows],
      columns={name: of_all[rows] for name, of_all in dataset.columns.items()},
  )


def _row_bytes(dataset, shape, rollouts=None):
  of_columns = sum(
      column[:1].nbytes for column in dataset.columns.values()
  )
  return of_columns + loader.row_bytes(dataset.zoo, shape, rollouts=rollouts)


def fits(dataset: Dataset, mesh: Mesh | None, memory: int | None) -> bool:
  """Whether a split may be held in memory; if not, the log says so."""
  rollouts = None if dataset.size.sequences else 0
  needed = sum(
      len(rows) * _row_bytes(dataset, shape, rollouts)
      for shape, rows in enumerate(dataset.rows)
  )
  allowed = _allowance(mesh) if memory is None else memory
  if needed > allowed:
    logging.warning(
        "%d networks with their rollouts take %.2f GiB, more than the %.2f GiB"
        " that a split may take up: batches are read from disk",
        sum(map(len, dataset.rows)), needed / 2**30, allowed / 2**30,
    )  # fmt: skip
  return needed <= allowed


def _allowance(mesh):
  """A quarter of the memory of the device, or its share of the machine's."""
  devices = jax.local_devices()[:1] if mesh is None else mesh.local_devices
  stats = devices[0].memory_stats() or {}
  if devices[0].platform != "cpu" and "bytes_limit" in stats:
    return stats["bytes_limit"] // 4
  try:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  except (ValueError, OSError):  # no such names on this system
    total = 2**33
  with contextlib.suppress(OSError, ValueError):  # "max": no limit
    total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
  return total // 4 // len(devices)


class Stream:
  """Windows of batches, the next one being read while one is in use."""

  def __init__(
      self,
      dataset: Dataset,
      drawn: tuple[Rows, ...],
      step_key: Callable[[jax.Array], Key],
      *,
      mesh: Mesh | None = None,
  ):
    """Reads nothing yet; see `open_split` for the arguments."""
    self._dataset, self._mesh = dataset, mesh
    size, kept = dataset.size, dataset.zoo.spec.rollouts
    taken = sum(
        count * _row_bytes(dataset, shape, size.sequences)
        for shape, count in enumerate(size.rows)
    )
    self.steps = max(1, _WINDOW // taken)

    def draw(step):
      return draws.of_step(drawn, step_key(step), step, size, kept)

    self._draw = jax.jit(jax.vmap(draw))
    self._reader = concurrent.futures.ThreadPoolExecutor(1, "batches")
    self._ahead: dict[int, concurrent.futures.Future] = {}
    self._current: tuple[int, Window | None] = (-1, None)

  def __call__(self, step: int) -> tuple[Window, int]:
    """The window that holds the batch of a step, and the step after its last.

    Raises:
      OSError: the zoo cannot be read any more.
    """
    block = step // self.steps
    if self._current[0] != block:
      # One window at a time on the device, and one on its way
      self._current = (-1, None)
      window = self._request(block).result()
      self._ahead = {}
      self._current = (block, self._place(block, window))
      self._request(block + 1)
    return self._current[1], (block + 1) * self.steps

  def close(self) -> None:
    """Waits for the reader."""
    self._reader.shutdown(cancel_futures=True)

  def _request(self, block):
    if block not in self._ahead:
      steps = np.arange(self.steps, dtype=np.int32) + block * self.steps
      drawn = jax.device_get(self._draw(steps))
      self._ahead[block] = self._reader.submit(self._read, drawn)
    return self._ahead[block]

  def _read(self, drawn):
    return tuple(
        None if chosen is None else self._read_shape(rows, *chosen)
        for rows, chosen in zip(self._dataset.rows, drawn)
    )

  def _read_shape(self, rows, chosen, which):
    """Batches of one shape, [W, B, ...]."""
    which = which.reshape(chosen.size, which.shape[-1])
    data = _read(self._dataset, rows[chosen.ravel()], which)
    return jax.tree.map(
        lambda leaf: leaf.reshape(*chosen.shape, *leaf.shape[1:]), data
    )

  def _place(self, block, batches):
    first = np.int32(block * self.steps)
    if self._mesh is None:
      return jax.device_put(Window(first, batches))
    axis = self._mesh.axis_names[0]
    spread = NamedSharding(self._mesh, PartitionSpec(None, axis))
    return Window(
        parallel.place(first, parallel.replicated(self._mesh)),
        jax.tree.map(lambda leaf: parallel.place(leaf, spread), batches),
    )
