"""Reading a zoo: any rows in any order, no more of it in memory than those."""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import tasks
from weightspace.errors import UserError
from weightspace.io import npy
from weightspace.rnn import RNN, make_rnn
from weightspace.tasks import Rollouts, TaskFamily
from weightspace.types import Weights
from weightspace.zoo import integrity, manifest
from weightspace.zoo.manifest import ZooError
from weightspace.zoo.spec import ZooSpec

_OPEN_FILES = 96  # kept open, each a file descriptor


def open(path: str | os.PathLike) -> "Zoo":
  """Opens a finished zoo; checks everything but the checksums of its arrays.

  Raises:
    ZooError: not a zoo, unfinished, of a newer schema, altered, or a file of
      it is missing or not as recorded; the message names the file.
  """
  path = Path(path)
  spec, document = manifest.read(path)
  if not document["finished"]:
    raise ZooError(integrity.unfinished(path, spec))
  integrity.check_records(path, spec, document)
  for index, record in enumerate(document["shards"]):
    for problem in integrity.problems(path, index, record, checksums=False):
      raise ZooError(
          f"{problem}. Restore it from a copy, or delete the folder"
          f" {manifest.shard_folder(path, index)} and make it again with"
          f" {integrity.command(path, spec)}; then verify"
      )
  return Zoo(path, spec, document["shards"])


class Zoo:
  """A finished zoo: R rows, one for each snapshot of each network.

  Attributes:
    path: its folder.
    spec: its specification.
  """

  def __init__(self, path: Path, spec: ZooSpec, records: list[dict]):
    """Takes what `open` has checked."""
    self.path = path
    self.spec = spec
    self._names = [name.removesuffix(".npy") for name in records[0]["files"]]
    self._layout = {
        name.removesuffix(".npy"): (tuple(entry["shape"][1:]), entry["dtype"])
        for name, entry in records[0]["files"].items()
    }
    self._starts = np.cumsum([0, *(record["rows"] for record in records)])
    self._rows = functools.lru_cache(maxsize=_OPEN_FILES)(self._open)

  def __len__(self) -> int:
    """The number of rows, R."""
    return int(self._starts[-1])

  @functools.cached_property
  def family(self) -> TaskFamily:
    """The task family of the networks.

    Raises:
      UserError: the family has changed since the zoo was made.
    """
    again = "make the zoo again, or use the commit it was made at"
    try:
      family = tasks.make(self.spec.family, self.spec.family_config)
    except UserError as error:
      raise UserError(f"{self.path}: {error}; {again}") from error
    if family.spec.task_names != self.spec.task_names:
      raise UserError(
          f"a task of {self.path} is {', '.join(self.spec.task_names)}, but"
          f" one of {self.spec.family} is {', '.join(family.spec.task_names)}:"
          f" {again}"
      )
    return family

  @functools.cached_property
  def rnns(self) -> tuple[RNN, ...]:
    """The functions of the zoo's networks, one for each shape they have."""
    return tuple(make_rnn(spec) for spec in self.spec.rnns)

  @property
  def rnn(self) -> RNN:
    """`rnns` of a zoo of one shape; ValueError where there are several."""
    return self.rnns[self.spec.rnns.index(self.spec.rnn)]

  @functools.cached_property
  def shapes(self) -> np.ndarray:
    """Which of `rnns` each row is of, [R] int32, read-only."""
    of_shard = [
        manifest.shard_shape(self.spec, i) for i in range(len(self._starts) - 1)
    ]
    shapes = np.repeat(np.array(of_shard, np.int32), np.diff(self._starts))
    shapes.flags.writeable = False
    return shapes

  @functools.cached_property
  def final(self) -> np.ndarray:
    """Whether each row is the last snapshot of its network, [R] bool."""
    final = final_rows(self.columns)
    final.flags.writeable = False
    return final

  @functools.cached_property
  def columns(self) -> Mapping[str, np.ndarray]:
    """Each column of all rows, [R, ...], read-only; read when asked for."""
    names = [name for name in self._names if name not in manifest.PAYLOAD]
    return _Columns(names, self._column)

  def row_bytes(self, name: str) -> int:
    """Bytes of a row of an array; of weights, of the first shape's."""
    shape, dtype = self._layout[name]
    return math.prod(shape) * np.dtype(dtype).itemsize

  def vectors(self, indices) -> np.ndarray:
    """Weights of rows as vectors, [n, P] float32.

    Args:
      indices: n row numbers, in any order, repeated or not, of networks of one
        shape.

    Raises:
      IndexError: not a list of integers in 0..R-1.
      ValueError: rows of networks of different shapes.
    """
    rows = self._check(indices, len(self), "rows")
    return self._gather("weights", rows, size=self._rnn_of(rows).size)

  def weights(self, indices) -> Weights:
    """Weights of rows as a pytree, every leaf with a leading axis n.

    Arguments and errors are those of `vectors`.
    """
    vectors = self.vectors(indices)
    rnn = self._rnn_of(np.asarray(indices))
    return jax.vmap(rnn.unflatten)(jnp.asarray(vectors))

  def rollouts(self, indices, which=None) -> Rollouts:
    """Stored rollouts of rows, every array with leading axes n, k.

    Args:
      indices: n row numbers, in any order, repeated or not.
      which: the rollouts wanted, [k] for all rows or [n, k] for each; all K
        of them by default.

    Raises:
      IndexError: no such row or rollout.
    """
    rows = self._check(indices, len(self), "rows")
    if which is not None:
      which = np.asarray(which)
      flat = self._check(which.ravel(), self.spec.rollouts, "rollouts")
      if which.ndim not in (1, 2) or which.shape[:-1] not in ((), rows.shape):
        raise IndexError(
            f"which has shape {which.shape}, expected [k] or [n, k] with"
            f" n = {len(rows)}"
        )
      which = np.broadcast_to(
          flat.reshape(which.shape), (len(rows), which.shape[-1])
      )
    return Rollouts(
        self._gather("sequences", rows, which),
        self._gather("log_probs", rows, which),
    )

  def _rnn_of(self, rows):
    """The shape that the networks of rows share."""
    shapes = self.shapes[rows]
    if len(shapes) and np.any(shapes != shapes[0]):
      other = rows[np.argmax(shapes != shapes[0])]
      raise UserError(
          f"rows {rows[0]} and {other} are networks of different shapes,"
          f" {self.spec.rnns[shapes[0]]} and"
          f" {self.spec.rnns[self.shapes[other]]}; ask for rows of one shape:"
          " zoo.shapes tells which"
      )
    return self.rnns[shapes[0] if len(shapes) else 0]

  def _column(self, name):
    shape, dtype = self._layout[name]
    column = np.empty((len(self), *shape), dtype)
    for shard, start in enumerate(self._starts[:-1]):
      self._rows(name, shard).read_all(column[start : self._starts[shard + 1]])
    column.flags.writeable = False
    return column

  def _open(self, name, shard):
    file = _file(self.path, shard, name)
    try:
      rows = npy.Rows(file)
    except (ValueError, OSError) as error:
      raise ZooError(f"{file} cannot be read any more: {error}") from error
    shape, dtype = self._layout[name]
    if name == "weights":
      shape = (self.rnns[manifest.shard_shape(self.spec, shard)].size,)
    wanted = (int(self._starts[shard + 1] - self._starts[shard]), *shape)
    if rows.header.shape != wanted or rows.header.dtype != dtype:
      raise ZooError(f"{file} was replaced while the zoo was in use")
    return rows

  def _gather(self, name, rows, which=None, size=None):
    """Reads rows in the order they lie on disk, once each shard."""
    item, dtype = self._layout[name]  # a row, or a rollout of a row
    if size is not None:  # a row's, where shards differ
      item = (size,)
    items, count, shape = rows, 1, rows.shape
    if which is not None:
      count, item, shape = item[0], item[1:], which.shape
      items = (rows[:, None] * count + which).ravel()
    result = np.empty((*shape, *item), dtype)
    flat = result.reshape(len(items), *item)
    order = np.argsort(items, kind="stable")
    items = items[order]
    starts = self._starts * count
    bounds = np.searchsorted(items, starts)
    for shard in np.flatnonzero(np.diff(bounds)):
      part = slice(bounds[shard], bounds[shard + 1])
      self._rows(name, int(shard)).read(
          items[part] - starts[shard], flat, order[part]
      )
    return result

  @staticmethod
  def _check(indices, count, what):
    indices = np.asarray(indices)
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
      raise IndexError(
          f"{what} are asked for by a list of integers, got an array of shape"
          f" {indices.shape} and dtype {indices.dtype}"
      )
    outside = indices[(indices < 0) | (indices >= count)]
    if outside.size:
      raise IndexError(
          f"there are {what} 0 to {count - 1}, asked for {outside[0]}"
      )
    return indices.astype(np.int64)


