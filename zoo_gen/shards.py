"""Makes the shards of a zoo that are missing, and survives being killed.

A shard is the unit of work. It is trained segment by segment; after each, the
trainer's state is saved, and what the zoo keeps of a snapshot is on disk
before training goes past it. Whenever the process dies, running it again
goes on from the newest good state and ends in the same bits. SIGTERM is
answered within seconds: the state is saved, and the exit status is 143.

Several processes each make a share of the shards. Whoever works on a shard
holds its lock, so it does no harm to give two of them the same.
"""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from weightspace import plugins, tasks, zoo
from weightspace.io import files, npy, npz
from weightspace.io.checkpoints import (
    CheckpointError,
    Checkpoints,
    watch_sigterm,
)
from weightspace.io.records import TemplateError
from weightspace.parallel import NETWORKS, mesh, sharded
from weightspace.processes import Share
from weightspace.recurrence import kernels_name, kernels_requested
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training.progress import Progress
from weightspace.zoo import manifest
from weightspace.zoo.schema import ZooSpec
from zoo_gen import claims
from zoo_gen.programs import Programs, compile_to_fit, usable_memory
from zoo_gen.trainer import Recipe, make_trainer

# Steps of time in one iteration of a loop, by platform; 1 elsewhere. Compiled
# for an H100, 4 of them are 23 % fewer kernels; on CPU they gain nothing.
TIME_UNROLL = {"gpu": 4}

_SECONDS = 5.0  # that a SIGTERM waits for, about


class _Damaged(ValueError):
  """What a killed process left of a shard cannot be used."""


def plan(config: Mapping[str, Any]) -> ZooSpec:
  """The specification of a zoo from a config of `zoo_gen.configs`.

  Args:
    config: keys family, task, rnn (cell, hidden), recipe, networks,
      shard_size, rollouts, seed; see any file in `zoo_gen/configs`. With
      others, further shapes, shards take turns.

  Raises:
    ValueError: an unknown family, cell or field, with the nearest name.
  """
  family = tasks.make(config["family"], config["task"])
  module = plugins.load(tasks.__name__, config["family"])
  sizes = {"inputs": family.spec.inputs, "outputs": family.spec.outputs}
  rnns = tuple(
      plugins.configure(RNNSpec, {**rnn, **sizes}, "rnn")
      for rnn in (config["rnn"], *map(_shape, config.get("others", ())))
  )
  for rnn in rnns:
    make_rnn(rnn)
  recipe = plugins.configure(Recipe, config["recipe"], "recipe")
  trainer = dataclasses.asdict(recipe)
  return ZooSpec(
      family=config["family"],
      # Defaults are written out, so that a zoo outlives a change of them
      family_config={
          **dataclasses.asdict(
              plugins.configure(module.Config, config["task"], "task")
          ),
          **family.recorded,
      },
      rnns=rnns,
      snapshot_steps=trainer.pop("snapshot_steps"),
      trainer=trainer,
      num_networks=config["networks"],
      shard_size=config["shard_size"],
      rollouts=config["rollouts"],
      seed=config["seed"],
      task_names=family.spec.task_names,
      metric_names=family.spec.metric_names,
  )


