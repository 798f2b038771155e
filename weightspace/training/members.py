"""Runs that differ in seed or learning rate alone, as members of one training.

On an accelerator they are a vmapped axis of one program, since it is far from
busy with one of them. On CPU they run in turn, compiled once. Either way each
folder ends as `weightspace.training.pretrain.pretrain` leaves it.

While members are trained together, a folder beside that of the first run,
`NAME.members`, holds what is needed to go on:

  config.json    the zoo, and the configs of the runs by their folders
  metrics.jsonl  a metric `loss` of each run as loss/0, loss/1, ...
  checkpoints/   states with a leading axis of runs
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh

from weightspace import zoo
from weightspace.io.checkpoints import Checkpoints
from weightspace.keys import derive
from weightspace.training import batches, workdir
from weightspace.training import optimizer as optimizer_lib
from weightspace.training import pretrain as pretrain_lib
from weightspace.training.fit import Program, Saving, fit
from weightspace.training.optimizer import TrainState, init_state
from weightspace.training.pretrain import Pretrained
from weightspace.training.progress import Progress
from weightspace.training.setup import (
    Setup,
    claim_of,
    configure,
    make_setup,
    schedule,
)
from weightspace.training.workdir import MetricsLog

_FREE = ("emulation.seed", "optimizer.learning_rate")
_ORDER = batches.Split(order=0, shapes=None)  # what of a split members have
_Runs = dict[Path, Mapping[str, Any]]


def pretrain(
    source: zoo.Zoo,
    runs: Mapping[str | os.PathLike, Mapping[str, Any]],
    *,
    progress: Progress,
    together: bool | None = None,
    mesh: Mesh | None = None,
    memory: int | None = None,
) -> list[Pretrained]:
  """Pretrains several encoders alike; resumes, and does nothing twice.

  A run that had begun by itself goes on by itself. Called for the same runs,
  or for more, a training that was cut short goes on; if `together` has become
  False, its members go on one by one from where it was.

  Args:
    source: the zoo.
    runs: the config of each run by its folder; see `pretrain.pretrain`. They
      may differ in `emulation.seed` and `optimizer.learning_rate`.
    progress: where to show how far it is.
    together: whether to train them as one program; by default on an
      accelerator. That takes a split that fits in memory and a single device;
      else they run in turn, and the log says so.
    mesh: to spread each batch over, in turn.
    memory: bytes that the training split may take up; see `pretrain.pretrain`.

  Returns:
    What each run leaves, in their order; all have one model.

  Raises:
    FileExistsError: a folder belongs to a run of another config, or some of
      the runs were being trained together with others.
    ValueError: configs that differ in more; see also `pretrain.pretrain`.
  """
  runs = _checked(runs)
  alone = jax.process_count() == 1
  if jax.process_index() == 0:
    for folder, config in runs.items():
      workdir.claim(folder, claim_of(source, config))
  if together is None:
    together = _platform(mesh) != "cpu"
  if together and (not alone or (mesh is not None and mesh.size > 1)):
    logging.warning("seeds run in turn: there are several devices")
    together = False
  if alone:
    with jax.default_device(None if mesh is None else mesh.devices.flat[0]):
      _together(source, runs, progress, memory, together)
  return _in_turn(source, runs, progress, mesh, memory, alone)


def _checked(runs) -> _Runs:
  if not runs:
    raise ValueError("there are no runs to pretrain")
  found = {Path(os.path.abspath(f)): config for f, config in runs.items()}
  if len({os.path.realpath(folder) for folder in found}) < len(runs):
    raise ValueError(f"each run needs a folder of its own: {list(runs)}")
  (first, config), *others = found.items()
  wanted = _fields(config)
  for folder, other in others:
    fields = _fields(other)
    for name in sorted({*wanted, *fields} - {*_FREE}):
      a, b = wanted.get(name), fields.get(name)
      if a != b:
        raise ValueError(
            f"runs may differ in {' and '.join(_FREE)} alone, but {name} is"
            f" {a!r} in {first.name} and {b!r} in {folder.name}"
        )
  for config in found.values():
    configure(config)
  return found


def _fields(config, prefix=""):
  """The values of a config as JSON has them, by their path."""
  found = {}
  for name, value in config.items():
    if isinstance(value, Mapping):
      found |= _fields(value, f"{prefix}{name}.")
    else:
      found[prefix + name] = json.loads(json.dumps(value))
  return found


def _platform(mesh):
  devices = jax.devices() if mesh is None else mesh.devices.flat
  return devices[0].platform


def _in_turn(source, runs, progress, mesh, memory, alone) -> list[Pretrained]:
  setup, found = None, []
  for folder, config in runs.items():
    result = None
    if alone:  # of several processes, only the first sees the folders
      with contextlib.suppress(FileNotFoundError):
        result, _ = pretrain_lib.load(source, folder)
    if result is None:
      setup = setup or make_setup(source, config, mesh)
      result = pretrain_lib.run(
          setup, config, folder, progress=progress, memory=memory
      )
    found.append(result)
  return [result._replace(model=found[0].model) for result in found]


def _together(source, runs, progress, memory, train):
  """Trains what has not begun, and ends what was begun, as one program."""
  first = next(iter(runs))
  beside = first.with_name(f"{first.name}.members")
  setup = None
  while True:
    if (beside / workdir.CONFIG).exists():
      members = _members(beside, runs)
    else:
      members = {f: runs[f] for f in runs if not _begun(f)}
      if not train or len(members) < 2:
        return
    setup = setup or make_setup(
        source, next(iter(runs.values())), members=True
    )
    if train and not batches.fits(source, setup.rows, memory=memory):
      logging.warning("seeds run in turn: their split is not held in memory")
      train = False
      continue
    named = {
        os.path.relpath(folder, beside.parent): dict(config)
        for folder, config in members.items()
    }
    workdir.claim(beside, {"zoo": source.spec.to_json(), "runs": named})
    _go_on(setup, members, beside, progress, train)
    shutil.rmtree(beside)


def _begun(folder) -> bool:
  with Checkpoints(folder / "checkpoints") as checkpoints:
    return bool(checkpoints.steps())


def _members(beside, runs) -> _Runs:
  """Those that were being trained together, which must all be asked for."""
  found = workdir.read(beside).get("runs")
  names = list(found) if isinstance(found, dict) else []
  folders = [Path(os.path.normpath(beside.parent / name)) for name in names]
  if not folders or any(folder not in runs for folder in folders):
    raise FileExistsError(
        f"{beside} holds a training of other runs together that was cut short"
        f" ({', '.join(names)}): ask for them all, or remove that folder"
    )
  return {folder: runs[folder] for folder in folders}


def _go_on(setup: Setup, members: _Runs, beside, progress, train):
  """Trains members to the end, or as far as they are, and shares them out."""
  configs = list(members.values())
  settings, _ = configure(configs[0])
  seeds = [configure(config)[0].seed for config in configs]
  keys = jnp.stack([jax.random.key(seed) for seed in seeds])
  optimizers = [configure(config)[1] for config in configs]
  optimizer, state, varied = _begin(setup, keys, optimizers)
  with (
      Checkpoints(beside / "checkpoints") as checkpoints,
      MetricsLog(beside / "metrics.jsonl") as metrics,
  ):
    if train:
      result = fit(
          Program(setup.loss, optimizer, members=_ORDER),
          state,
          jax.device_put(batches.load(setup.source, setup.rows, keys)),
          key=jax.vmap(lambda key: derive(key, "fit"))(keys),
          schedule=schedule(settings),
          validate=setup.validate,
          saving=Saving(checkpoints, metrics),
          progress=progress,
          name=f"pretrain {configs[0]['encoder']['name']},"
          f" {len(members)} together",
      )
      step, state = settings.steps, result.state
    else:
      restored = checkpoints.restore(state)
      if restored is None:
        return
      step, state = restored
    lines = metrics.rewind(step)
  state = jax.device_get(state)
  for place, folder in enumerate(members):
    if not _begun(folder):
      _share_out(folder, step, _of(state, place, varied), _lines(lines, place))


def _begin(setup, keys, configs: Sequence[optimizer_lib.OptimizerConfig]):
  """The optimiser of members and their first states, stacked."""
  rates = [config.learning_rate for config in configs]
  varied = len(set(rates)) > 1
  optimizer = optimizer_lib.make_optimizer(configs[0])
  if varied:
    optimizer = optimizer_lib.with_rate_in_state(
        optimizer_lib.make_optimizer(
            dataclasses.replace(configs[0], learning_rate=1.0)
        )
    )
  # One by one, so that they begin in the bits of a run alone
  params = [setup.init(derive(key, "init")) for key in keys]
  params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
  state = jax.vmap(lambda one: init_state(one, optimizer))(params)
  if varied:
    rates = jnp.asarray(rates, jnp.float32)
    state = state._replace(
        opt_state=optimizer_lib.set_rate(state.opt_state, rates)
    )
  return optimizer, state, varied


def _of(state: TrainState, place, varied) -> TrainState:
  """The state of a member, as it has it alone."""
  state = jax.tree.map(lambda leaf: np.asarray(leaf[place]), state)
  if varied:
    state = state._replace(opt_state=state.opt_state[0])
  return state


def _lines(lines, place):
  """The metrics of a member."""
  end = f"/{place}"
  return [
      {"step": line["step"]}
      | {k.removesuffix(end): v for k, v in line.items() if k.endswith(end)}
      for line in lines
  ]


def _share_out(folder, step, state, lines):
  """Leaves a run as if it had come to a step alone; the checkpoint last."""
  with (
      MetricsLog(folder / "metrics.jsonl") as metrics,
      Checkpoints(folder / "checkpoints") as checkpoints,
  ):
    metrics.rewind(-1)
    for line in lines:
      metrics.write(**line)
    metrics.sync()
    checkpoints.save(step, state)
