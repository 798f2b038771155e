"""Makes the missing shards of a zoo; a killed run is resumed.

A shard is the unit of work: see `zoo_gen.shard_training`. Several processes
each make a share of the shards. A process that works on a shard holds its lock,
so it does no harm to give two of them the same.
"""

import dataclasses
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from weightspace import plugins, settings, tasks, zoo
from weightspace.errors import UserError
from weightspace.fields import check_seed
from weightspace.io import files, locks
from weightspace.io.checkpoints import watch_sigterm
from weightspace.parallel import NETWORKS, mesh, sharded
from weightspace.processes import Share
from weightspace.progress import Progress
from weightspace.recurrence import kernels_name, kernels_requested
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.zoo import manifest
from weightspace.zoo.spec import ZooSpec
from zoo_gen.programs import Programs, compile_to_fit, usable_memory
from zoo_gen.shard_training import Run, make_shard, stop_if
from zoo_gen.trainer import Recipe, make_trainer

# Steps of time in one iteration of a loop, by platform; 1 elsewhere. Compiled
# for an H100, 4 of them are 23 % fewer kernels; on CPU they gain nothing.
TIME_UNROLL = {"gpu": 4}


def plan(config: Mapping[str, Any]) -> ZooSpec:
  """The specification of a zoo from a config of `zoo_gen.configs`.

  Args:
    config: keys family, task, rnn (cell, hidden), recipe, networks,
      shard_size, rollouts, seed; see any file in `zoo_gen/configs`. With
      others, further shapes, shards take turns.

  Raises:
    UserError: an unknown family, cell or field, with the nearest name, or a
      value that cannot be.
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
  check_seed(config["seed"])
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


@settings.pinned()
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
  """Makes a zoo, or its missing shards.

  On SIGTERM the current steps are finished and the state is saved. The process
  that makes the last shard marks the zoo finished.

  Args:
    path: the zoo's folder; made if it is not there.
    spec: of the zoo. A zoo of another spec at `path` is refused.
    progress: shows the stages.
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
  spec = _fields_of_existing(path, spec)
  devices = mesh(NETWORKS, devices)
  if kernels is None:
    kernels = kernels_requested()
  software = _software(kernels, devices)  # before a folder is touched
  zoo.create(path, spec)
  files.refuse_links(path / "work")
  recipe = Recipe(snapshot_steps=spec.snapshot_steps, **spec.trainer)
  share = share or Share()
  every = [i for i in range(manifest.num_shards(spec)) if i in share]
  missing = [i for i in zoo.missing_shards(path) if i in share]
  chosen = missing if only is None else sorted({*only} & {*missing})
  with watch_sigterm() as preempted:
    programs = {}
    if chosen:
      with progress.stage("compile", unit="programs") as stage:
        for rnn in dict.fromkeys(zoo.shard_rnn(spec, i) for i in chosen):
          stop_if(preempted)
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
      run = Run(
          path, spec, recipe, _stops(recipe, max_segment), sharded(devices),
          software, stage, preempted,
      )  # fmt: skip
      for index in chosen:
        stop_if(preempted)
        with locks.claim(path / "work" / f"{index:05d}.lock") as mine:
          if not mine:
            logging.warning("another process is making shard %d", index)
          elif not zoo.has_shard(path, index):
            make_shard(programs[zoo.shard_rnn(spec, index)], run, index)
      left = zoo.missing_shards(path)
      if only is None and not left:
        zoo.finalize(path)
        shutil.rmtree(path / "work", ignore_errors=True)
      stop_if(preempted)
  return left


def _networks(spec, indices):
  return sum(len(zoo.shard_networks(spec, index)) for index in indices)


def _shape(text: str) -> dict[str, Any]:
  """Fields of a shape written as "gru:32,32"."""
  cell, _, hidden = text.partition(":")
  try:
    return {"cell": cell, "hidden": tuple(map(int, hidden.split(",")))}
  except ValueError:
    raise UserError(
        f"others: {text!r} is not a cell and the width of each layer, such as"
        " 'gru:32,32'"
    ) from None


def _fields_of_existing(path: Path, spec: ZooSpec) -> ZooSpec:
  """`spec` without default fields that the zoo at `path` does not record.

  A zoo made before a field was added has that field's default.
  """
  if not (path / manifest.ZOO).is_file():
    return spec
  existing, _ = manifest.read(path)
  default = dataclasses.asdict(Recipe())
  return dataclasses.replace(
      spec,
      trainer={
          name: value
          for name, value in spec.trainer.items()
          if name in existing.trainer or value != default.get(name)
      },
  )


def _software(kernels, devices) -> dict[str, str]:
  """The software that new shards record; builds kernels if requested."""
  platform = devices.devices.flat[0].platform
  if kernels and platform != "cpu":
    raise UserError(
        f"kernels are for CPU, and networks are trained on {platform}: leave"
        " out --kernels, or set JAX_PLATFORMS=cpu"
    )
  return manifest.software(kernels=kernels_name(kernels))


def _compile(
    recipe, spec, rnn, devices, group, time_unroll, kernels
) -> Programs:
  """The compiled programs that train networks of one shape."""
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
