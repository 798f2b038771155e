"""Whether a zoo is what it says: its rows computed once more.

Checksums tell whether a zoo is the one that was written; this tells whether
what was written is true. A shard's weights, task and keys determine all else
in it, so any row can be checked by itself.
"""

import collections
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from weightspace import plugins, precision, settings, zoo
from weightspace.exchange import imported
from weightspace.progress import Progress
from weightspace.zoo import collecting, integrity, loader, manifest, replay
from zoo_gen.trainer import Recipe, make_row

# Another order of the sums of a matrix product changes a logit's last bits,
# and with them, once in some thousand strings, a symbol that is drawn.
METRIC_TOLERANCE = {"rtol": 1e-2, "atol": 5e-3}
_ROWS_AT_ONCE = 8
_BYTES_AT_ONCE = 2**26


class Report(NamedTuple):
  """What was looked at and what is wrong.

  Attributes:
    summary: (what, how much) in words.
    problems: a line each, naming the file or row.
  """

  summary: list[tuple[str, str]]
  problems: list[str]


@settings.pinned()
def inspect(
    path: str | os.PathLike,
    *,
    sample: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
  """Recomputes checksums, and everything that a sample of rows holds.

  Args:
    path: of a zoo.
    sample: rows to recompute, at most.
    seed: of their choice.
    progress: silent by default.

  Raises:
    ZooError: there is no zoo that can be opened.
    ValueError: the zoo was neither trained by `zoo_gen.trainer` nor imported
      nor collected.
  """
  progress = progress or Progress.silent()
  with progress.stage("checksums", total=1) as stage:
    problems = zoo.verify(path)
    stage.advance()
  try:
    opened = zoo.open(path)
  except zoo.ZooError:
    if len(problems) < 2:
      raise
    return Report([], problems)
  chosen = np.sort(
      np.random.default_rng(seed).choice(
          len(opened), min(sample, len(opened)), replace=False
      )
  )
  problems += _task_problems(opened)
  problems += _weight_problems(opened, progress)
  with progress.stage("recompute", total=len(chosen), unit="rows") as stage:
    for places, rnn in zip(loader.by_shape(opened, chosen), opened.rnns):
      problems += _sample_problems(opened, rnn, chosen[places], stage.advance)
  columns, spec = opened.columns, opened.spec
  last = opened.final
  finite = columns["finite"]
  summary = [
      (
          "networks",
          f"{spec.num_networks} of "
          + " and ".join(f"{rnn.cell} {rnn.hidden}" for rnn in spec.rnns),
      ),
      ("rows", f"{len(opened)}, snapshots at steps {spec.snapshot_steps}"),
      ("distinct tasks", f"{len(np.unique(columns['task'], axis=0))}"),
      ("diverged", f"{np.sum(~finite)} rows"),
      *(
          (f"final {name}", _quartiles(columns[name][last & finite]))
          for name in spec.metric_names
      ),
      ("recomputed", f"{len(chosen)} rows, {spec.rollouts} rollouts each"),
      *imported.summary(spec),
      *collecting.summary(opened),
      ("kernels", _kernels(path)),
      ("problems", f"{len(problems)}"),
  ]
  return Report(summary, problems)


def _kernels(path):
  """Which kernels made how many shards; rows are recomputed without any."""
  _, document = manifest.read(path)
  names = collections.Counter(
      manifest.shard_software(document, record)["kernels"]
      for record in document["shards"]
  )
  return ", ".join(f"{name}: {n} shards" for name, n in sorted(names.items()))


def _quartiles(values):
  if not len(values):
    return "no finite network"
  low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75))
  return f"median {middle:.4f}, quartiles {low:.4f} to {high:.4f}"


def _name(opened, row):
  columns = opened.columns
  return (
      f"row {row} (network {columns['net_id'][row]}, step"
      f" {columns['step'][row]})"
  )


def _task_problems(opened) -> Iterator[str]:
  classes = opened.family.spec.classes
  if classes is None:
    return
  task = opened.columns["task"]
  outside = np.any((task < classes[0]) | (task > classes[1]), axis=1)
  for row in np.flatnonzero(outside):
    yield (
        f"{_name(opened, row)}: its task {task[row].tolist()} is outside"
        f" {list(classes)}"
    )


