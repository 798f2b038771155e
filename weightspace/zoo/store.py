"""Writing a zoo: shards that appear whole, never change, and then the seal."""

import os
import re
import shutil
from pathlib import Path

import numpy as np

from weightspace.errors import UserError
from weightspace.io import files
from weightspace.zoo import arrays as layout
from weightspace.zoo import manifest
from weightspace.zoo.manifest import ZooError
from weightspace.zoo.spec import ZooSpec, differences

_NUMBER = re.compile(r"[0-9]{5,9}")


def create(path: str | os.PathLike, spec: ZooSpec) -> None:
  """Makes an unfinished zoo; does nothing where the same one is.

  Raises:
    FileExistsError: another zoo is there, the message names each field that
      differs; or a folder that is not empty and not a zoo.
    ZooError: a zoo is there that cannot be read.
  """
  path = Path(path)
  if is_there(path):
    there, _ = manifest.read(path)
    lines = differences(there, spec)
    if lines:
      raise FileExistsError(
          f"{path} holds a zoo of another configuration: {'; '.join(lines)}."
          " Ask for the same, or choose another folder"
      )
    return
  path.mkdir(parents=True, exist_ok=True)
  _write_zoo(path, spec, False, [], manifest.software())


def is_there(path: str | os.PathLike) -> bool:
  """Whether a zoo is at a path, finished or not, or nothing.

  Raises:
    FileExistsError: something else is there.
  """
  path = Path(path)
  if path.exists() and not path.is_dir():
    raise FileExistsError(f"{path} is a file; choose another folder")
  files.refuse_links(path / manifest.ZOO, path / manifest.SHARDS)
  # Looked at before the zoo is looked for: a process that creates the same one
  # right now may have its draft there, and then more.
  names = set(path.glob("*"))
  foreign = names.difference(files.leftovers(path / manifest.ZOO))
  if (path / manifest.ZOO).exists():
    return True
  if foreign:
    raise FileExistsError(
        f"{path} is not empty and not a zoo: it holds"
        f" {sorted(f.name for f in foreign)[0]!r}; choose another folder"
    )
  return False


def write_shard(
    path: str | os.PathLike,
    index: int,
    arrays: dict[str, np.ndarray],
    software: dict[str, str] | None = None,
) -> None:
  """Adds a shard to a zoo; it appears whole or not at all.

  Args:
    path: of a zoo that `create` made.
    index: of the shard.
    arrays: `weights` [R, P] float32, `sequences` [R, K, ...], `log_probs`
      [R, K, T, V] float16, and the columns `net_id` [R] int32, `step` [R]
      int32, `task` [R, D], `finite` [R] bool, every metric [R] float32, and
      any others [R, ...]. Rows are network-major.
    software: that made them, see `manifest.software`; None: not recorded.

  Raises:
    ValueError: an array is missing, or not of the shape, dtype or order that
      the zoo's specification asks for.
    FileExistsError: the shard is there already; it stays as it is.
  """
  path = Path(path)
  spec, _ = manifest.read(path)
  arrays = {name: np.asarray(array) for name, array in arrays.items()}
  layout.check(
      spec, index, {name: (a.shape, a.dtype) for name, a in arrays.items()}
  )
  _check_order(spec, index, arrays)
  folder = manifest.shard_folder(path, index)
  if folder.exists():
    raise _taken(folder)
  files.refuse_links(folder.parent)
  folder.parent.mkdir(exist_ok=True)
  scratch = files.temporary(folder)
  try:
    scratch.mkdir()
    _write_folder(scratch, arrays, software)
    scratch.rename(folder)  # refused where a shard that is not empty stands
  except OSError as error:
    if folder.exists():  # another process was given the same shard
      raise _taken(folder) from error
    raise
  finally:
    shutil.rmtree(scratch, ignore_errors=True)
  files.sync_folder(folder.parent)
  for leftover in files.leftovers(folder):
    shutil.rmtree(leftover, ignore_errors=True)


def has_shard(path: str | os.PathLike, index: int) -> bool:
  """Whether a finished shard of that index is there."""
  return (manifest.shard_folder(Path(path), index) / manifest.SHARD).is_file()


def shards_there(path: Path, spec: ZooSpec) -> list[int]:
  """The shards of a zoo that are there, whatever their number should be."""
  names = [
      folder.name
      for folder in (Path(path) / manifest.SHARDS).glob("*")
      if _NUMBER.fullmatch(folder.name)
  ]
  count = manifest.num_shards(spec)
  return sorted(
      index
      for index in map(int, names)
      if index < count and has_shard(path, index)
  )


def missing_shards(path: str | os.PathLike) -> list[int]:
  """The shards of a zoo that are not there yet."""
  spec, _ = manifest.read(Path(path))
  there = set(shards_there(Path(path), spec))
  return [i for i in range(manifest.num_shards(spec)) if i not in there]