def generate(
    path: str | os.PathLike,
    spec: ZooSpec,
    *,
    progress: Progress,
    group: int | None = None,
    time_unroll: int | None = None,
    max_segment: int = 1000,
    kernels: bool | None = None,
    devices=None,
    only: Iterable[int] | None = None,
    share: Share | None = None,
) -> list[int]:
  """Makes a zoo, or what is missing of it.

  On SIGTERM the steps under way are finished and the state is saved. Whoever
  finds all shards there marks the zoo finished.

  Args:
    path: the zoo's folder; made if it is not there.
    spec: what to make. A zoo of another spec at `path` is refused.
    progress: where to show how far it is.
    group: networks that a device trains at a time. By default one on CPU and
      as many as fit its memory on an accelerator.
    time_unroll: steps of time in one iteration of a loop; see `make_rnn`. By
      default one of `TIME_UNROLL`.
    max_segment: steps between two saves of the trainer's state, at most.
    kernels: whether kernels in C++ train networks on CPU; each shard records
      it. By default, what `recurrence.kernels_requested` says.
    devices: to spread networks over; by default all local ones.
    only: numbers of the shards to make, and the zoo stays unfinished.
    share: of the shards, of several processes that make a zoo together; by
      default all.

  Returns:
    The shards that are still missing.

  Raises:
    SystemExit: 143, after a SIGTERM.
    FileExistsError: see `zoo.create`.
    ValueError: a shard was begun with another group or number of devices; or
      its networks do not fit a device's memory; or kernels are requested and
      cannot be had.
    OSError: a file cannot be written; run again when it can.
  """
  path = Path(path)
  spec = _as_there(path, spec)
  devices = mesh(NETWORKS, devices)
  if kernels is None:
    kernels = kernels_requested()
  software = _software(kernels, devices)  # before a folder is touched
  zoo.create(path, spec)
  files.refuse_links(path / "work")
  recipe = Recipe(snapshot_steps=spec.snapshot_steps, **spec.trainer)
  stops = _stops(recipe, max_segment)
  share = share or Share()
  every = [i for i in range(manifest.num_shards(spec)) if i in share]
  missing = [i for i in zoo.missing_shards(path) if i in share]
  chosen = missing if only is None else sorted({*only} & {*missing})
  with watch_sigterm() as preempted:
    programs = {}
    if chosen:
      with progress.stage("compile", unit="programs") as stage:
        for rnn in dict.fromkeys(zoo.shard_rnn(spec, i) for i in chosen):
          _stop_if(preempted)
          programs[rnn] = _compile(
              recipe, spec, rnn, devices, group, time_unroll, kernels
          )
          stage.advance(3)
    with progress.stage(
        "train networks" + ("" if share.count == 1 else f", {share}"),
        total=_networks(spec, every) * recipe.steps,
        unit="steps",
        initial=(_networks(spec, every) - _networks(spec, missing))
        * recipe.steps,
    ) as stage:
      for index in chosen:
        _stop_if(preempted)
        with claims.claim(path / "work" / f"{index:05d}.lock") as mine:
          if not mine:
            logging.warning("another process is making shard %d", index)
          elif not zoo.has_shard(path, index):
            _make_shard(
                programs[zoo.shard_rnn(spec, index)],
                recipe, path, spec, index, stops, sharded(devices), software,
                stage, preempted,
            )  # fmt: skip
      left = zoo.missing_shards(path)
      if only is None and not left:
        zoo.finalize(path)
        shutil.rmtree(path / "work", ignore_errors=True)
      _stop_if(preempted)
  return left


def _stop_if(preempted: Callable[[], bool]) -> None:
  if preempted():
    logging.warning("stopped by SIGTERM; run again to go on")
    raise SystemExit(143)


def _networks(spec, indices):
  return sum(len(zoo.shard_networks(spec, index)) for index in indices)


def _shape(text: str) -> dict[str, Any]:
  """Fields of a shape written as "gru:32,32"."""
  cell, _, hidden = text.partition(":")
  try:
    return {"cell": cell, "hidden": tuple(map(int, hidden.split(",")))}
  except ValueError:
    raise ValueError(
        f"others: {text!r} is not a cell and the width of each layer, such as"
        " 'gru:32,32'"
    ) from None


def _as_there(path: Path, spec: ZooSpec) -> ZooSpec:
  """`spec` as the zoo at `path` would say it, if that knew fewer fields.

  A recipe that leaves a field out has its default.
  """
  if not (path / manifest.ZOO).is_file():
    return spec
  there, _ = manifest.read(path)
  default = dataclasses.asdict(Recipe())
  return dataclasses.replace(
      spec,
      trainer={
          name: value
          for name, value in spec.trainer.items()
          if name in there.trainer or value != default.get(name)
      },
  )


def _software(kernels, devices) -> dict[str, str]:
  """What the shards made now record; builds the kernels if need be."""
  platform = devices.devices.flat[0].platform
  if kernels and platform != "cpu":
    raise ValueError(
        f"kernels are for CPU, and networks are trained on {platform}: leave"
        " out --kernels, or set JAX_PLATFORMS=cpu"
    )
  return manifest.software(kernels=kernels_name(kernels))