def final_rows(columns: Mapping[str, np.ndarray]) -> np.ndarray:
  """Whether each row is the last snapshot of its network, [R] bool.

  Args:
    columns: of a zoo, of which net_id and step are used.
  """
  net_id, step = columns["net_id"], columns["step"]
  last = np.full(1 + net_id.max(initial=-1), -1, step.dtype)
  np.maximum.at(last, net_id, step)
  return step == last[net_id]


def snapshots(
    columns: Mapping[str, np.ndarray], steps: Sequence[int]
) -> dict[int, np.ndarray]:
  """Which rows are snapshots of each step, [R] bool.

  Args:
    columns: of a zoo.
    steps: increasing; the last one stands for the last snapshot of each
      network, at whatever step that is.
  """
  of_steps = {step: columns["step"] == step for step in steps[:-1]}
  return {**of_steps, steps[-1]: final_rows(columns)}


class _Columns(Mapping):
  """Columns by name; one that nobody asks for takes no memory."""

  def __init__(self, names, read):
    self._names, self._read = tuple(names), functools.cache(read)

  def __getitem__(self, name):
    if name not in self._names:
      raise KeyError(name)
    return self._read(name)

  def __contains__(self, name):
    return name in self._names

  def __iter__(self):
    return iter(self._names)

  def __len__(self):
    return len(self._names)


def _file(path, shard, name) -> Path:
  return manifest.shard_folder(path, shard) / f"{name}.npy"