def finalize(path: str | os.PathLike) -> None:
  """Marks a zoo finished; does nothing where it is.

  Raises:
    ZooError: shards are missing, by number; or their records do not agree.
  """
  path = Path(path)
  spec, document = manifest.read(path)
  if document["finished"]:
    return
  missing = missing_shards(path)
  if missing:
    count = manifest.num_shards(spec)
    raise ZooError(
        f"{path} lacks {len(missing)} of {count} shards:"
        f" {', '.join(map(str, missing))}; write them first"
    )
  records = [
      read_record(path, spec, i) for i in range(manifest.num_shards(spec))
  ]
  try:
    layout.check_records(spec, records)
  except ValueError as error:
    raise ZooError(
        f"{path}: {error}. Delete the folder of that shard and generate it"
        " again"
    ) from error
  for killed in (
      *files.leftovers(path / manifest.ZOO),
      *(path / manifest.SHARDS).glob(".*.tmp"),
  ):  # of writers; one that is alive has come too late
    if killed.is_dir():
      shutil.rmtree(killed, ignore_errors=True)
    else:
      killed.unlink(missing_ok=True)
  try:
    _write_zoo(path, spec, True, records, document["software"])
  except FileNotFoundError:
    if not manifest.read(path)[1]["finished"]:
      raise


def read_record(path: Path, spec: ZooSpec, index: int) -> dict:
  """What `shard.json` says of a shard: its rows, files and software.

  Raises:
    ZooError: it is missing, altered, or not a shard of that spec.
  """
  folder = manifest.shard_folder(path, index)
  file = folder / manifest.SHARD
  try:
    document, text = files.parse(file)
    files.check_seal(text)
    record = {name: document.get(name) for name in ("rows", "files")}
    if "software" in document:
      record["software"] = document["software"]
    layout.check_record(spec, index, record)
  except (ValueError, OSError) as error:
    raise ZooError(
        f"{file} cannot be used: {error}. Delete the folder {folder} and make"
        " the shard again"
    ) from error
  return record


def _taken(folder):
  if (folder / manifest.SHARD).is_file():
    return FileExistsError(
        f"{folder} is there already; a finished shard is never overwritten"
    )
  return FileExistsError(
      f"{folder} is there but is no finished shard: it lacks"
      f" {manifest.SHARD}; delete that folder and run again"
  )


def _write_zoo(path, spec, finished, records, software):
  document = {
      **spec.to_json(),
      "finished": finished,
      "software": software,
      "shards": records,
  }
  files.replace_text(path / manifest.ZOO, files.seal(document))


def _write_folder(folder, arrays, software):
  records = {
      f"{name}.npy": files.write_array(
          folder / f"{name}.npy", np.ascontiguousarray(array)
      )
      for name, array in arrays.items()
  }
  record = {"rows": len(next(iter(arrays.values()))), "files": records}
  if software is not None:
    record["software"] = software
  files.write_text(folder / manifest.SHARD, files.seal(record))
  files.sync_folder(folder)


def _check_order(spec, index, arrays):
  if spec.layout is not None:
    _check_layout(spec, index, arrays)
    return
  networks = np.array(manifest.shard_networks(spec, index), np.int32)
  steps = np.array(spec.snapshot_steps, np.int32)
  wanted = {
      "net_id": np.repeat(networks, len(steps)),
      "step": np.tile(steps, len(networks)),
  }
  for name, values in wanted.items():
    wrong = np.flatnonzero(arrays[name] != values)
    if len(wrong):
      row = wrong[0]
      raise UserError(
          f"shard {index}: array {name!r} is {arrays[name][row]} at row {row},"
          f" expected {values[row]}; rows are network-major: every snapshot of"
          " a network, then the next network"
      )


def _check_layout(spec, index, arrays):
  net_id, step = arrays["net_id"], arrays["step"]
  same = net_id[1:] == net_id[:-1]
  ordered = (net_id[1:] > net_id[:-1]) | (same & (step[1:] > step[:-1]))
  if not ordered.all():
    row = 1 + np.argmin(ordered)
    raise UserError(
        f"shard {index}: row {row} is network {net_id[row]} at step"
        f" {step[row]}, after network {net_id[row - 1]} at step"
        f" {step[row - 1]}; networks increase, and so do their steps"
    )
  known = np.isin(step, spec.snapshot_steps)
  inside = (net_id >= 0) & (net_id < spec.num_networks)
  networks = len(net_id) - np.sum(same)
  if networks != spec.layout[index].networks or not np.all(known & inside):
    raise UserError(
        f"shard {index} has {networks} networks from {net_id.min()} to"
        f" {net_id.max()} at steps {np.unique(step).tolist()}; its spec says"
        f" {spec.layout[index].networks} of {spec.num_networks} networks, at"
        f" some of the steps {list(spec.snapshot_steps)}"
    )
