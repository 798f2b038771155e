"""What a zoo of given networks will hold: all of it checked, none written."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from weightspace import tasks
from weightspace.errors import UserError
from weightspace.plugins import configure, nearest
from weightspace.progress import Progress
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import TaskFamily, recorded
from weightspace.zoo import splits
from weightspace.zoo.collecting import networks as networks_lib
from weightspace.zoo.collecting.inputs import OUTPUTS, Inputs
from weightspace.zoo.collecting.networks import Parts
from weightspace.zoo.collecting.table import Columns
from weightspace.zoo.integrity import COLLECTED
from weightspace.zoo.spec import ZooSpec

_SHARD_BYTES = 2**26


class Row(NamedTuple):
  """A network after some step of its training."""

  model: Any  # see `networks.load`
  where: str  # for messages
  net_id: int
  step: int


class Scanned(NamedTuple):
  """What was seen of the networks, row by row."""

  shapes: list[RNNSpec]
  sha256: list[str]
  finite: np.ndarray  # [R] bool


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


def scan(
    rows: Sequence[Row], parts: Parts, inputs: Inputs, progress: Progress
) -> Scanned:
  """Reads every network once, and keeps none.

  Raises:
    UserError: one is not supported, or networks do not fit one another or the
      inputs; by name.
  """
  shapes, digests, finite = [], [], []
  first_shape: dict[int, int] = {}
  with progress.stage(
      "check networks", total=len(rows), unit="files"
  ) as stage:
    for i, row in enumerate(rows):
      one = networks_lib.load(
          row.model, parts, row.where, _verify_with(inputs, i, row.net_id)
      )
      shapes.append(one.rnn)
      digests.append(one.sha256)
      finite.append(bool(np.isfinite(one.weights).all()))
      _check_alike(rows, shapes, first_shape.setdefault(row.net_id, i))
      if i == 0:
        _check_reads(row, one.rnn, inputs)
      stage.advance()
  if not any(finite):
    raise UserError(
        f"no network has finite weights, such as {rows[0].where}: there is"
        " nothing to learn from"
    )
  return Scanned(shapes, digests, np.array(finite))


def _verify_with(inputs, i, net_id):
  if inputs.outputs is None or i >= len(inputs.outputs):
    return None
  read, lengths = (array[0] for array in inputs.of(np.array([net_id])))
  steps = lengths.min()  # what comes after padding is not compared
  return read[:, :steps], inputs.outputs[i][:, :steps]


def _check_alike(rows, shapes, first):
  """The newest of the shapes beside those of the same network and of all."""
  row, shape = rows[len(shapes) - 1], shapes[-1]
  if shape != shapes[first]:
    raise UserError(
        f"{row.where} and {rows[first].where} are snapshots of one network, but"
        f" have the shapes {shape} and {shapes[first]}"
    )
  sizes = [(s.inputs, s.outputs) for s in (shape, shapes[0])]
  if sizes[0] != sizes[1]:
    raise UserError(
        f"{row.where} has {sizes[0][0]} inputs and {sizes[0][1]} outputs, but"
        f" {rows[0].where} has {sizes[1][0]} and {sizes[1][1]}; all networks of"
        " a zoo read and answer the same"
    )


def _check_reads(row, shape, inputs):
  """Whether networks of that shape can read the inputs and answer."""
  if shape.outputs < 2:
    raise UserError(
        f"{row.where} has one output; networks must have one for each class"
        " that they choose from, at least two, because their answers are"
        " compared as distributions (of two classes, the logits 0 and x say"
        " the same as a sigmoid of x)"
    )
  array, size = inputs.inputs, shape.inputs
  if inputs.kind == "real" and array.shape[-1] != size:
    raise UserError(
        f"{inputs.name}: inputs have shape {list(array.shape)}, so their last"
        f" axis is {array.shape[-1]}, but {row.where} has {size} inputs"
    )
  if inputs.kind == "token":
    every, lengths = inputs.inputs, inputs.lengths
    if inputs.each is not None and lengths.ndim == 1:
      lengths = lengths[None]
    there = np.arange(inputs.shape[1]) < lengths[..., None]
    most = np.max(every, initial=0, where=there)
    if most >= size:
      raise UserError(
          f"{inputs.name}: tokens go up to {most}, but {row.where} reads"
          f" tokens 0 to {size - 1}"
      )


def check_inputs(inputs: Inputs, networks: int, rows: int) -> None:
  """Checks that there are inputs, and perhaps outputs, of as many as that."""
  if inputs.each not in (None, networks):
    raise UserError(
        f"{inputs.name}: inputs have shape {list(inputs.inputs.shape)}, so they"
        f" are of {inputs.each} networks, but there are {networks}; without"
        " that axis they are for all networks"
    )
  outputs = inputs.outputs
  if outputs is None:
    return
  if outputs.dtype.kind != "f" or outputs.ndim != 4 or (
      len(outputs) > rows or outputs.shape[1:3] != inputs.shape
  ):
    raise UserError(
        f"{inputs.name}: {OUTPUTS} have shape {list(outputs.shape)} and dtype"
        f" {outputs.dtype}, expected logits [n, K, T, V] of the first n of"
        f" {rows} rows of the table (files, without one) with K, T ="
        f" {inputs.shape}"
    )


def make(
    rows: Sequence[Row],
    scanned: Scanned,
    columns: Columns,
    inputs: Inputs,
    *,
    split: tuple[str, ...],
    held_out: str,
    first: int | None,
    samples: int,
    seed: int,
    origin: dict[str, str],
) -> Plan:
  """The specification of the zoo, and what goes where.

  Args:
    rows: of the table, [R].
    scanned: what was seen of them.
    columns: of the zoo.
    inputs: that networks read.
    split: columns that are the task, or ("network",).
    held_out: see `recorded.Config`.
    first: see `recorded.Config`.
    samples: sequences that each network writes.
    seed: of these.
    origin: where it all is from, for people.

  Raises:
    UserError: the split cannot be made; by column and row.
  """
  shape = scanned.shapes[0]
  config = {
      "inputs": shape.inputs, "outputs": shape.outputs,
      "length": inputs.shape[1], "kind": inputs.kind, "first": first,
      "split": split, "held_out": held_out,
      "accuracy": "accuracy" in columns.arrays,
      "categories": columns.categories,
  }  # fmt: skip
  if bool(samples) != (first is not None):
    raise UserError(
        f"samples={samples} and first={first}: name both, or neither; networks"
        " that read what they write begin with the token first"
    )
  family = recorded.make(configure(recorded.Config, config, "the zoo"))
  task = _tasks(rows, columns, split)
  novelty = np.asarray(jax.vmap(family.novelty)(task))
  try:
    splits.by_task(task, novelty, seed=0)
  except UserError as error:
    raise UserError(
        f"split={','.join(split)}: {error}; {recorded.NETWORK!r} splits by"
        " network"
    ) from error
  rollouts = inputs.shape[0] + samples
  rnns = tuple(dict.fromkeys(scanned.shapes))
  shards, layout = _shards(rows, scanned.shapes, rnns, rollouts, config)
  spec = ZooSpec(
      family="recorded",
      family_config=config,
      rnns=rnns,
      trainer={
          COLLECTED: {**origin, "sha256": _sha256(rows, scanned, columns,
                                                  inputs)}
      },
      num_networks=len({row.net_id for row in rows}),
      shard_size=max(networks for _, networks, _ in layout),
      snapshot_steps=tuple(sorted({row.step for row in rows})),
      rollouts=rollouts,
      seed=seed,
      task_names=family.spec.task_names,
      metric_names=family.spec.metric_names,
      layout=layout,
  )  # fmt: skip
  family = tasks.make(spec.family, spec.family_config)  # as readers make it
  return Plan(spec, family, shards, task, scanned.sha256)


def _tasks(rows, columns, split):
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
          f"{rows[i].where} has no {name}, by which the zoo is to be split;"
          " fill the cell or leave the row out"
      )
    _, first = np.unique(net_id, return_index=True)
    for i in np.flatnonzero(column != column[first[net_id]]):
      raise UserError(
          f"{rows[i].where} has another {name} than"
          f" {rows[first[net_id[i]]].where}, a snapshot of the same network,"
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


def _sha256(rows, scanned, columns, inputs):
  """What the zoo is made of, whatever it is called."""
  of_networks = hashlib.sha256()
  for row, digest in zip(rows, scanned.sha256):
    of_networks.update(f"{row.net_id} {row.step} {digest}\n".encode())
  of_table = hashlib.sha256(repr(columns.categories).encode())
  for name, column in columns.arrays.items():
    of_table.update(name.encode() + column.tobytes())
  of_inputs = hashlib.sha256()
  for array in (inputs.inputs, inputs.lengths):
    of_inputs.update(repr((array.shape, str(array.dtype))).encode())
    of_inputs.update(np.ascontiguousarray(array).tobytes())
  return {
      "networks": of_networks.hexdigest(),
      "table": of_table.hexdigest(),
      "inputs": of_inputs.hexdigest(),
  }
