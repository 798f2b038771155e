"""Checkpoints: Orbax keeps the steps, we keep checksums of their arrays.

A folder of checkpoints holds, for each step kept,

  120/         what Orbax writes; the arrays are in one `.npz` file
  120.json     its record, see `weightspace.io.records`
  bad-100/     a step that failed its checks and was moved aside, if any

Orbax detects a step that is half-written, but not a bit that flipped in its
data; the checksums do. A step is good when its record, its files and its
arrays agree.
"""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# At import, since it imports parts of JAX that add to what JAX's caches are
# keyed by: later, all that was compiled before would be compiled again
import orbax.checkpoint as ocp
from absl import logging

from weightspace import parallel
from weightspace.errors import UserError
from weightspace.io import records

_HALF_WRITTEN = ".orbax-checkpoint-tmp"
_NONE = -1  # the step where nothing was saved


class CheckpointError(UserError):
  """There are checkpoints, and not one of them is good."""


class Checkpoints:
  """The newest good states of one run, in one folder.

  A process of several uses a folder of its own, or `PrimaryCheckpoints`;
  nothing here waits for other processes. States are pytrees of arrays that
  each process holds whole. PRNG keys are refused: derive them from the step.
  """

  def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
    """Nothing is read or written before the first `save` or `restore`.

    Args:
      directory: the folder; the first `save` makes it.
      keep: how many steps to keep. With 1, damage to it leaves nothing.
    """
    if keep < 1:
      raise UserError(f"keep must be at least 1, got {keep}")
    self.directory = Path(directory).absolute()
    self._keep = keep
    self._orbax = None

  def save(self, step: int, tree: Any) -> None:
    """Saves `tree` as `step`, then drops steps beyond `keep`.

    When it returns, files and folder are synced to disk. A process killed
    before that leaves the older steps as they were.

    Raises:
      TypeError: a leaf is a PRNG key.
      ValueError: this step exists, or two leaves have the same path.
    """
    step = int(step)
    if (self.directory / str(step)).exists():
      raise UserError(f"{self.directory} has a step {step} already")
    arrays = {name: _array(name, leaf) for name, leaf in _named(tree)}
    self.directory.mkdir(parents=True, exist_ok=True)
    # The record comes first: a step without one would be taken for bad.
    record = records.Record(records.describe(arrays), {})
    records.write(self._record(step), record)
    self._manager().save(step, args=records.NpzSave(arrays), force=True)
    record = record._replace(files=records.sync(self.directory / str(step)))
    records.write(self._record(step), record)
    kept = set(self.steps())
    for path in self.directory.glob("*.json"):
      if path.stem.isdecimal() and int(path.stem) not in kept:
        path.unlink()

  def restore(self, template: Any) -> tuple[int, Any] | None:
    """The newest good step and its state, or None where nothing was saved.

    A step that fails its checks is reported in the log, with its folder and
    the reason. Once an older step proves good, the bad ones are renamed to
    `bad-<step>`; until then they stay where they are.

    Args:
      template: a tree like the one saved, of arrays or `ShapeDtypeStruct`s.
        Leaves come back as it has them: on the same devices, or as NumPy.

    Raises:
      records.TemplateError: a ValueError; the state saved has other leaves,
        shapes or dtypes than the template: it is another configuration's.
      CheckpointError: there are steps, but not one is good.
    """
    self._drop_half_written()
    bad = {}
    for step in reversed(self.steps()):
      try:
        arrays = self._load(step, template)
      except records.TemplateError:
        raise
      except Exception as error:  # whatever damage makes Orbax raise
        bad[step] = f"{type(error).__name__}: {error}"
        folder = self.directory / str(step)
        logging.warning("checkpoint %s is bad: %s", folder, bad[step])
      else:
        self._move_aside(bad)
        leaves = [arrays[name] for name, _ in _named(template)]
        tree = jax.tree.unflatten(jax.tree.structure(template), leaves)
        return step, _place(tree, template)
    if bad:
      reasons = "; ".join(f"step {step}: {why}" for step, why in bad.items())
      raise CheckpointError(
          f"every checkpoint in {self.directory} is bad ({reasons}). To start"
          " over, remove that folder."
      )
    return None

  def steps(self) -> list[int]:
    """The steps that are there, good or not, the oldest first."""
    if not self.directory.is_dir():
      return []
    return sorted(
        int(path.name)
        for path in self.directory.iterdir()
        if path.name.isdecimal() and path.is_dir()
    )

  def close(self) -> None:
    """Ends Orbax's threads; the object may be used again."""
    if self._orbax is not None:
      self._orbax.close()
      self._orbax = None

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _record(self, step):
    return self.directory / f"{step}.json"

  def _manager(self):
    if self._orbax is None:
      here = jax.process_index()
      # Not asynchronous: arrays may be donated to the next step right away.
      options = ocp.CheckpointManagerOptions(
          max_to_keep=self._keep,
          create=False,
          enable_async_checkpointing=False,
          multiprocessing_options=ocp.options.MultiprocessingOptions(
              primary_host=here,
              active_processes={here},
              barrier_sync_key_prefix=f"process{here}",
          ),
      )
      self._orbax = ocp.CheckpointManager(
          self.directory,
          item_handlers=records.NpzHandler(),
          options=options,
      )
    return self._orbax

  def _load(self, step, template):
    folder = self.directory / str(step)
    record = records.read(self._record(step))
    records.check_template(folder, record, _named(template))
    records.check_sizes(folder, record)
    args = records.NpzRestore(
        {name: leaf["dtype"] for name, leaf in record.leaves.items()}
    )
    arrays = self._manager().restore(step, args=args)
    records.check_arrays(arrays, record)
    records.check_files(folder, record)
    return arrays

  def _drop_half_written(self):
    for path in self.directory.glob(f"*{_HALF_WRITTEN}*"):
      logging.warning("checkpoint %s is bad: half-written", path)
      with _logged("remove", path):
        shutil.rmtree(path)
    for path in self.directory.glob(".*.json.*.tmp"):  # records' drafts
      with _logged("remove", path):
        path.unlink()

  def _move_aside(self, steps):
    for step in steps:
      aside, folder = self.directory / f"bad-{step}", self.directory / str(step)
      with _logged("move aside", folder):
        if aside.exists():
          shutil.rmtree(aside)
        folder.rename(aside)
        self._record(step).unlink(missing_ok=True)
        logging.warning("moved it aside to %s", aside)
    if steps:
      self._manager().reload()


