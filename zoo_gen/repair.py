"""Makes the damaged shards of a zoo again, to the bit.

A shard follows from the zoo's specification, and `zoo.json` holds its
checksums, so a lost shard can be trained again and compared. It is made beside
the zoo and replaces the damaged one only if its checksums are the recorded
ones. A killed repair is resumed.
"""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from weightspace import zoo
from weightspace.errors import UserError
from weightspace.io import files, locks
from weightspace.progress import Progress
from weightspace.recurrence import NO_KERNELS, kernels_name
from weightspace.zoo import integrity, manifest, store
from zoo_gen import shards
from zoo_gen.trainer import Recipe

BROKEN = "broken"  # in the zoo's folder: what was replaced
_SCRATCH = "repair"  # in the zoo's folder: a zoo of the shards made again


def repair(
    path: str | os.PathLike,
    *,
    group: int | None = None,
    devices=None,
    progress: Progress | None = None,
) -> Iterator[str]:
  """Makes damaged shards of a zoo again; the others are left alone.

  Args:
    path: of the zoo; of an unfinished one, the shards that are there.
    group: that the zoo was made with; see `shards.generate`.
    devices: the same.
    progress: silent by default.

  Yields:
    A line for all that is found and done.

  Raises:
    ZooError: `zoo.json` is damaged, and nothing else says what the zoo is.
    ValueError: the zoo was not made here, or with other software, or what is
      made again is not what was lost, or another process is repairing it. Then
      nothing has changed.
  """
  path = Path(path)
  manifest.read(path)  # before anything is made in the folder of something else
  with locks.hold(path):
    yield from _repair(path, group, devices, progress or Progress.silent())


def _repair(path, group, devices, progress):
  spec, document = manifest.read(path)
  if document["finished"]:
    integrity.check_records(path, spec, document)
  files.refuse_links(*(path / n for n in (manifest.SHARDS, BROKEN, _SCRATCH)))
  damage = integrity.damage(path, spec, document)
  wanted = {i: _wanted(path, spec, document, i) for i in damage}
  lost = [i for i in damage if not _whole(path, i, wanted[i])]
  for line in (line for lines in damage.values() for line in lines):
    yield f"damaged: {line}"
  if lost:
    _check_origin(path, spec, document, [wanted[i] for i in lost])
    for kernels, indices in _by_kernels(document, wanted, lost).items():
      shards.generate(
          path / _SCRATCH,
          spec,
          progress=progress,
          group=group,
          kernels=kernels,
          devices=devices,
          only=indices,
      )
    for index in lost:
      _check_made(path, spec, index, wanted[index])
  for index in damage:
    folder = manifest.shard_folder(path, index)
    if index in lost:
      if folder.exists():
        yield f"moved {folder} aside to {_move_aside(path, folder)}"
      manifest.shard_folder(path / _SCRATCH, index).rename(folder)
      yield f"made shard {index} again: {_how_sure(wanted[index])}"
    else:
      record = folder / manifest.SHARD
      if record.exists():
        yield f"moved {record} aside to {_move_aside(path, record)}"
      files.write_text(record, files.seal(wanted[index]))
      yield f"wrote {record} again, from the copy in {manifest.ZOO}"
    files.sync_folder(folder.parent)
  shutil.rmtree(path / _SCRATCH, ignore_errors=True)
  if not damage:
    yield f"nothing to repair in {path}"


def _wanted(path, spec, document, index):
  """The record of a shard as it should be, None where nobody knows."""
  if document["finished"]:
    return document["shards"][index]
  try:
    return store.read_record(path, spec, index)
  except zoo.ZooError:
    return None


def _whole(path, index, record):
  """Whether nothing but the shard's own copy of its record is damaged."""
  return record is not None and not any(
      integrity.problems(path, index, record, checksums=True)
  )


def _by_kernels(document, wanted, indices):
  """Indices of shards by whether kernels made them."""
  groups = {}
  for index in indices:
    software = manifest.shard_software(document, wanted[index])
    groups.setdefault(software["kernels"] != NO_KERNELS, []).append(index)
  return groups


def _check_origin(path, spec, document, records):
  """ValueError where these shards cannot be made here."""
  fields = {field.name for field in dataclasses.fields(Recipe)}
  # Older recipes have fewer fields
  if not spec.trainer or spec.trainer.keys() - fields:
    raise UserError(
        f"{path} cannot be repaired: it was not trained by this software, its"
        f" recipe is {spec.trainer or 'empty'}; restore it from a copy or"
        " import it again"
    )
  others = {}
  for record in records:
    recorded = manifest.shard_software(document, record)
    kernels = kernels_name(recorded["kernels"] != NO_KERNELS)
    for name, version in manifest.software(kernels=kernels).items():
      # What the shard was made with is not known where it is not recorded
      if name != "python" and recorded.get(name, version) != version:
        others[f"{name} {recorded[name]} (here: {version})"] = None
  if others:
    raise UserError(
        f"{path} cannot be repaired to the bit: it was made with"
        f" {', '.join(others)}; install these and repair it again. Kernels are"
        " the same where their sources, the compiler and the processor are"
    )


def _check_made(path, spec, index, wanted):
  made = store.read_record(path / _SCRATCH, spec, index)
  if wanted is None:
    return
  if all(made[name] == wanted[name] for name in ("rows", "files")):
    record = manifest.shard_folder(path / _SCRATCH, index) / manifest.SHARD
    files.replace_text(record, files.seal(wanted))
    return
  shutil.rmtree(path / _SCRATCH)
  differ = [
      name
      for name in sorted(made["files"].keys() | wanted["files"].keys())
      if made["files"].get(name) != wanted["files"].get(name)
  ]
  raise UserError(
      f"shard {index} of {path}, made again, is not the one that was lost:"
      f" {', '.join(differ)} differ. It was made with another --group, on"
      " another number or kind of devices, or was changed after it was made;"
      " nothing has been replaced"
  )


def _how_sure(wanted):
  return (
      "nobody knows what it was" if wanted is None else "the same to the bit"
  )


def _move_aside(path, what):
  folder = path / BROKEN
  folder.mkdir(exist_ok=True)
  name = "-".join(what.relative_to(path / manifest.SHARDS).parts)
  taken = {file.name for file in folder.iterdir()}
  free = next(
      f"{name}-{i}" for i in range(1, len(taken) + 2)
      if f"{name}-{i}" not in taken
  )  # fmt: skip
  what.rename(folder / free)
  files.sync_folder(folder)
  return folder / free
