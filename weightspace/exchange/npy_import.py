"""Zoos out of the folders of the paper's authors; see `npy_layout`.

What they recorded is kept as it is. What our zoos hold beside it is computed
from the weights, where the weights and the task determine it: strict accuracy
and losses of formal languages. Measures of digits, which need their images,
are taken over. A zoo says which is which, in its trainer's field "imported".
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from weightspace import plugins, settings, tasks, zoo
from weightspace.errors import UserError
from weightspace.exchange import imported, npy_layout, npy_rows
from weightspace.exchange.npy_layout import FORMAL
from weightspace.io import files, locks
from weightspace.progress import Progress
from weightspace.rnn import make_rnn
from weightspace.tasks import formal_language, tiled_mnist
from weightspace.zoo import replay
from weightspace.zoo.integrity import IMPORTED
from weightspace.zoo.spec import ZooSpec

_ROWS_AT_ONCE = 8
_BYTES_AT_ONCE = 2**24
_SHARD_BYTES = 2**26
_MOST_CHANCE = 0.5  # between shares of strings, few of them in tiny zoos


@settings.pinned()
def import_zoo(
    directory: str | os.PathLike,
    path: str | os.PathLike,
    *,
    sample: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> ZooSpec:
  """Makes a zoo of a folder in the layout of the authors' release.

  All of it is checked first, row by row, and a sample of rows is replayed; only
  then is anything written. Run again after it was killed, it goes on.

  Args:
    directory: in that layout.
    path: of the zoo; made if it is not there.
    sample: rows whose logits are replayed from the weights, at most.
    seed: of their choice.
    progress: silent by default.

  Returns:
    The specification of the zoo.

  Raises:
    ValueError: the folder cannot be such a zoo; names the file and the row.
    FileNotFoundError: a file is not there.
    FileExistsError: another zoo, or something else, is at `path`.
  """
  progress = progress or Progress.silent()
  folder = npy_layout.open_folder(Path(directory))
  config = _family_config(folder)
  _check(folder, progress)
  if folder.layout.family == FORMAL:
    config = _with_shifts(folder, config)
  spec = _spec(folder, config, _checksums(folder, progress))
  family = tasks.make(spec.family, spec.family_config)
  measure = imported.measure_rows(spec, family)
  _replay(folder, spec, family, measure, sample, seed, progress)
  zoo.create(path, spec)
  with locks.hold(path):
    _write(folder, Path(path), spec, measure, progress)
  return spec


def _family_config(folder) -> dict[str, Any]:
  """The family's config, but for what is seen in the rows."""
  if folder.layout.family != FORMAL:
    config = tiled_mnist.Config(digits=tiled_mnist.NO_DIGITS)
    return dataclasses.asdict(config)
  file = folder.path / npy_layout.ARGS
  fields = folder.args.get("family_config")  # of an export of ours
  if fields is None:
    # The release draws n without looking whether the string fits
    fields = {"length": folder.length, "always_fit": False}
    if "max_n" in folder.args:
      fields["max_n"] = folder.args["max_n"]
  try:
    config = plugins.configure(
        formal_language.Config, fields, "family formal_language"
    )
  except (ValueError, TypeError) as error:
    raise UserError(f"{file} cannot be used: {error}") from error
  if config.length != folder.length:
    raise UserError(
        f"{folder.path / npy_layout.SEQUENCES} holds sequences of"
        f" {folder.length} tokens, but {file} says length={config.length}"
    )
  return dataclasses.asdict(config)


