"""Batches of a split: from memory where it fits, else read ahead from disk.

What a step is trained on is a function of its number and keys. So the same
batches can be gathered on the device from a split in memory, or be read from
the zoo by a thread while earlier steps are computed; the bits are the same.
"""

import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from weightspace import parallel
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.types import Key
from weightspace.zoo import Zoo, loader
from weightspace.zoo.loader import Data

_WINDOW = 2**26  # bytes of batches that go to the device at a time


class Size(NamedTuple):
  """What a batch is made of."""

  batch: int  # networks
  sequences: int  # rollouts of each network


class Split(NamedTuple):
  """A split in memory, with the key of its order.

  The key is data, so that one compiled program serves all seeds.
  """

  order: Key  # []
  shapes: tuple[Data, ...]  # of each shape of networks; without columns


class Window(NamedTuple):
  """The batches of successive steps."""

  first: jax.Array  # [] int32, the step of the first one
  batches: tuple[Data | None, ...]  # of each shape of networks; [W, ...]


def shares(sizes: Sequence[int], batch: int, unit: int = 1) -> tuple[int, ...]:
  """How many examples of a batch come from each of several sets.

  In proportion to their sizes, in multiples of `unit`, and at least that many
  of each that is not empty.

  Raises:
    ValueError: the batch is too small for that, or no multiple of the unit.
  """
  sizes = np.asarray(sizes)
  counts = np.where(sizes > 0, unit, 0)
  if batch % unit or batch < counts.sum():
    raise UserError(
        f"a batch of {batch} cannot be made of {np.sum(sizes > 0)} shapes of"
        f" networks on {unit} devices; choose a larger multiple of {unit}"
    )
  while (left := batch - counts.sum()) > 0:
    missing = batch * sizes / sizes.sum() - counts
    counts[np.argmax(missing)] += min(unit, left)
  return tuple(counts.tolist())


class Rows(NamedTuple):
  """Rows to train on, repeated to a fixed number, which programs depend on."""

  order: Key  # []
  rows: jax.Array  # [R] int32: the first `count` of these
  count: jax.Array  # [] int32

  @classmethod
  def of(cls, order: Key, rows: np.ndarray, size: int) -> "Rows":
    """`rows` [n], which may repeat some, among `size`, at least n."""
    padded = np.resize(rows, size).astype(np.int32)
    return cls(order, padded, np.int32(len(rows)))

  def of_step(self, step: jax.Array, batch: int) -> jax.Array:
    """[batch] rows; every epoch has each row once."""
    return self.rows[
        loader.batch_indices(self.order, step, size=self.count, batch=batch)
    ]


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
    sizes = [len(of_shape.vectors) for of_shape in data.shapes]
    kept = data.shapes[0].log_probs.shape[1]
    drawn = _draw(data.order, key, step, size, sizes, kept, mesh)
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


def _draw(order, key, step, size, sizes, kept, mesh):
  """(rows [B], which [B, k]) for each shape, None where there is no network."""

  def of_shape(shape, rows, count):
    order_, key_ = derive(order, "order", shape), derive(key, "shape", shape)
    shape = count, size.sequences
    return (
        loader.batch_indices(order_, step, size=rows, batch=count),
        jax.random.randint(derive(key_, "rollouts"), shape, 0, kept, np.int32),
    )

  counts = shares(sizes, size.batch, 1 if mesh is None else mesh.size)
  return tuple(
      of_shape(shape, rows, count) if count else None
      for shape, (rows, count) in enumerate(zip(sizes, counts))
  )


def _gather(data, rows, which):
  return Data(
      vectors=data.vectors[rows],
      sequences=data.sequences[rows[:, None], which],
      log_probs=data.log_probs[rows[:, None], which],
      task=data.task[rows],
      columns={},
  )


@contextlib.contextmanager
def open_split(
    zoo: Zoo,
    rows: np.ndarray,
    order: Key,
    size: Size,
    step_key: Callable[[jax.Array], Key],
    *,
    mesh: Mesh | None = None,
    memory: int | None = None,
) -> "Iterator[Split | Stream]":
  """A split for `fit`: in memory if it fits, or a stream while that is open.

  Args:
    zoo: of the networks.
    rows: of the split.
    order: the key of the order of rows.
    size: of a batch.
    step_key: (step) -> the key of that step, which the loss gets.
    mesh: where batches are spread, and a split that fits is copied to.
    memory: bytes that a split may take up; by default a quarter of the memory,
      shared by the devices where these are CPU cores. Where it does not fit
      in one of several processes, all of them read from disk.
  """
  if not parallel.any_process(not fits(zoo, rows, mesh, memory)):
    yield load(zoo, rows, order)
    return
  with contextlib.closing(
      Stream(zoo, rows, order, size, step_key, mesh=mesh)
  ) as stream:
    yield stream


def load(zoo: Zoo, rows: np.ndarray, order: Key) -> Split:
  """A split in memory; see `open_split` for the arguments."""
  shapes = loader.load_by_shape(zoo, rows)
  return Split(
      order, tuple(of_shape._replace(columns={}) for of_shape in shapes)
  )


def fits(
    zoo: Zoo, rows: np.ndarray, mesh: Mesh | None, memory: int | None
) -> bool:
  """Whether a split may be held in memory; if not, the log says so."""
  needed = sum(
      len(places) * loader.row_bytes(zoo, shape)
      for shape, places in enumerate(loader.by_shape(zoo, rows))
  )
  allowed = _allowance(mesh) if memory is None else memory
  if needed > allowed:
    logging.warning(
        "%d networks with their rollouts take %.2f GiB, more than the %.2f GiB"
        " that a split may take up: batches are read from disk",
        len(rows), needed / 2**30, allowed / 2**30,
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
      zoo: Zoo,
      rows: np.ndarray,
      order: Key,
      size: Size,
      step_key: Callable[[jax.Array], Key],
      *,
      mesh: Mesh | None = None,
  ):
    """Reads nothing yet; see `open_split` for the arguments."""
    self._zoo, self._mesh = zoo, mesh
    self._rows = [rows[places] for places in loader.by_shape(zoo, rows)]
    sizes = [len(of_shape) for of_shape in self._rows]
    kept = zoo.spec.rollouts
    counts = shares(sizes, size.batch, 1 if mesh is None else mesh.size)
    taken = sum(
        count * loader.row_bytes(zoo, shape, rollouts=size.sequences)
        for shape, count in enumerate(counts)
    )
    self.steps = max(1, _WINDOW // taken)

    def draw(step):
      return _draw(order, step_key(step), step, size, sizes, kept, mesh)

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
        for rows, chosen in zip(self._rows, drawn)
    )

  def _read_shape(self, rows, chosen, which):
    """Batches of one shape, [W, B, ...]."""
    flat = rows[chosen.ravel()]
    seen = self._zoo.rollouts(flat, which.reshape(-1, which.shape[-1]))
    data = Data(
        vectors=self._zoo.vectors(flat),
        sequences=seen.sequences,
        log_probs=seen.log_probs,
        task=self._zoo.columns["task"][flat],
        columns={},
    )
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
