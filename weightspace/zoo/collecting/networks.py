"""Networks in files: which there are, and their weights as vectors."""

import glob
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from weightspace.errors import UserError
from weightspace.interop import ArgumentNames, Network, flax, tensors, torch
from weightspace.rnn import RNNSpec
from weightspace.zoo.collecting import table as table_lib
from weightspace.zoo.collecting.table import FILE, Table

_KERNELS = ("kernel", "embedding")  # leaves of Flax that torch does not have


class Parts(NamedTuple):
  """Where a network is in its file; see `interop.torch.load`.

  Attributes:
    recurrent: names of recurrent modules, or None.
    readout: name of the `Linear`, or None.
    embedding: name of the input layer, "none", or None.
    names: what messages call these.
  """

  recurrent: str | Sequence[str] | None = None
  readout: str | None = None
  embedding: str | None = None
  names: ArgumentNames = ArgumentNames(verify_with="outputs")


class Vector(NamedTuple):
  """One network, as a zoo stores it."""

  rnn: RNNSpec
  weights: np.ndarray  # [P] float32
  sha256: str  # of both


def find(networks: Any, table: Table | None) -> tuple[list[Any], str]:
  """The networks of a zoo, in the order of its table.

  Args:
    networks: a pattern such as "runs/*/model.pt"; or a list of paths, modules
      or parameters; or None, where the table has a column of files.
    table: of them, or None.

  Returns:
    Paths or others, one for each row of the table; and which row belongs to
    which, in words.

  Raises:
    UserError: files and rows do not belong together, by name.
  """
  if isinstance(networks, str | os.PathLike):
    pattern = os.fspath(networks)
    listed = [Path(file) for file in sorted(glob.glob(pattern, recursive=True))]
    if not listed:
      raise UserError(
          f"no file is called {pattern}; quote the pattern, so that the shell"
          " does not expand it"
      )
  else:
    if isinstance(networks, Mapping | Network) or (
        networks is not None and not isinstance(networks, Iterable)
    ) or hasattr(networks, "state_dict"):
      raise UserError(
          "networks must be a pattern of files or a list of networks, got one"
          f" {type(networks).__name__}"
      )
    listed = None if networks is None else list(networks)
    if not listed and (table is None or FILE not in table.cells):
      raise UserError(
          "there are no networks: name a pattern of files, or a table with a"
          f" column {FILE!r}"
      )
  if table is None:
    return listed, "no table"
  if FILE not in table.cells:
    if len(listed) != len(table.lines):
      advice = "each network needs its row, in the order of the list"
      if _are_files(listed):
        advice = f"add a column {FILE!r} with the path of each"
      raise UserError(
          f"{table.name} has {len(table.lines)} rows, but there are"
          f" {len(listed)} networks; {advice}"
      )
    return listed, f"rows of {table.name} in the order of the files"
  if listed is not None and not _are_files(listed):
    raise UserError(
        f"{table.name} has a column {FILE!r}, but the networks are no files:"
        " leave that column out, or name a pattern of files"
    )
  return _by_file(table, listed), f"column {FILE!r} of {table.name}"


def origin(networks: Any, models: Sequence[Any]) -> str:
  """What a zoo's networks are from, in words; see `find`."""
  if isinstance(networks, str | os.PathLike):
    return os.fspath(networks)
  return f"{len(models)} {'files' if _are_files(models) else 'models'}"


def _are_files(networks):
  return all(isinstance(one, str | os.PathLike) for one in networks)


