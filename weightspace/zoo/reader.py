"""Reading a zoo: memory-mapped, any rows in any order."""

import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.rnn import RNN, make_rnn
from weightspace.tasks import Rollouts
from weightspace.types import Weights
from weightspace.zoo import files, manifest, store
from weightspace.zoo.manifest import ZooError
from weightspace.zoo.schema import ZooSpec

_OPEN_FILES = 96  # maps kept open: each holds a file descriptor


def open(path: str | os.PathLike) -> "Zoo":
  """Opens a finished zoo; checks everything but the checksums of its arrays.

  Raises:
    ZooError: not a zoo, unfinished, of a newer schema, altered, or a file of
      it is missing or not as recorded; the message names the file.
  """
  path = Path(path)
  spec, document = manifest.read(path)
  if not document["finished"]:
    raise ZooError(_unfinished(path, spec))
  _check_records(path, spec, document)
  for index, record in enumerate(document["shards"]):
    for problem in _problems(path, index, record, checksums=False):
      raise ZooError(
          f"{problem}. Delete the zoo and generate it again, or restore the"
          " file from a copy"
      )
  return Zoo(path, spec, document["shards"])


def verify(path: str | os.PathLike) -> list[str]:
  """Recomputes every checksum of a zoo.

  Args:
    path: of a zoo; of an unfinished one, the shards that are there.

  Returns:
    The problems found, each naming its file; empty when there are none.
  """
  path = Path(path)
  try:
    spec, document = manifest.read(path)
    if document["finished"]:
      _check_records(path, spec, document)
  except ZooError as error:
    return [str(error)]
  found = [] if document["finished"] else [_unfinished(path, spec)]
  for index in range(manifest.num_shards(spec)):
    if not document["finished"] and not store.has_shard(path, index):
      continue
    record = document["shards"][index] if document["finished"] else None
    try:
      own = store.read_shard_record(path, index)
      if record is not None and own != record:
        folder = manifest.shard_folder(path, index)
        found.append(
            f"{folder / manifest.SHARD} is not the record that"
            f" {manifest.ZOO} holds of this shard"
        )
      record = own if record is None else record
    except ZooError as error:
      found.append(str(error))
    if record is not None:
      found.extend(_problems(path, index, record, checksums=True))
  return found


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
    self._map = functools.lru_cache(maxsize=_OPEN_FILES)(
        lambda name, shard: files.map_array(_file(path, shard, name))
    )

  def __len__(self) -> int:
    """The number of rows, R."""
    return int(self._starts[-1])

  @functools.cached_property
  def rnn(self) -> RNN:
    """The functions of the zoo's networks."""
    return make_rnn(self.spec.rnn)

  @functools.cached_property
  def columns(self) -> dict[str, np.ndarray]:
    """Each column of all rows, [R, ...], read-only."""
    shards = range(len(self._starts) - 1)
    columns = {}
    for name in self._names:
      if name not in manifest.PAYLOAD:
        column = np.concatenate(
            [files.map_array(_file(self.path, i, name)) for i in shards]
        )
        column.flags.writeable = False
        columns[name] = column
    return columns

  def vectors(self, indices) -> np.ndarray:
    """Weights of rows as vectors, [n, P] float32.

    Args:
      indices: n row numbers, in any order, repeated or not.

    Raises:
      IndexError: not a list of integers in 0..R-1.
    """
    return self._gather("weights", self._check(indices, len(self), "rows"))

  def weights(self, indices) -> Weights:
    """Weights of rows as a pytree, every leaf with a leading axis n."""
    return jax.vmap(self.rnn.unflatten)(jnp.asarray(self.vectors(indices)))

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

  def _gather(self, name, rows, which=None):
    """Reads rows in the order they lie on disk, once each shard."""
    shape, dtype = self._layout[name]
    if which is not None:
      shape = (which.shape[1], *shape[1:])
    result = np.empty((len(rows), *shape), dtype)
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows[order], self._starts)
    for shard, (start, stop) in enumerate(itertools.pairwise(bounds)):
      if start < stop:
        part = order[start:stop]
        local = rows[part] - self._starts[shard]
        array = self._map(name, shard)
        result[part] = (
            array[local]
            if which is None
            else array[local[:, None], which[part]]
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


def _file(path, shard, name) -> Path:
  return manifest.shard_folder(path, shard) / f"{name}.npy"


def _check_records(path, spec, document):
  try:
    manifest.check_records(spec, document["shards"])
  except ValueError as error:
    raise ZooError(f"{path / manifest.ZOO} cannot be used: {error}") from error


def _unfinished(path, spec):
  count = manifest.num_shards(spec)
  there = count - len(store.missing_shards(path))
  return (
      f"{path} is unfinished: {there} of {count} shards are there; continue"
      f" with `python -m zoo_gen.generate --zoo={path}` and the --config it"
      " was begun with"
  )


def _problems(path, index, record, checksums) -> Iterator[str]:
  folder = manifest.shard_folder(path, index)
  if not folder.is_dir():
    yield f"{folder} is missing: shard {index} of the zoo"
    return
  for name, entry in record["files"].items():
    file = folder / name
    if not file.is_file():
      yield f"{file} is missing"
      continue
    size = file.stat().st_size
    if size != entry["bytes"]:
      yield f"{file} has {size} bytes, expected {entry['bytes']}"
      continue
    if checksums and files.sha256(file) != entry["sha256"]:
      yield f"{file} was altered: its sha256 is not the recorded one"
      continue
    try:
      array = files.map_array(file)
    except (ValueError, OSError) as error:
      yield f"{file} is not an .npy array of numbers ({error})"
      continue
    if list(array.shape) != entry["shape"] or array.dtype != entry["dtype"]:
      yield (
          f"{file} holds {list(array.shape)} {array.dtype}, expected"
          f" {entry['shape']} {entry['dtype']}"
      )
