"""What the folder of a zoo holds, and `zoo.json`, which says so.

    zoo.json                    schema version, spec, finished, shards, software
    shards/00000/shard.json     rows, the record of each file, software
    shards/00000/weights.npy    [R, P] float32, torch's `parameters()` order
    shards/00000/sequences.npy  [R, K, ...] integers or reals
    shards/00000/log_probs.npy  [R, K, T, V] float16
    shards/00000/<column>.npy   [R, ...]: net_id, step, task, finite, metrics

Rows are network-major: all snapshots of a network, then the next network. All
shards hold the same arrays; networks of a shard have one shape, and where a zoo
has several, shards take turns, so that P differs between them. A spec with a
layout says of each shard which shape and how many networks and rows it has;
networks then have snapshots of their own, and any numbers below N that increase
within a shard.
"""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from weightspace.errors import UserError
from weightspace.io import files
from weightspace.recurrence import NO_KERNELS
from weightspace.rnn import RNNSpec
from weightspace.zoo.spec import ZooSpec, check_version

ZOO, SHARD, SHARDS = "zoo.json", "shard.json", "shards"
PAYLOAD = ("weights", "sequences", "log_probs")  # all else is a column
_KEYS = {
    "schema_version": int,
    "spec": dict,
    "finished": bool,
    "software": dict,
    "shards": list,
}


class ZooError(UserError):
  """A folder that cannot be used as a zoo; the message says why."""


def num_shards(spec: ZooSpec) -> int:
  """How many shards a zoo of that specification has."""
  return spec.num_shards


def shard_networks(spec: ZooSpec, index: int) -> range:
  """The ids of the networks in a shard.

  Raises:
    ValueError: there is no such shard, or the zoo has a layout, so that only
      the shard itself says it.
  """
  if spec.layout is not None:
    raise UserError(
        "the numbers of networks in a shard of a zoo with a layout are in its"
        " column net_id"
    )
  _check_index(spec, index)
  start = index * spec.shard_size
  return range(start, min(start + spec.shard_size, spec.num_networks))


def _check_index(spec, index):
  if not 0 <= index < num_shards(spec):
    raise UserError(
        f"there is no shard {index}: {spec.num_networks} networks in shards"
        f" of {spec.shard_size} make the shards 0 to {num_shards(spec) - 1}"
    )


def shard_rows(spec: ZooSpec, index: int) -> int:
  """How many rows a shard has: all snapshots of its networks."""
  _check_index(spec, index)
  if spec.layout is not None:
    return spec.layout[index].rows
  return len(shard_networks(spec, index)) * len(spec.snapshot_steps)


def shard_shape(spec: ZooSpec, index: int) -> int:
  """Which of the zoo's shapes, `spec.rnns`, the networks of a shard have."""
  if spec.layout is not None:
    return spec.layout[index].shape
  return index % len(spec.rnns)


def shard_rnn(spec: ZooSpec, index: int) -> RNNSpec:
  """The shape of the networks of a shard."""
  return spec.rnns[shard_shape(spec, index)]


def shard_folder(path: Path, index: int) -> Path:
  """Where a shard is."""
  return Path(path) / SHARDS / f"{index:05d}"


def software(
    packages: tuple[str, ...] = ("weightspace", "jax", "jaxlib", "numpy"),
    kernels: str = NO_KERNELS,
) -> dict[str, str]:
  """Versions of Python and of what computes the contents of a zoo.

  Args:
    packages: names of installed packages.
    kernels: of `weightspace.recurrence.kernels_name`.
  """
  versions = {"python": platform.python_version(), "kernels": kernels}
  for package in packages:
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      versions[package] = "not installed"
  return versions


def shard_software(document: dict[str, Any], record: dict[str, Any] | None):
  """What made a shard; older records lack it, and `zoo.json` says it of all.

  Args:
    document: `zoo.json`.
    record: of the shard, if it is known.

  Returns:
    Versions by name.
  """
  return {
      "kernels": NO_KERNELS,  # the oldest zoos do not say it
      **document["software"],
      **((record or {}).get("software") or {}),
  }


def read(path: Path) -> tuple[ZooSpec, dict[str, Any]]:
  """The specification and `zoo.json` of a zoo, finished or not.

  Raises:
    ZooError: not a zoo, of a newer schema, or altered.
  """
  path = Path(path)
  file = path / ZOO
  if not file.is_file():
    there = "no folder" if not path.is_dir() else f"a folder without {ZOO}"
    raise ZooError(
        f"{path} is not a zoo: there is {there}; `python -m"
        f" zoo_gen.generate --zoo={path} --config=...` trains one, `python -m"
        f" zoo_gen.collect --zoo={path} ...` makes one of your networks"
    )
  try:
    document, text = files.parse(file)
    check_version(document)
    files.check_seal(text)
    lacking = [name for name in _KEYS if name not in document]
    if lacking:
      raise UserError(f"it lacks {', '.join(lacking)}")
    for name, kind in _KEYS.items():
      if type(document[name]) is not kind:
        raise UserError(f"{name} is not of type {kind.__name__}")
    return ZooSpec.from_json(document), document
  except (ValueError, OSError) as error:
    raise ZooError(
        f"{file} cannot be used: {error}. If it was damaged, restore it from"
        " a copy"
    ) from error