class PrimaryCheckpoints(Checkpoints):
  """Checkpoints of processes that train one model: process 0 has the folder.

  `save` and `restore` take all processes, which need not see the folder. A
  checkpoint holds whole arrays, so that it can be restored on any number of
  devices and processes, whether the state is sharded or replicated.
  """

  def save(self, step: int, tree: Any) -> None:
    """Process 0 saves; see `Checkpoints.save`."""
    arrays = parallel.fetch(tree)
    if jax.process_index() == 0:
      super().save(step, arrays)

  def restore(self, template: Any) -> tuple[int, Any] | None:
    """Process 0 restores, all have it; see `Checkpoints.restore`.

    An error is raised in process 0, which ends the others.
    """
    host = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    restored = super().restore(host) if jax.process_index() == 0 else None
    step, arrays = restored or (_NONE, host)
    step = int(parallel.broadcast_from_primary(np.int32(step)))
    if step == _NONE:
      return None
    return step, _place(parallel.broadcast_from_primary(arrays), template)


@contextlib.contextmanager
def watch_sigterm() -> Iterator[Callable[[], bool]]:
  """Holds SIGTERM back while the block runs, which has to poll for it.

  Only the main thread can do so; in another one SIGTERM acts as it did.

  Yields:
    A function that returns whether SIGTERM came. Then save what is needed and
    `raise SystemExit(143)`, as a shell reports that signal.
  """
  came = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield came.is_set
    return
  previous = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    yield came.is_set
  finally:
    # None: the previous handler was not set from Python and cannot be put back.
    signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


@contextlib.contextmanager
def _logged(what, path):
  """Logs an OSError: reading continues where a folder may not be changed."""
  try:
    yield
  except OSError as error:
    logging.warning("could not %s %s: %s", what, path, error)


def _named(tree):
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  named = [
      (jax.tree_util.keystr(path, simple=True, separator="/") or "leaf", leaf)
      for path, leaf in leaves
  ]
  if len({name for name, _ in named}) < len(named):
    raise UserError(f"two leaves have one path: {[n for n, _ in named]}")
  return named


def _array(name, leaf):
  dtype = getattr(leaf, "dtype", None)
  if dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
    raise TypeError(
        f"{name} is a PRNG key; derive it from the step instead of saving it"
    )
  return np.asarray(leaf)


def _place(tree, template):
  """NumPy arrays as the leaves of a template are; see `restore`."""

  def one(array, leaf):
    if isinstance(leaf, np.ndarray | np.generic):
      return array
    sharding = getattr(leaf, "sharding", None)
    if sharding is None or not getattr(leaf, "committed", True):
      return jnp.array(array)
    if sharding.is_fully_addressable:
      return jax.device_put(array, sharding, may_alias=False)
    return parallel.place(array, sharding)

  return jax.tree.map(one, tree, template)
