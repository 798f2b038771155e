"""Whether a zoo is whole: its manifest, files, sizes, shapes and checksums."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from weightspace.io import files, npy
from weightspace.zoo import arrays, manifest, store
from weightspace.zoo.manifest import ZooError
from weightspace.zoo.spec import ZooSpec

# Fields of `ZooSpec.trainer`: where a zoo is from that was not trained here
IMPORTED, COLLECTED = "imported", "collected"


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
      check_records(path, spec, document)
  except ZooError as error:
    return [str(error)]
  lines = [] if document["finished"] else [unfinished(path, spec)]
  for of_shard in damage(path, spec, document).values():
    lines.extend(of_shard)
  return lines


def damage(path: Path, spec: ZooSpec, document: dict) -> dict[int, list[str]]:
  """Recomputes the checksums of the shards that are, or should be, there.

  Args:
    path: of the zoo.
    spec: its specification.
    document: its `zoo.json`; where that is finished, its records are trusted.

  Returns:
    What is wrong with each damaged shard, a line each that names its file.
  """
  finished = document["finished"]
  damaged = {}
  for index in (
      range(manifest.num_shards(spec))
      if finished
      else store.shards_there(path, spec)
  ):
    record, lines = document["shards"][index] if finished else None, []
    try:
      own = store.read_record(path, spec, index)
      if record is not None and own != record:
        folder = manifest.shard_folder(path, index)
        lines.append(
            f"{folder / manifest.SHARD} is not the record that"
            f" {manifest.ZOO} holds of this shard"
        )
      record = own if record is None else record
    except ZooError as error:
      lines.append(str(error))
    if record is not None:
      lines.extend(problems(path, index, record, checksums=True))
    if lines:
      damaged[index] = lines
  return damaged


def check_records(path: Path, spec: ZooSpec, document: dict) -> None:
  """ZooError when what `zoo.json` records is not a zoo of that spec."""
  try:
    arrays.check_records(spec, document["shards"])
  except ValueError as error:
    raise ZooError(f"{path / manifest.ZOO} cannot be used: {error}") from error


def unfinished(path: Path, spec: ZooSpec) -> str:
  """Says how much of a zoo is there and how to continue."""
  count, there = manifest.num_shards(spec), len(store.shards_there(path, spec))
  return (
      f"{path} is unfinished: {there} of {count} shards are there; continue"
      f" with {command(path, spec)}"
  )


def command(path: Path, spec: ZooSpec) -> str:
  """What makes the shards of a zoo that are missing."""
  if IMPORTED in spec.trainer:
    return f"`python -m zoo_gen.import_npy --zoo={path}` and its --source"
  if COLLECTED in spec.trainer:
    return (
        f"`python -m zoo_gen.collect --zoo={path}` and the flags it was begun"
        " with"
    )
  return (
      f"`python -m zoo_gen.generate --zoo={path}` and the --config it was"
      " begun with"
  )


def problems(
    path: Path, index: int, record: dict, *, checksums: bool
) -> Iterator[str]:
  """What is wrong with the files of a shard, each problem naming its file.

  Args:
    path: of the zoo.
    index: of the shard.
    record: what the zoo says of it.
    checksums: whether to read every byte, or sizes and headers only.
  """
  folder = manifest.shard_folder(path, index)
  if not folder.is_dir() or folder.is_symlink():
    yield f"{folder} is missing: shard {index} of the zoo"
    return
  for name, entry in record["files"].items():
    file = f"{folder}/{name}"  # a zoo has many: Paths would take longer
    try:
      status = os.lstat(file)
    except OSError:
      yield f"{file} is missing"
      continue
    # A link in an untrusted zoo could make its reader show other files
    if not stat.S_ISREG(status.st_mode):
      yield f"{file} is no regular file; links are not followed"
      continue
    if status.st_size != entry["bytes"]:
      yield f"{file} has {status.st_size} bytes, expected {entry['bytes']}"
      continue
    try:
      if checksums and files.sha256(file) != entry["sha256"]:
        yield f"{file} was altered: its sha256 is not the recorded one"
        continue
      header = npy.read_header(file)
    except (ValueError, OSError) as error:
      yield f"{file} is not an .npy array of numbers ({error})"
      continue
    if list(header.shape) != entry["shape"] or header.dtype != entry["dtype"]:
      yield (
          f"{file} holds {list(header.shape)} {header.dtype}, expected"
          f" {entry['shape']} {entry['dtype']}"
      )
