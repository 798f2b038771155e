"""Trains one shard of a zoo so that a killed process loses little.

A shard is trained segment by segment. The trainer's state is saved after each,
and a snapshot's arrays are on disk before training continues. A killed run
resumes from the newest good state and ends in the same bits. A SIGTERM is
answered within seconds: the state is saved, and the exit status is 143.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from weightspace import zoo
from weightspace.errors import UserError
from weightspace.io import files, npy, npz
from weightspace.io.checkpoints import CheckpointError, Checkpoints
from weightspace.io.records import TemplateError
from weightspace.progress import Stage
from weightspace.zoo.spec import ZooSpec
from zoo_gen.programs import Programs
from zoo_gen.trainer import Recipe

_SECONDS = 5.0  # that a SIGTERM waits for, about


class Run(NamedTuple):
  """What all shards of a run share.

  Attributes:
    path: the zoo's folder.
    spec: of the zoo.
    recipe: of training.
    stops: steps at which the state is saved, snapshots included.
    sharding: of networks over devices.
    software: that shards record.
    stage: counts steps of networks.
    preempted: () -> whether a SIGTERM has arrived.
  """

  path: Path
  spec: ZooSpec
  recipe: Recipe
  stops: list[int]
  sharding: jax.sharding.Sharding
  software: dict[str, str]
  stage: Stage
  preempted: Callable[[], bool]


class _Damaged(UserError):
  """The files of an unfinished shard cannot be used."""


def stop_if(preempted: Callable[[], bool]) -> None:
  """Raises SystemExit(143) after a SIGTERM."""
  if preempted():
    logging.warning("stopped by SIGTERM; run again to go on")
    raise SystemExit(143)


def make_shard(programs: Programs, run: Run, index: int) -> None:
  """Trains the networks of a shard, or resumes that, and writes the shard.

  Raises:
    SystemExit: 143, after a SIGTERM.
    ValueError: the shard was begun with another group or number of devices.
    OSError: a file cannot be written.
  """
  networks = zoo.shard_networks(run.spec, index)
  count = len(networks)
  # If a shard has fewer networks than a program, some are trained twice
  wanted = networks.start + np.arange(programs.size) % count
  net_ids = jax.device_put(wanted.astype(np.int32), run.sharding)
  work = run.path / "work" / f"{index:05d}"
  while True:
    resumed = work.exists()
    files.refuse_links(work, work / "state")
    work.mkdir(parents=True, exist_ok=True)
    try:
      _check_software(work / "software.json", run.software)
      _train(programs, run, work, net_ids, count)
      rows = _join(work, run.recipe.snapshot_steps)
      break
    except TemplateError as error:
      raise UserError(
          f"{error}. It was begun with another --group or on another number of"
          f" devices: use those, or delete the folder {work}"
      ) from error
    except (CheckpointError, _Damaged) as error:
      if not resumed:
        raise
      logging.warning("shard %d starts over: %s", index, error)
      shutil.rmtree(work)
  zoo.write_shard(run.path, index, rows, run.software)
  # The process that finishes the zoo removes all work too
  shutil.rmtree(work, ignore_errors=True)


def _check_software(file, software):
  """Records the software of a new shard; refuses to resume with another."""
  if not file.exists():
    files.write_text(file, json.dumps(software))
    return
  try:
    begun = json.loads(file.read_text())
    differ = [
        name
        for name in software
        if name != "python" and begun.get(name) != software[name]
    ]
  except (ValueError, AttributeError) as error:
    raise _Damaged(f"{file} is damaged ({error})") from error
  if differ:
    raise _Damaged("it was begun with " + ", ".join(
        f"{name} {begun.get(name)} (here: {software[name]})"
        for name in differ
    ))  # fmt: skip


def _train(programs, run, work, net_ids, count):
  """Trains a shard to the end; writes its snapshots to disk."""
  with Checkpoints(work / "state") as checkpoints:
    state, reached = programs.init(net_ids), 0
    if (restored := checkpoints.restore(state)) is not None:
      reached, state = restored
      run.stage.advance(count * reached)
    steps = 1  # at a time; no bit depends on it
    for stop in run.stops:
      if stop < reached:
        continue
      begun = reached
      while reached < stop and not run.preempted():
        clock, goal = time.monotonic(), min(reached + steps, stop)
        state = programs.segment(
            state, net_ids, jnp.int32(reached), jnp.int32(goal)
        )
        jax.block_until_ready(state)
        run.stage.advance(count * (goal - reached))
        reached, took = goal, time.monotonic() - clock
        if took < _SECONDS / 2:
          steps *= 2
        elif took > _SECONDS:
          steps = max(1, steps // 2)
      if reached > begun:
        checkpoints.save(reached, state)
      stop_if(run.preempted)
      if stop in run.recipe.snapshot_steps:
        part = programs.snapshot(state, net_ids, jnp.int32(stop))
        _write_part(work, stop, count, part)


def _part(work: Path, step: int) -> Path:
  return work / f"snapshot-{step:08d}.npz"


def _write_part(work, step, count, arrays):
  """Writes a snapshot of a shard's first `count` networks; durable, atomic."""
  rows = jax.tree.map(lambda a: np.asarray(a)[:count], arrays)
  rows["step"] = np.full(count, step, np.int32)
  part = _part(work, step)
  for leftover in files.leftovers(part):
    leftover.unlink()
  scratch = files.temporary(part)
  npz.write(scratch, rows)
  scratch.replace(part)
  files.sync_folder(work)


def _join(work, steps) -> dict[str, np.ndarray]:
  """The rows of a shard, all snapshots of a network one after the other.

  They are joined on disk: no more than one snapshot is in memory.
  """
  folder = work / "rows"
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  rows = {}
  for place, step in enumerate(steps):
    try:
      part = npz.read(_part(work, step))
    except (ValueError, FileNotFoundError) as error:
      raise _Damaged(f"a snapshot of it is damaged ({error})") from error
    for name, array in part.items():
      if name not in rows:
        shape = (len(array), len(steps), *array.shape[1:])
        rows[name] = npy.scratch(folder / name, shape, array.dtype)
      rows[name][:, place] = array
  return {name: a.reshape(-1, *a.shape[2:]) for name, a in rows.items()}