def _weight_problems(opened, progress) -> list[str]:
  """NaN and duplicates, all rows; keeps 16 bytes of each network."""
  problems, digests, owners = [], [], []
  finite, final = opened.columns["finite"], opened.final
  with progress.stage("weights", total=len(opened), unit="rows") as stage:
    for rows in _chunks_of_one_shape(opened):
      vectors = opened.vectors(rows)
      sound = np.all(np.isfinite(vectors), axis=1)
      for row in rows[sound != finite[rows]]:
        problems.append(
            f"{_name(opened, row)}: marked finite={bool(finite[row])}, but its"
            f" weights are {'not ' if finite[row] else ''}all finite"
        )
      for i in np.flatnonzero(sound & final[rows]):
        digest = hashlib.blake2b(vectors[i].tobytes(), digest_size=16).digest()
        digests.append(digest)
        owners.append(rows[i])
      stage.advance(len(rows))
  keys = np.array(digests, "V16").view([("high", "<u8"), ("low", "<u8")])
  _, first, of_row = np.unique(keys, return_index=True, return_inverse=True)
  for i in np.flatnonzero(first[of_row] != np.arange(len(keys))):
    problems.append(
        f"{_name(opened, owners[i])}: the same weights as"
        f" {_name(opened, owners[first[of_row[i]]])}"
    )
  return problems


def _chunks_of_one_shape(opened) -> Iterator[np.ndarray]:
  """All rows, as many at a time as are read at once."""
  everything = np.arange(len(opened))
  for rows, rnn in zip(loader.by_shape(opened, everything), opened.rnns):
    at_once = max(1, _BYTES_AT_ONCE // (4 * rnn.size))
    for start in range(0, len(rows), at_once):
      yield rows[start : start + at_once]


def _sample_problems(opened, rnn, chosen, advance) -> list[str]:
  """What the chosen rows say, beside what their weights make of it.

  All are of the shape `rnn`; `advance` is called with numbers of rows.
  """
  spec, family = opened.spec, opened.family

  @jax.jit
  def recompute(data, *rows):
    bound = family.bound(data)
    make = _columns_anew(spec, bound, rnn)

    def one(vector, net_id, step, task, sequences):
      with precision.products("float32"):
        log_probs = replay.answers(bound, rnn, vector, task, sequences)
        return log_probs, make(vector, net_id, step, task)

    return jax.vmap(one)(*rows)

  problems = []
  columns = opened.columns
  for start in range(0, len(chosen), _ROWS_AT_ONCE):
    # The last ones are repeated, so that one compilation serves all
    places = np.minimum(start + np.arange(_ROWS_AT_ONCE), len(chosen) - 1)
    rows = chosen[places]
    seen = opened.rollouts(rows)
    log_probs, fresh = jax.device_get(recompute(
        family.data,
        opened.vectors(rows),
        columns["net_id"][rows],
        columns["step"][rows],
        columns["task"][rows],
        seen.sequences,
    ))
    count = min(_ROWS_AT_ONCE, len(chosen) - start)
    for i, row in enumerate(rows[:count]):
      stored = {n: columns[n][row] for n in fresh if n in columns}
      lines = [
          *_column_problems(stored, {n: a[i] for n, a in fresh.items()}),
          *replay.problems(
              family, seen.sequences[i], seen.log_probs[i], log_probs[i]
          ),
      ]
      problems += [f"{_name(opened, row)}: {line}" for line in lines]
    advance(count)
  return problems


def _columns_anew(spec, family, rnn):
  """(vector, net_id, step, task) -> the columns that these determine."""
  if integrity.COLLECTED in spec.trainer:
    return lambda *row: {}
  if imported.is_imported(spec):
    return imported.make_metrics(spec, family, rnn)
  recipe = plugins.configure(
      Recipe,
      {**spec.trainer, "snapshot_steps": spec.snapshot_steps},
      "the zoo's training recipe",
  )
  make = make_row(recipe, family, rnn, seed=spec.seed, rollouts=1)

  def columns(vector, net_id, step, task):
    del task  # follows from the network's id
    fresh = make(vector, net_id, step)
    names = {"task", "weight_decay", *spec.metric_names} & fresh.keys()
    return {name: fresh[name] for name in names}

  return columns


def _column_problems(stored, fresh) -> Iterator[str]:
  for name, value in stored.items():
    tolerance = {} if name == "task" else METRIC_TOLERANCE
    if not np.allclose(value, fresh[name], equal_nan=True, **tolerance):
      yield f"{name} is {value} there, {fresh[name]} computed anew"
