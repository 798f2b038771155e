"""Zoos as folders of the paper's authors; see `npy_layout`."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import settings, zoo
from weightspace.errors import UserError
from weightspace.exchange import npy_layout
from weightspace.exchange.npy_layout import COUNTED, FORMAL
from weightspace.io import files
from weightspace.progress import Progress
from weightspace.tasks import formal_language, tiled_mnist

_ROWS_AT_ONCE = 32


class Exported(NamedTuple):
  """What was written.

  Attributes:
    rows: how many.
    networks: how many.
    diverged: networks that were left out.
  """

  rows: int
  networks: int
  diverged: int


@settings.pinned()
def export_zoo(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    progress: Progress | None = None,
) -> Exported:
  """Writes a zoo as a folder that the authors' release can train on.

  Networks that diverged are left out, with all their snapshots: nothing in that
  layout could mark them.

  Args:
    path: of the zoo.
    out: the folder, which appears once it is complete.
    progress: silent by default.

  Raises:
    ZooError: there is no zoo that can be opened.
    ValueError: a zoo that the layout cannot hold; says why.
    FileExistsError: `out` is there and not an empty folder.
  """
  progress = progress or Progress.silent()
  opened = zoo.open(path)
  layout = _layout(opened)
  finite = opened.columns["finite"].reshape(opened.spec.num_networks, -1)
  sound = np.all(finite, axis=1)
  rows = np.flatnonzero(np.repeat(sound, finite.shape[1]))
  if not len(rows):
    raise UserError(
        f"all {len(finite)} networks of {path} diverged: there is nothing to"
        " export"
    )
  with files.new_folder(Path(out)) as folder:
    writers = {
        name: (folder / name).open("xb") for name in npy_layout.names(layout)
    }
    try:
      _write(opened, layout, rows, writers, progress)
    finally:
      for writer in writers.values():
        writer.close()
    args = json.dumps(_args(opened.spec, int(sound.sum())), indent=1)
    files.write_text(folder / npy_layout.ARGS, args + "\n")
  return Exported(len(rows), int(sound.sum()), int(np.sum(~sound)))


def _layout(opened):
  """The layout for a zoo; ValueError where it cannot hold one."""
  spec, rnn = opened.spec, opened.spec.rnn
  known = {layout.family: layout for layout in npy_layout.LAYOUTS}
  if spec.family not in known:
    raise UserError(
        f"{opened.path} is a zoo of the family {spec.family!r}; the authors'"
        f" layout is for {' and '.join(known)}"
    )
  if rnn.cell != "lstm" or len(set(rnn.hidden)) > 1:
    raise UserError(
        f"{opened.path} holds networks of {rnn.cell} cells with layers of"
        f" {list(rnn.hidden)}; the authors' layout holds torch.nn.LSTM only,"
        " all of whose layers have one size"
    )
  return known[spec.family]


def _write(opened, layout, rows, writers, progress):
  inputs_of = _pixels(opened) if layout.family != FORMAL else None
  with progress.stage("export", total=len(rows), unit="rows") as stage:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
      chosen = rows[start : start + _ROWS_AT_ONCE]
      arrays = _arrays(opened, layout, chosen, inputs_of)
      for name, array in arrays.items():
        if not start:
          _write_header(writers[name], array, len(rows))
        writers[name].write(np.ascontiguousarray(array).tobytes())
      stage.advance(len(chosen))


def _write_header(file, array, rows):
  np.lib.format.write_array_header_1_0(
      file,
      {
          "descr": np.lib.format.dtype_to_descr(array.dtype),
          "fortran_order": False,
          "shape": (rows, *array.shape[1:]),
      },
  )


def _arrays(opened, layout, rows, inputs_of: Callable | None):
  columns = {name: values[rows] for name, values in opened.columns.items()}
  seen = opened.rollouts(rows)
  run = columns.get("run", columns["net_id"]).astype(np.int64)
  step = columns["step"].astype(np.int64)
  arrays = {
      npy_layout.PARAMETERS: opened.vectors(rows),
      npy_layout.LOGITS: seen.log_probs,
  }
  if layout.family == FORMAL:
    share = columns["accuracy_counts"].astype(np.float64)
    counted = np.rint(COUNTED * share).astype(np.int64)
    correct = columns.get("correct", counted).astype(np.int64)
    task = columns["task"].astype(np.int64)
    return arrays | {
        npy_layout.SEQUENCES: seen.sequences.astype(np.int16),
        npy_layout.TASKS: np.pad(task, ((0, 0), (1, 0))),
        layout.table[0]: np.stack([run, step, correct], axis=1),
    }
  names = ("accuracy", "train_loss", "eval_loss", "weight_decay")
  measures = [columns[name].astype(np.float64) for name in names]
  return arrays | {
      npy_layout.SEQUENCES: inputs_of(columns["task"], seen.sequences),
      npy_layout.TASKS: columns["task"].astype(np.float64),
      layout.table[0]: np.stack([run, step], axis=1),
      layout.measures[0]: np.stack(measures, axis=1),
  }


def _pixels(opened):
  """(task [n, 1], sequences [n, K, ...]) -> what was read, [n, K, 50, 16]."""
  family = opened.family

  @jax.jit
  def read(data, task, sequences):
    encode = family.bound(data).encode
    inputs = jax.vmap(encode)(task, sequences).astype(jnp.float16)
    return jnp.swapaxes(inputs, 1, 2)

  def inputs_of(task, sequences):
    # The last ones are repeated, so that one compilation serves all
    at = np.minimum(np.arange(_ROWS_AT_ONCE), len(task) - 1)
    return np.asarray(read(family.data, task[at], sequences[at]))[: len(task)]

  return inputs_of


def _args(spec, networks):
  """The flags of the authors' programs, as far as there are such."""
  args = {
      "seed": spec.seed,
      "num_training_runs": networks,
      "rnn_hidden_size": spec.rnn.hidden[0],
      "rnn_num_layers": len(spec.rnn.hidden),
  }
  if spec.family != FORMAL:
    return args | {"tile_size": tiled_mnist.TILE}
  config = spec.family_config
  return args | {
      "num_tokens": len(formal_language.LETTERS),
      "sequence_length": config["length"],
      "max_n": config["max_n"],
      "one_hot_input": 1,
      "random_seq_prob": 0.0,
      "family_config": config,  # not a flag of theirs: the rest of ours
  }
