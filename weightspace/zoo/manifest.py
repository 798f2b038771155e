"""What the folder of a zoo holds: names, rows, shapes, records.

    zoo.json                    schema version, spec, finished, shards, software
    shards/00000/shard.json     rows, and the record of each file
    shards/00000/weights.npy    [R, P] float32, torch's `parameters()` order
    shards/00000/sequences.npy  [R, K, ...] integers or reals
    shards/00000/log_probs.npy  [R, K, T, V] float16
    shards/00000/<column>.npy   [R, ...]: net_id, step, task, finite, metrics

Rows are network-major: all snapshots of a network, then the next network. All
shards hold the same arrays, so a later schema can give each its own RNN.
"""

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from weightspace.rnn import make_rnn
from weightspace.zoo import files
from weightspace.zoo.schema import ZooSpec, check_version

ZOO, SHARD, SHARDS = "zoo.json", "shard.json", "shards"
PAYLOAD = ("weights", "sequences", "log_probs")  # all else is a column
_KEYS = ("schema_version", "spec", "finished", "software", "shards")
_FILE = re.compile(r"[A-Za-z0-9_]+\.npy")


class ZooError(ValueError):
  """A folder that cannot be used as a zoo; the message says why."""


def num_shards(spec: ZooSpec) -> int:
  """How many shards a zoo of that specification has."""
  return -(-spec.num_networks // spec.shard_size)


def shard_networks(spec: ZooSpec, index: int) -> range:
  """The ids of the networks in a shard.

  Raises:
    ValueError: there is no such shard.
  """
  if not 0 <= index < num_shards(spec):
    raise ValueError(
        f"there is no shard {index}: {spec.num_networks} networks in shards"
        f" of {spec.shard_size} make the shards 0 to {num_shards(spec) - 1}"
    )
  start = index * spec.shard_size
  return range(start, min(start + spec.shard_size, spec.num_networks))


def shard_rows(spec: ZooSpec, index: int) -> int:
  """How many rows a shard has: its networks times the snapshots."""
  return len(shard_networks(spec, index)) * len(spec.snapshot_steps)


def shard_folder(path: Path, index: int) -> Path:
  """Where a shard is."""
  return Path(path) / SHARDS / f"{index:05d}"


def software() -> dict[str, str]:
  """Versions of what computes the contents of a zoo."""
  versions = {"python": platform.python_version()}
  for package in ("weightspace", "jax", "jaxlib", "numpy"):
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      versions[package] = "not installed"
  return versions


def read(path: Path) -> tuple[ZooSpec, dict[str, Any]]:
  """The specification and `zoo.json` of a zoo, finished or not.

  Raises:
    ZooError: not a zoo, of a newer schema, or altered.
  """
  path = Path(path)
  file = path / ZOO
  if not file.is_file():
    found = "no folder" if not path.is_dir() else f"a folder without {ZOO}"
    raise ZooError(
        f"{path} is not a zoo: there is {found}; `python -m"
        f" zoo_gen.generate --zoo={path} --config=...` makes one"
    )
  try:
    document, text = files.parse(file)
    check_version(document)
    files.check_seal(document, text)
    lacking = [name for name in _KEYS if name not in document]
    if lacking:
      raise ValueError(f"it lacks {', '.join(lacking)}")
    return ZooSpec.from_json(document), document
  except (ValueError, OSError) as error:
    raise ZooError(
        f"{file} cannot be used: {error}. If it was damaged, restore it from"
        " a copy"
    ) from error


def check_arrays(
    spec: ZooSpec, index: int, found: dict[str, tuple[tuple, np.dtype]]
) -> None:
  """Checks names, shapes and dtypes of the arrays of a shard.

  Args:
    spec: of the zoo.
    index: of the shard.
    found: name of each array -> (shape, dtype).

  Raises:
    ValueError: naming the array, what was found and what was expected.
  """
  rows = shard_rows(spec, index)
  size, outputs = make_rnn(spec.rnn).size, spec.rnn.outputs
  expected = {
      "weights": ((rows, size), "float32"),
      "sequences": ((rows, spec.rollouts, ...), None),
      "log_probs": ((rows, spec.rollouts, None, outputs), "float16"),
      "net_id": ((rows,), "int32"),
      "step": ((rows,), "int32"),
      "task": ((rows, len(spec.task_names)), None),
      "finite": ((rows,), "bool"),
      **dict.fromkeys(spec.metric_names, ((rows,), "float32")),
  }
  missing = sorted(expected.keys() - found.keys())
  if missing:
    raise ValueError(
        f"shard {index} lacks the arrays {', '.join(missing)}; it has"
        f" {', '.join(sorted(found))}"
    )
  for name, (shape, dtype) in found.items():
    wanted_shape, wanted_dtype = expected.get(name, ((rows, ...), None))
    if not _FILE.fullmatch(f"{name}.npy"):
      raise ValueError(
          f"shard {index}: {name!r} cannot name an array; take letters,"
          " digits and _"
      )
    if not _fits(shape, wanted_shape) or not _holds(dtype, wanted_dtype):
      raise ValueError(
          f"shard {index}: array {name!r} has shape {_show(shape)} and dtype"
          f" {dtype}, expected {_show(wanted_shape)} and"
          f" {wanted_dtype or 'numbers'}"
      )


def check_records(spec: ZooSpec, records: list[dict[str, Any]]) -> None:
  """Checks the records of all shards against the spec and one another.

  Raises:
    ValueError: naming the shard and what is wrong with its record.
  """
  if len(records) != num_shards(spec):
    raise ValueError(
        f"it records {len(records)} shards, expected {num_shards(spec)}"
    )
  layouts = []
  for index, record in enumerate(records):
    try:
      found = {}
      for file, entry in record["files"].items():
        if not _FILE.fullmatch(file):
          raise ValueError(
              f"shard {index}: {file!r} is not the plain name of an .npy file"
          )
        shape = tuple(int(n) for n in entry["shape"])
        found[file[: -len(".npy")]] = shape, np.dtype(entry["dtype"])
      rows = record["rows"]
    except (KeyError, TypeError, AttributeError) as error:
      raise ValueError(
          f"shard {index}: its record is malformed ({error!r})"
      ) from error
    check_arrays(spec, index, found)
    if rows != shard_rows(spec, index):
      raise ValueError(
          f"shard {index}: its record says {rows} rows, expected"
          f" {shard_rows(spec, index)}"
      )
    layouts.append({k: (s[1:], str(d)) for k, (s, d) in found.items()})
    for name in sorted(layouts[0].keys() | layouts[-1].keys()):
      first, this = layouts[0].get(name), layouts[-1].get(name)
      if first != this:
        raise ValueError(
            f"shard {index}: array {name!r} has rows of {this}, those of"
            f" shard 0 are {first}; all shards must agree"
        )


def _fits(shape, wanted):
  if wanted[-1] is ...:
    wanted = wanted[:-1]
    shape, rest = shape[: len(wanted)], shape[len(wanted) :]
    if 0 in rest:
      return False
  return len(shape) == len(wanted) and all(
      n > 0 and w in (None, n) for n, w in zip(shape, wanted)
  )


def _holds(dtype, wanted):
  if wanted is None:
    return dtype.kind in "biuf" and dtype.isnative
  return dtype == np.dtype(wanted)


def _show(shape):
  symbols = {None: "any", ...: "..."}
  return f"[{', '.join(str(symbols.get(n, n)) for n in shape)}]"
