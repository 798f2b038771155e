"""The arrays that a shard must hold: names, shapes, dtypes."""

import functools
import re
from typing import Any

import numpy as np

from weightspace.errors import UserError
from weightspace.rnn import make_rnn
from weightspace.zoo.manifest import num_shards, shard_rnn, shard_rows
from weightspace.zoo.spec import ZooSpec

_FILE = re.compile(r"[A-Za-z0-9_]{1,200}\.npy")
_DTYPE = re.compile(r"bool|(u?int|float)\d{1,3}")
_ENTRY = {"shape": list, "dtype": str, "bytes": int, "sha256": str}


def check(
    spec: ZooSpec, index: int, arrays: dict[str, tuple[tuple, np.dtype]]
) -> None:
  """Checks names, shapes and dtypes of the arrays of a shard.

  Args:
    spec: of the zoo.
    index: of the shard.
    arrays: name of each array -> (shape, dtype).

  Raises:
    ValueError: naming the array, its shape and dtype, and the expected ones.
  """
  rows = shard_rows(spec, index)
  rnn = shard_rnn(spec, index)
  size, outputs = _size(rnn), rnn.outputs
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
  missing = sorted(expected.keys() - arrays.keys())
  if missing:
    raise UserError(
        f"shard {index} lacks the arrays {', '.join(missing)}; it has"
        f" {', '.join(sorted(arrays))}"
    )
  for name, (shape, dtype) in arrays.items():
    wanted_shape, wanted_dtype = expected.get(name, ((rows, ...), None))
    if not _FILE.fullmatch(f"{name}.npy"):
      raise UserError(
          f"shard {index}: {name!r} cannot name an array; take letters,"
          " digits and _"
      )
    if not _fits(shape, wanted_shape) or not _holds(dtype, wanted_dtype):
      raise UserError(
          f"shard {index}: array {name!r} has shape {_show(shape)} and dtype"
          f" {dtype}, expected {_show(wanted_shape)} and"
          f" {wanted_dtype or 'numbers'}"
      )


def check_record(
    spec: ZooSpec, index: int, record: dict[str, Any]
) -> dict[str, tuple]:
  """Checks the record of a shard against the spec.

  Returns:
    Name of each array -> (shape of a row, dtype).

  Raises:
    ValueError: naming the shard and what is wrong with its record.
  """
  arrays = {}
  try:
    for file, entry in record["files"].items():
      if not _FILE.fullmatch(file):
        raise UserError(
            f"shard {index}: {file!r} is not the plain name of an .npy file"
        )
      for name, kind in _ENTRY.items():
        if type(entry[name]) is not kind:
          raise TypeError(f"{name} of {file} is not of type {kind.__name__}")
      shape = tuple(entry["shape"])
      if any(type(n) is not int for n in shape):
        raise TypeError(f"the shape of {file} is {shape}")
      if not _DTYPE.fullmatch(entry["dtype"]):
        raise TypeError(f"the dtype of {file} is {entry['dtype']!r}")
      arrays[file.removesuffix(".npy")] = shape, np.dtype(entry["dtype"])
    rows = record["rows"]
    for name, version in record.get("software", {}).items():
      if not isinstance(version, str):
        raise TypeError(f"the version of {name!r} is {version!r}")
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(
        f"shard {index}: its record is malformed ({error!r})"
    ) from error
  check(spec, index, arrays)
  if rows != shard_rows(spec, index):
    raise UserError(
        f"shard {index}: its record says {rows} rows, expected"
        f" {shard_rows(spec, index)}"
    )
  return {name: (shape[1:], str(d)) for name, (shape, d) in arrays.items()}


def check_records(spec: ZooSpec, records: list[dict[str, Any]]) -> None:
  """Checks the records of all shards against the spec and one another.

  Raises:
    ValueError: naming the shard and what is wrong with its record.
  """
  if len(records) != num_shards(spec):
    raise UserError(
        f"it records {len(records)} shards, expected {num_shards(spec)}"
    )
  first = check_record(spec, 0, records[0])
  for index, record in enumerate(records):
    this = check_record(spec, index, record)
    # Shapes of networks may differ; `check` knows how long each vector is
    for name in sorted((first.keys() | this.keys()) - {"weights"}):
      if first.get(name) != this.get(name):
        raise UserError(
            f"shard {index}: array {name!r} has rows of {this.get(name)},"
            f" those of shard 0 are {first.get(name)}; all shards must agree"
        )


@functools.cache
def _size(rnn):
  return make_rnn(rnn).size


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
