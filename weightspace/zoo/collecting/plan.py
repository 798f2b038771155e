"""What a zoo of given networks will hold: all of it checked, none written."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from weightspace import tasks
from weightspace.errors import UserError
from weightspace.plugins import configure, nearest
from weightspace.rnn import make_rnn
from weightspace.tasks import TaskFamily, recorded
from weightspace.zoo import splits
from weightspace.zoo.collecting.inputs import Inputs
from weightspace.zoo.collecting.scanning import Row, Scanned
from weightspace.zoo.collecting.table import Columns, Table
from weightspace.zoo.integrity import COLLECTED
from weightspace.zoo.spec import ZooSpec

_SHARD_BYTES = 2**26


class Begun(NamedTuple):
  """What is known of a zoo before its networks are read.

  Attributes:
    config: fields of `recorded.Config`, without the networks' sizes.
    task: [R, D] float32, of rows of the table.
    rollouts: sequences of each row.
    seed: of those that networks write.
    sha256: of the table and of the inputs, by name.
  """

  config: dict[str, Any]
  task: np.ndarray
  rollouts: int
  seed: int
  sha256: dict[str, str]


class Plan(NamedTuple):
  """A zoo to be written.

  Attributes:
    spec: of the zoo.
    family: of its tasks.
    shards: the rows of each shard, numbers of rows of the table.
    task: [R, D], of rows of the table.
    sha256: [R], of networks.
  """

  spec: ZooSpec
  family: TaskFamily
  shards: list[list[int]]
  task: np.ndarray
  sha256: list[str]


def begin(
    rows: Sequence[Row],
    table: Table | None,
    columns: Columns,
    inputs: Inputs,
    *,
    split: tuple[str, ...],
    held_out: str,
    first: int | None,
    samples: int,
    seed: int,
) -> Begun:
  """Checks all that can be checked before networks are read.

  Args:
    rows: of the table, [R].
    table: of networks, or None.
    columns: of the zoo.
    inputs: that networks read.
    split: columns that are the task, or ("network",).
    held_out: see `recorded.Config`.
    first: see `recorded.Config`.
    samples: sequences that each network writes.
    seed: of these.

  Raises:
    UserError: the split cannot be made; by column and line.
  """
  if bool(samples) != (first is not None):
    raise UserError(
        f"samples={samples} and first={first}: name both, or neither; networks"
        " that read what they write begin with the token first"
    )
  if first is not None and inputs.kind == "real":
    raise UserError(
        f"first={first} is of networks that read the tokens they write, but"
        f" {inputs.name} has real inputs"
    )
  task = _tasks(rows, table, columns, split)
  config = {
      "length": inputs.shape[1], "kind": inputs.kind, "first": first,
      "split": split, "held_out": held_out,
      "accuracy": "accuracy" in columns.arrays,
      "categories": columns.categories,
  }  # fmt: skip
  # Of sizes that networks might have: tasks are the same for all
  size = max(2, 1 + (first or 0))
  family = _family({**config, "inputs": size, "outputs": size})
  novelty = np.asarray(jax.vmap(family.novelty)(task))
  try:
    splits.by_task(task, novelty, seed=0)
  except UserError as error:
    raise UserError(
        f"split={','.join(split)}: {error}; {recorded.NETWORK!r} splits by"
        " network"
    ) from error
  return Begun(
      config, task, inputs.shape[0] + samples, seed,
      {"table": _of_table(columns), "inputs": _of_inputs(inputs)},
  )  # fmt: skip


def make(
    rows: Sequence[Row], scanned: Scanned, begun: Begun, origin: dict[str, str]
) -> Plan:
  """The specification of the zoo, and what goes where.

  Args:
    rows: of the table, [R].
    scanned: what was seen of them.
    begun: what was known before.
    origin: where it all is from, for people.

  Raises:
    UserError: `first` is no token of these networks.
  """
  shape = scanned.shapes[0]
  config = {**begun.config, "inputs": shape.inputs, "outputs": shape.outputs}
  family = _family(config)
  rnns = tuple(dict.fromkeys(scanned.shapes))
  shards, layout = _shards(rows, scanned.shapes, rnns, begun.rollouts, config)
  sha256 = {"networks": _of_networks(rows, scanned), **begun.sha256}
  spec = ZooSpec(
      family="recorded",
      family_config=config,
      rnns=rnns,
      trainer={COLLECTED: {**origin, "sha256": sha256}},
      num_networks=len({row.net_id for row in rows}),
      shard_size=max(networks for _, networks, _ in layout),
      snapshot_steps=tuple(sorted({row.step for row in rows})),
      rollouts=begun.rollouts,
      seed=begun.seed,
      task_names=family.spec.task_names,
      metric_names=family.spec.metric_names,
      layout=layout,
  )
  family = tasks.make(spec.family, spec.family_config)  # as readers make it
  return Plan(spec, family, shards, begun.task, scanned.sha256)


def _family(config):
  return recorded.make(configure(recorded.Config, config, "the zoo"))


def _tasks(rows, table, columns, split):
  """[R, D] float32: the split columns, the same for all rows of a network."""
  net_id = np.array([row.net_id for row in rows])
  if split == (recorded.NETWORK,):
    return net_id[:, None].astype(np.float32)
  values = []
  for name in split:
    if name not in columns.arrays:
      known = [*columns.arrays, recorded.NETWORK]
      raise UserError(
          f"split: there is no column {name!r}{nearest(name, known)}; there"
          f" are: {', '.join(known)}"
      )
    column = columns.arrays[name].astype(np.float32)
    missing = column == -1 if name in columns.categories else np.isnan(column)
    for i in np.flatnonzero(missing):
      raise UserError(
          f"{table.where(i)}: {name} is empty, but the zoo is to be split by"
          " it; fill the cell or leave the row out"
      )
    _, first = np.unique(net_id, return_index=True)
    for i in np.flatnonzero(column != column[first[net_id]]):
      raise UserError(
          f"{table.where(i)} has another {name} than line"
          f" {table.lines[first[net_id[i]]]}, a snapshot of the same network,"
          " which so would be in two splits"
      )
    values.append(column)
  return np.stack(values, axis=1)


def _shards(rows, shapes, rnns, rollouts, config):
  """Rows of each shard, and the layout: network by network, shape by shape."""
  snapshots: dict[int, list[int]] = {}
  for i in sorted(range(len(rows)), key=lambda i: rows[i][2:]):
    snapshots.setdefault(rows[i].net_id, []).append(i)
  answers = 2 * config["length"] * config["outputs"]
  read = (config["length"] + 1) * (
      4 * config["inputs"] if config["kind"] == "real" else 4
  )
  shards, layout = [], []
  for shape, rnn in enumerate(rnns):
    row_bytes = 4 * make_rnn(rnn).size + rollouts * (answers + read)
    most = max(1, _SHARD_BYTES // row_bytes)
    networks = [r for r in snapshots.values() if shapes[r[0]] == rnn]
    for of_network in networks:
      new = not layout or layout[-1][0] != shape
      if new or layout[-1][2] + len(of_network) > most:
        shards.append([])
        layout.append((shape, 0, 0))
      shards[-1] += of_network
      layout[-1] = (shape, layout[-1][1] + 1, len(shards[-1]))
  return shards, tuple(layout)


# Checksums of what a zoo is made of, whatever it is called


def _of_networks(rows, scanned):
  digest = hashlib.sha256()
  for row, of_network in zip(rows, scanned.sha256):
    digest.update(f"{row.net_id} {row.step} {of_network}\n".encode())
  return digest.hexdigest()


def _of_table(columns):
  digest = hashlib.sha256(repr(columns.categories).encode())
  for name, column in columns.arrays.items():
    digest.update(name.encode() + column.tobytes())
  return digest.hexdigest()


def _of_inputs(inputs):
  digest = hashlib.sha256()
  for array in (inputs.inputs, inputs.lengths):
    digest.update(repr((array.shape, str(array.dtype))).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()
