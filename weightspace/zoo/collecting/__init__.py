"""Zoos of networks that exist: files, what they read, and a table of them.

    spec = weightspace.zoo.from_networks(
        "zoo", "runs/*/model.pt", "inputs.npz", "runs.csv", split=["delay"]
    )

Everything is read and checked first; only then is anything written. Networks
are read one shard at a time. Run again after it was killed, it goes on.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weightspace import settings
from weightspace.errors import UserError
from weightspace.fields import check_seed
from weightspace.io import locks
from weightspace.progress import Progress
from weightspace.tasks import recorded
from weightspace.zoo import manifest, store
from weightspace.zoo.collecting import answers, existing, plan, scanning
from weightspace.zoo.collecting import inputs as inputs_lib
from weightspace.zoo.collecting import networks as networks_lib
from weightspace.zoo.collecting import table as table_lib
from weightspace.zoo.collecting.networks import Parts
from weightspace.zoo.collecting.summary import summary
from weightspace.zoo.integrity import COLLECTED
from weightspace.zoo.spec import ZooSpec

__all__ = ["Parts", "from_networks", "summary"]

_PARTS = Parts()
_CONSUMED = (table_lib.FILE, table_lib.NETWORK, table_lib.STEP)


@settings.pinned()
def from_networks(
    path: str | os.PathLike,
    networks: str | os.PathLike | Sequence[Any] | None,
    inputs: str | os.PathLike | Mapping[str, np.ndarray],
    table: str | os.PathLike | Mapping[str, Sequence[Any]] | None = None,
    *,
    split: Sequence[str] = (recorded.NETWORK,),
    held_out: str = "random",
    accuracy: str | None = None,
    first: int | None = None,
    samples: int = 0,
    parts: Parts = _PARTS,
    seed: int = 0,
    progress: Progress | None = None,
) -> ZooSpec:
  """Makes a zoo of networks, of what they read and of what is known of them.

  Args:
    path: of the zoo; made if it is not there.
    networks: a pattern of files such as "runs/*/model.pt"; or a list of files,
      torch modules, state dicts, parameters of Flax or `interop.Network`s; or
      None, where the table has a column "file". Files are `.safetensors`, or
      pickles of torch that `weights_only` reads.
    inputs: an `.npz` file, or arrays by name. "inputs" are integer tokens
      [K, T] or reals [K, T, I] that all networks read, or have a first axis N,
      of the networks in the order of the table. "lengths", [K] or [N, K], say
      where padding begins. "outputs", [n, K, T, V], are logits of the models
      themselves, those of the first n rows of the table (files, without one),
      with which the networks that were read are compared.
    table: a CSV file, or columns by name, with a row for each file. Its column
      "file", relative to the table or to the working directory, says which;
      without it, rows are in the order of the list or of the sorted pattern.
      Rows with the same "network" are snapshots of one network, saved after
      "step" steps of training. All other columns become columns of the zoo:
      numbers float32, text int32 codes of `TaskSpec.categories`.
    split: columns whose values are the task: rows of one task are in one split.
      By default, each network is a task.
    held_out: which tasks are held out: "random" ones, or those of the "highest"
      values of the first split column.
    accuracy: the column of accuracies from 0 to 1, if there is one.
    first: the first token of what networks write, where they read what they
      write.
    samples: sequences that each network writes, beside the inputs.
    parts: where the network is in each file, see `interop.torch.load`.
    seed: of the samples.
    progress: silent by default.

  Returns:
    The specification of the zoo. Networks are numbered in the order of the
    table.

  Raises:
    UserError: something cannot be read or does not fit; names file, column and
      line. Nothing has been written then.
    FileExistsError: another zoo, or something else, is at `path`.
    OSError: a file cannot be read.
  """
  progress = progress or Progress.silent()
  check_seed(seed)
  known = None if table is None else table_lib.read(table)
  models, order = networks_lib.find(networks, known)
  net_id, step = networks_lib.numbers(known, len(models))
  columns = table_lib.Columns({}, {})
  if known is not None:
    names = [name for name in known.cells if name not in _CONSUMED]
    columns = table_lib.columns(known, names, accuracy)
  elif accuracy is not None:
    raise UserError(
        f"accuracy={accuracy} names a column, but there is no table"
    )
  read = inputs_lib.read(inputs)
  scanning.check_inputs(read, 1 + int(net_id.max()), len(models))
  rows = [
      scanning.Row(model, _where(model, i, known), *numbers)
      for i, (model, *numbers) in enumerate(
          zip(models, net_id.tolist(), step.tolist())
      )
  ]
  path = Path(path)
  begun = plan.begin(
      rows, known, columns, read, split=tuple(split), held_out=held_out,
      first=first, samples=samples, seed=seed,
  )  # fmt: skip
  existing.find(path, begun)
  planned = plan.make(
      rows, scanning.scan(rows, parts, read, progress), begun,
      {
          "networks": networks_lib.origin(networks, models),
          "table": order,
          "inputs": read.name,
      },
  )  # fmt: skip
  planned = _going_on(path, planned, begun)
  store.create(path, planned.spec)
  with locks.hold(path):
    _write(path, planned, rows, parts, columns, read, progress)
  return planned.spec


def _going_on(path, planned, begun):
  """A plan with the names that a zoo already has for what it is made of."""
  of_networks = planned.spec.trainer[COLLECTED]["sha256"]["networks"]
  there = existing.find(path, begun, of_networks)
  if there is None:
    return planned
  spec = dataclasses.replace(planned.spec, trainer=there.trainer)
  return planned._replace(spec=spec)


def _where(model, row, known):
  if isinstance(model, str | os.PathLike):
    return str(model)
  return f"network {row}" if known is None else known.where(row)


def _write(path, planned, rows, parts, columns, read, progress):
  spec, family = planned.spec, planned.family
  missing = store.missing_shards(path)
  left = sum(manifest.shard_rows(spec, index) for index in missing)
  with progress.stage(
      "write zoo", total=len(rows), unit="rows", initial=len(rows) - left
  ) as stage:
    answer = None
    for index in missing:
      shape = manifest.shard_rnn(spec, index)
      if answer is None or shape != manifest.shard_rnn(spec, index - 1):
        answer = answers.make(spec, family, shape, read)
      chosen = planned.shards[index]
      net_id = np.array([rows[i].net_id for i in chosen], np.int32)
      step = np.array([rows[i].step for i in chosen], np.int32)
      task = planned.task[chosen]
      vectors = np.stack([
          _read_again(rows[i], parts, planned.sha256[i]) for i in chosen
      ])
      sequences, log_probs = answer(vectors, net_id, step, task, stage.advance)
      finite = np.isfinite(vectors).all(axis=1)
      _check_answers(log_probs, finite, [rows[i] for i in chosen])
      store.write_shard(path, index, {
          "weights": vectors,
          "sequences": sequences,
          "log_probs": log_probs,
          "net_id": net_id,
          "step": step,
          "task": task,
          "finite": finite,
          **{name: array[chosen] for name, array in columns.arrays.items()},
      })  # fmt: skip
  store.finalize(path)


def _read_again(row, parts, sha256):
  one = networks_lib.load(row.model, parts, row.where)
  if one.sha256 != sha256:
    raise UserError(f"{row.where} has changed while it was read; run again")
  return one.weights


def _check_answers(log_probs, finite, rows):
  sound = ~np.isnan(log_probs).any(axis=(1, 2, 3))
  for i in np.flatnonzero(finite & ~sound):
    raise UserError(
        f"{rows[i].where} answers NaN on some inputs, though its weights are"
        " finite; leave it out, or scale the inputs down"
    )