def _compile(
    recipe, spec, rnn, devices, group, time_unroll, kernels
) -> Programs:
  """What trains the shards of one shape of network."""
  device = devices.devices.flat[0]
  if time_unroll is None:
    time_unroll = TIME_UNROLL.get(device.platform, 1)
  rnn = make_rnn(rnn, time_unroll=time_unroll, kernels=kernels)
  family = tasks.make(spec.family, spec.family_config)

  def make(group):
    return make_trainer(
        recipe,
        family,
        rnn,
        seed=spec.seed,
        rollouts=spec.rollouts,
        mesh=devices,
        group=group,
    )

  return compile_to_fit(
      make,
      min(spec.shard_size, spec.num_networks),
      group=group,
      memory=usable_memory(device),
  )


def _stops(recipe: Recipe, max_segment: int) -> list[int]:
  """Where training halts: at snapshots, and often enough to save."""
  regular = range(max_segment, recipe.steps, max_segment)
  return sorted({*recipe.snapshot_steps, *regular})


def _make_shard(programs: Programs, recipe, path, spec, index, stops, sharding,
                software, stage, preempted):  # fmt: skip
  networks = zoo.shard_networks(spec, index)
  count = len(networks)
  # Where there are fewer networks, some of them are trained twice.
  wanted = networks.start + np.arange(programs.size) % count
  net_ids = jax.device_put(wanted.astype(np.int32), sharding)
  work = path / "work" / f"{index:05d}"
  while True:
    resumed = work.exists()
    files.refuse_links(work, work / "state")
    work.mkdir(parents=True, exist_ok=True)
    try:
      _check_software(work / "software.json", software)
      _train(programs, recipe, work, net_ids, count, stops, stage, preempted)
      rows = _join(work, recipe.snapshot_steps)
      break
    except TemplateError as error:
      raise ValueError(
          f"{error}. It was begun with another --group or on another number of"
          f" devices: use those, or delete the folder {work}"
      ) from error
    except (CheckpointError, _Damaged) as error:
      if not resumed:
        raise
      logging.warning("shard %d starts over: %s", index, error)
      shutil.rmtree(work)
  zoo.write_shard(path, index, rows, software)
  # Whoever finishes the zoo removes it too
  shutil.rmtree(work, ignore_errors=True)


def _check_software(file, software):
  """Records what a shard is begun with; refuses to go on with another."""
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


def _train(programs, recipe, work, net_ids, count, stops, stage, preempted):
  """Trains a shard to the end; all its snapshots are then on disk."""
  with Checkpoints(work / "state") as checkpoints:
    state, reached = programs.init(net_ids), 0
    if (restored := checkpoints.restore(state)) is not None:
      reached, state = restored
      stage.advance(count * reached)
    steps = 1  # at a time; no bit depends on it
    for stop in stops:
      if stop < reached:
        continue
      begun = reached
      while reached < stop and not preempted():
        clock, goal = time.monotonic(), min(reached + steps, stop)
        state = programs.segment(
            state, net_ids, jnp.int32(reached), jnp.int32(goal)
        )
        jax.block_until_ready(state)
        stage.advance(count * (goal - reached))
        reached, took = goal, time.monotonic() - clock
        if took < _SECONDS / 2:
          steps *= 2
        elif took > _SECONDS:
          steps = max(1, steps // 2)
      if reached > begun:
        checkpoints.save(reached, state)
      _stop_if(preempted)
      if stop in recipe.snapshot_steps:
        part = programs.snapshot(state, net_ids, jnp.int32(stop))
        _write_part(work, stop, count, part)


def _part(work: Path, step: int) -> Path:
  return work / f"snapshot-{step:08d}.npz"


def _write_part(work, step, count, arrays):
  """Keeps a snapshot of a shard's first `count` networks; durable, atomic."""
  rows = jax.tree.map(lambda a: np.asarray(a)[:count], arrays)
  rows["step"] = np.full(count, step, np.int32)
  part = _part(work, step)
  for killed in files.leftovers(part):
    killed.unlink()
  temporary = files.temporary(part)
  npz.write(temporary, rows)
  temporary.replace(part)
  files.sync_folder(work)


def _join(work, steps) -> dict[str, np.ndarray]:
  """The rows of a shard, all snapshots of a network one after the other.

  They are put together on disk: no more than one snapshot is in memory.
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