def _check(folder, progress):
  rows = len(folder.order)
  at_once = max(1, _BYTES_AT_ONCE // npy_rows.row_bytes(folder))
  with progress.stage("check rows", total=rows, unit="rows") as stage:
    for start in range(0, rows, at_once):
      places = np.arange(start, min(start + at_once, rows))
      npy_rows.check(folder, places)
      stage.advance(len(places))
  npy_rows.check_tasks(folder)


def _with_shifts(folder, config):
  """The config, with languages that are there and not in the paper."""
  shifts = folder.read(npy_layout.TASKS, np.arange(len(folder.order)))[:, 1:]
  low, high = int(shifts.min()), int(shifts.max())
  config["shift_min"] = min(config["shift_min"], low)
  config["shift_max"] = max(config["shift_max"], high)
  try:
    formal_language.Config(**config)
  except ValueError as error:
    raise UserError(
        f"{folder.path / npy_layout.TASKS} holds shifts from {low} to"
        f" {high}, which cannot be: {error}"
    ) from error
  return config


def _checksums(folder, progress) -> dict[str, str]:
  sums = {}
  with progress.stage(
      "checksums", total=len(folder.names), unit="files"
  ) as stage:
    for name in folder.names:
      sums[name] = files.sha256(folder.path / name)
      stage.advance()
  return sums


def _spec(folder, config, checksums) -> ZooSpec:
  family = tasks.make(folder.layout.family, config).spec
  formal = folder.layout.family == FORMAL
  networks = len(np.unique(folder.run))
  steps = tuple(np.unique(folder.step).tolist())
  network_bytes = len(steps) * npy_rows.row_bytes(folder)
  return ZooSpec(
      family=folder.layout.family,
      family_config=config,
      rnns=(folder.rnn,),
      trainer={
          IMPORTED: {
              "layout": "release of Herrmann, Faccio, Schmidhuber (2024)",
              "source": str(folder.path),
              "sha256": checksums,
              "args": folder.args,
              "recomputed": list(family.metric_names) if formal else [],
              "recorded": ["task", "run", "step", "sequences"]
              + (["correct"] if formal else ["weight_decay"])
              + ([] if formal else list(family.metric_names)),
          }
      },
      num_networks=networks,
      shard_size=min(networks, max(1, _SHARD_BYTES // network_bytes)),
      snapshot_steps=steps,
      rollouts=folder.sequences,
      seed=_seed(folder),
      task_names=family.task_names,
      metric_names=family.metric_names,
  )


def _seed(folder) -> int:
  seed = folder.args.get("seed")
  return seed if type(seed) is int and 0 <= seed < 2**32 else 0


def _replay(folder, spec, family, measure, sample, seed, progress):
  """ValueError unless a sample of rows says what its weights say."""
  rnn = make_rnn(spec.rnn)
  rows = len(folder.order)
  chosen = np.random.default_rng(seed).choice(
      rows, min(sample, rows), replace=False
  )
  chosen = np.sort(chosen)
  answers = jax.jit(
      jax.vmap(lambda *row: replay.answers(family, rnn, *row))
  )
  with progress.stage("replay", total=len(chosen), unit="rows") as stage:
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
      # The last ones are repeated, so that one compilation serves all
      at = np.minimum(start + np.arange(_ROWS_AT_ONCE), len(chosen) - 1)
      places = chosen[at]
      arrays = npy_rows.convert(folder, places)
      recomputed = np.asarray(
          answers(arrays["weights"], arrays["task"], arrays["sequences"])
      )
      recorded = zip(arrays["sequences"], arrays["log_probs"], recomputed)
      for place, values in zip(places, recorded):
        for line in replay.problems(family, *values):
          raise UserError(
              f"{folder.where(npy_layout.LOGITS, place)}: {line}; is this a"
              " torch.nn.LSTM, with the order of its parameters?"
          )
      stage.advance(min(_ROWS_AT_ONCE, len(chosen) - start))
    if spec.family == FORMAL:
      _check_correct(folder, measure, chosen)


def _check_correct(folder, measure, places):
  """ValueError where networks do another task than their label."""
  net_id = np.searchsorted(np.unique(folder.run), folder.run[places])
  arrays = npy_rows.convert(folder, places)
  task, share = arrays["task"], arrays["correct"] / npy_layout.COUNTED
  counted = measure(
      arrays["weights"], net_id.astype(np.int32), arrays["step"], task
  )["accuracy_counts"]
  for i in np.flatnonzero(np.abs(share - counted) > _MOST_CHANCE):
    raise UserError(
        f"{folder.where(folder.layout.table[0], places[i])} says that"
        f" {100 * share[i]:.0f} % of strings are right, but"
        f" {100 * counted[i]:.0f} % of those that the network writes are in the"
        f" language of {folder.path / npy_layout.TASKS}"
    )


def _write(folder, path, spec, measure, progress):
  per_network = len(spec.snapshot_steps)
  missing = zoo.missing_shards(path)
  left = sum(zoo.shard_rows(spec, index) for index in missing)
  rows = len(folder.order)
  with progress.stage(
      "write zoo", total=rows, unit="rows", initial=rows - left
  ) as stage:
    for index in missing:
      networks = zoo.shard_networks(spec, index)
      places = np.arange(
          networks.start * per_network, networks.stop * per_network
      )
      arrays = npy_rows.convert(folder, places)
      arrays["net_id"] = np.repeat(
          np.array(networks, np.int32), per_network
      )
      arrays |= measure(
          arrays["weights"], arrays["net_id"], arrays["step"], arrays["task"]
      )
      zoo.write_shard(path, index, arrays)
      stage.advance(len(places))
  zoo.finalize(path)