def _by_file(table, listed):
  rows: dict[Path, int] = {}
  paths = []
  for row, text in enumerate(table.cells[FILE]):
    if not text:
      raise UserError(
          f"{table.where(row)}: {FILE} is empty; it is the path of a network"
      )
    beside = Path(table.name).parent / text
    path = beside if beside.is_file() else Path(text)
    if not path.is_file():
      raise UserError(
          f"{table.where(row)}: {FILE} {text!r} is not there, neither from the"
          " folder of the table nor from the working directory"
      )
    first = rows.setdefault(path.resolve(), row)
    if first != row:
      raise UserError(
          f"{table.where(row)}: {FILE} {text!r} is in line"
          f" {table.lines[first]} too; each file has one row"
      )
    paths.append(path)
  if listed is not None:
    wanted = {Path(file).resolve(): file for file in listed}
    lacking = [file for path, file in wanted.items() if path not in rows]
    others = [text for path, text in zip(rows, paths) if path not in wanted]
    if lacking or others:
      raise UserError(
          f"{table.name} and the pattern of networks name other files:"
          f" {len(lacking)} have no row, such as"
          f" {lacking[0] if lacking else 'none'}; {len(others)} rows are of"
          f" other files, such as {others[0] if others else 'none'}"
      )
  return paths


def numbers(
    table: Table | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """Which network each row is of, and after which step.

  Args:
    table: which may have columns "network" and "step".
    count: of rows, R.

  Returns:
    net_id and step, [R] int32 each.

  Raises:
    UserError: a network has two rows of the same step.
  """
  cells = {} if table is None else table.cells
  net_id, step = np.arange(count, dtype=np.int32), np.zeros(count, np.int32)
  if table_lib.NETWORK in cells:
    net_id = table_lib.groups(table, table_lib.NETWORK)
  if table_lib.STEP in cells:
    step = table_lib.integers(table, table_lib.STEP)
  seen: dict[tuple[int, int], int] = {}
  for row, pair in enumerate(zip(net_id.tolist(), step.tolist())):
    first = seen.setdefault(pair, row)
    if first != row:
      raise UserError(
          f"{table.where(row)} and line {table.lines[first]} are the same"
          f" network at step {pair[1]}; a column {table_lib.STEP!r} says after"
          " how many steps of training each file was saved"
      )
  return net_id, step


def load(
    model: Any, parts: Parts, where: str, verify_with: Any = None
) -> Vector:
  """Reads a network; whatever `interop` reads.

  Args:
    model: a path; or an `interop.Network`, a module, a state dict, or
      parameters of Flax.
    parts: where the network is in it.
    where: what messages call it.
    verify_with: inputs and outputs to compare it with, see `interop`.

  Raises:
    UserError: it is not supported; naming it.
    OSError: it cannot be read.
  """
  try:
    rnn, weights = _network(model, parts, verify_with)
  except UserError as error:
    prefix = "" if where in str(error) else f"{where}: "
    raise UserError(f"{prefix}{error}") from error
  vectors = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(weights)]
  vector = np.concatenate(vectors, dtype=np.float32)
  if vector.shape != (rnn.size,):
    raise UserError(
        f"{where} has {vector.size} weights, expected {rnn.size} of one"
        f" {rnn.spec}"
    )
  digest = hashlib.sha256(repr(rnn.spec).encode())
  digest.update(vector.tobytes())
  return Vector(rnn.spec, vector, digest.hexdigest())


def _network(model, parts, verify_with):
  if isinstance(model, Network):
    return model
  params = model if isinstance(model, Mapping) else {}
  if isinstance(model, str | os.PathLike):
    path = Path(model)
    if path.suffix == ".safetensors":
      model = tensors.read(path)
      if any(name.endswith(_KERNELS) for name in model):
        params = _nested(model)
  settings = {
      "readout": parts.readout, "embedding": parts.embedding,
      "verify_with": verify_with,
  }  # fmt: skip
  if any(isinstance(child, Mapping) for child in params.values()):
    return flax.load(params, layers=parts.recurrent, **settings)
  return torch.load(
      model, recurrent=parts.recurrent, names=parts.names, **settings
  )


def _nested(arrays):
  """Parameters of Flax out of arrays called "layers_0/cell/hi/kernel"."""
  tree: dict[str, Any] = {}
  for name, array in arrays.items():
    node = tree
    *path, leaf = name.replace(".", "/").split("/")
    for part in path:
      node = node.setdefault(part, {})
    node[leaf] = array
  return tree
