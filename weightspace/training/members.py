"""Runs that differ in seed or learning rate alone, as members of one training.

On an accelerator they are a vmapped axis of one program, since one of them
leaves it mostly idle. On CPU they are trained one after the other, compiled
once. Either way each folder ends as `weightspace.training.pretrain.pretrain`
leaves it.

While members are trained together, a folder beside that of the first run,
`NAME.members`, holds what is needed to resume:

  config.json    the zoo, and the configs of the runs by their folders
  metrics.jsonl  a metric `loss` of each run as loss/0, loss/1, ...
  checkpoints/   states with a leading axis of runs
"""

import contextlib
import dataclasses
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

from weightspace import settings
from weightspace.errors import UserError
from weightspace.io import locks, workdir
from weightspace.io.checkpoints import Checkpoints
from weightspace.io.workdir import MetricsLog
from weightspace.keys import derive, make_key
from weightspace.progress import Progress
from weightspace.training import batches
from weightspace.training import config as config_lib
from weightspace.training import optimizer as optimizer_lib
from weightspace.training import pretrain as pretrain_lib
from weightspace.training import setup as setup_lib
from weightspace.training.config import Config
from weightspace.training.draws import Rows
from weightspace.training.fit import Program, Saving, fit
from weightspace.training.optimizer import TrainState
from weightspace.training.pretrain import Pretrained
from weightspace.training.setup import Setup, make_setup
from weightspace.zoo import Zoo

_RATE = "optimizer.learning_rate"
_ORDER = Rows(order=0, groups=None, sizes=None, count=None)  # members' axes
_Runs = dict[Path, Config]


@settings.pinned()
def pretrain(
    zoo: Zoo,
    runs: Mapping[str | os.PathLike, Mapping[str, Any]],
    *,
    progress: Progress,
    vmapped: bool | None = None,
    mesh: Mesh | None = None,
    memory: int | None = None,
) -> list[Pretrained]:
  """Pretrains several encoders alike; resumes, and does nothing twice.

  A run that has a checkpoint of its own is resumed alone. Called for the same
  runs, or for more, an interrupted vmapped training is resumed; if `vmapped`
  has become False, its members are resumed one by one from where it was.

  Args:
    zoo: of the networks.
    runs: the config of each run by its folder; see `pretrain.pretrain`. They
      may differ in the seed and `optimizer.learning_rate`.
    progress: where to show it.
    vmapped: whether to train them as one program; by default on an
      accelerator. It needs a split that fits in memory and a single device;
      else they are trained sequentially, and the log says so.
    mesh: to spread each batch over, in sequential training.
    memory: bytes that the training split may take up; see `pretrain.pretrain`.

  Returns:
    What each run leaves, in their order; all have one model.

  Raises:
    FileExistsError: a folder belongs to a run of another config, or some of
      the runs were being trained together with others.
    ValueError: configs that differ in more; see also `pretrain.pretrain`.
  """
  runs = _parse(runs)
  single = jax.process_count() == 1
  setup_lib.check(zoo, next(iter(runs.values())))
  if jax.process_index() == 0:
    for folder, config in runs.items():
      config_lib.claim(folder, zoo, config)
  devices = jax.devices() if mesh is None else list(mesh.devices.flat)
  if vmapped is None:
    vmapped = devices[0].platform != "cpu"
  if vmapped and (not single or (mesh is not None and mesh.size > 1)):
    logging.warning("seeds are trained sequentially: there are several devices")
    vmapped = False
  if single:
    with jax.default_device(None if mesh is None else devices[0]):
      _train_vmapped(zoo, runs, progress, memory, vmapped)
  return _train_sequential(zoo, runs, progress, mesh, memory, single)


def _parse(runs) -> _Runs:
  if not runs:
    raise UserError("there are no runs to pretrain")
  configs = {
      Path(os.path.abspath(folder)): config_lib.parse(config)
      for folder, config in runs.items()
  }
  if len({os.path.realpath(folder) for folder in configs}) < len(runs):
    raise UserError(f"each run needs a folder of its own: {list(runs)}")
  (first, config), *others = configs.items()
  expected = _fields(config.to_json())
  free = f"{config.objective}.seed", _RATE
  for folder, other in others:
    fields = _fields(other.to_json())
    for name in sorted({*expected, *fields} - {*free}):
      a, b = expected.get(name), fields.get(name)
      if a != b:
        raise UserError(
            f"runs may differ in {' and '.join(free)} alone, but {name} is"
            f" {a!r} in {first.name} and {b!r} in {folder.name}"
        )
  return configs


def _fields(config):
  """The values of a config by "part.field", and its objective."""
  parts = {name: part for name, part in config.items() if name != "objective"}
  return {"objective": config["objective"]} | {
      f"{part}.{name}": value
      for part, fields in parts.items()
      for name, value in fields.items()
  }


def _train_sequential(
    zoo, runs, progress, mesh, memory, single
) -> list[Pretrained]:
  setup, results = None, []
  for folder, config in runs.items():
    result = None
    if single:  # of several processes, only the first sees the folders
      with contextlib.suppress(FileNotFoundError):
        result, _ = pretrain_lib.load(zoo, folder)
    if result is None:
      setup = setup or make_setup(zoo, config, mesh)
      result = pretrain_lib.run(
          setup, config, folder, progress=progress, memory=memory
      )
    results.append(result)
  return [result._replace(model=results[0].model) for result in results]


def _train_vmapped(zoo, runs, progress, memory, train):
  """Trains runs without a checkpoint, and resumes what was begun together.

  If `train` is False, what was begun is only saved to the runs' own folders.
  """
  first = next(iter(runs))
  beside = first.with_name(f"{first.name}.members")
  setup = None
  while True:
    if (beside / workdir.CONFIG).exists():
      members = _members(beside, runs)
    else:
      members = {f: runs[f] for f in runs if not _has_checkpoint(f)}
      if not train or len(members) < 2:
        return
    setup = setup or make_setup(zoo, runs[first], members=True)
    if train and not batches.fits(setup.dataset, None, memory):
      logging.warning(
          "seeds are trained sequentially: their split is not held in memory"
      )
      train = False
      continue
    _claim(beside, zoo, members)
    with locks.hold(beside):
      _resume(setup, members, beside, progress, train)
      shutil.rmtree(beside)


def _has_checkpoint(folder) -> bool:
  with Checkpoints(folder / workdir.CHECKPOINTS) as checkpoints:
    return bool(checkpoints.steps())


def _members(beside, runs) -> _Runs:
  """Those that were being trained together, all of which must be in `runs`."""
  stored = workdir.read(beside).get("runs")
  names = list(stored) if isinstance(stored, dict) else []
  folders = [Path(os.path.normpath(beside.parent / name)) for name in names]
  if not folders or any(folder not in runs for folder in folders):
    raise FileExistsError(
        f"{beside} holds an interrupted training of other runs together"
        f" ({', '.join(names)}): pretrain them all, or remove that folder"
    )
  return {folder: runs[folder] for folder in folders}


def _claim(beside, zoo, members: _Runs):
  def complete(stored):
    members = {
        name: config_lib.complete({"zoo": stored["zoo"], **config})
        for name, config in stored["runs"].items()
    }
    return {"runs": members}

  named = {
      os.path.relpath(folder, beside.parent): config.to_json()
      for folder, config in members.items()
  }
  config = {"zoo": zoo.spec.to_json(), "runs": named}
  workdir.claim(beside, config, complete)


def _resume(setup: Setup, members: _Runs, beside, progress, train):
  """Trains members to the end, if at all, and saves each to its folder."""
  configs = list(members.values())
  keys = jnp.stack([make_key(c.training.seed) for c in configs])
  optimizer = _make_optimizer(configs)
  state = _init_state(setup, optimizer, keys, configs)
  axes = (_ORDER,) * len(setup.dataset.rows)
  rows = jax.vmap(setup.rows, out_axes=axes)(keys)
  with (
      Checkpoints(beside / workdir.CHECKPOINTS) as checkpoints,
      MetricsLog(beside / workdir.METRICS) as metrics,
  ):
    if train:
      result = fit(
          Program(setup.loss, optimizer, members=batches.Split(axes, None)),
          state,
          jax.device_put(batches.load(setup.dataset, rows)),
          key=jax.vmap(lambda key: derive(key, "fit"))(keys),
          schedule=configs[0].training.schedule,
          validate=lambda params: setup.validate(params, setup.validation),
          saving=Saving(checkpoints, metrics),
          progress=progress,
          name=f"pretrain {configs[0].encoder.name}, {len(members)} together",
      )
      step, state = configs[0].training.steps, result.state
    else:
      restored = checkpoints.restore(state)
      if restored is None:
        return
      step, state = restored
    lines = metrics.rewind(step)
  state = jax.device_get(state)
  for place, folder in enumerate(members):
    if not _has_checkpoint(folder):
      alone = _member_state(state, place, _rates_differ(configs))
      _save_member(folder, step, alone, _member_metrics(lines, place))


def _rates_differ(configs: Sequence[Config]) -> bool:
  return len({config.optimizer.learning_rate for config in configs}) > 1


def _make_optimizer(configs):
  config = configs[0].optimizer
  if not _rates_differ(configs):
    return optimizer_lib.make_optimizer(config)
  return optimizer_lib.with_rate_in_state(
      optimizer_lib.make_optimizer(
          dataclasses.replace(config, learning_rate=1.0)
      )
  )


def _init_state(setup, optimizer, keys, configs):
  """The first states of members, stacked."""
  # One by one, so that they have the bits of a run alone
  params = [setup.init(derive(key, "init")) for key in keys]
  params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
  state = jax.vmap(lambda one: optimizer_lib.init_state(one, optimizer))(params)
  if not _rates_differ(configs):
    return state
  rates = [config.optimizer.learning_rate for config in configs]
  opt_state = optimizer_lib.set_rate(
      state.opt_state, jnp.asarray(rates, jnp.float32)
  )
  return state._replace(opt_state=opt_state)


def _member_state(state: TrainState, place, rates_differ) -> TrainState:
  """The state of a member, as a run alone has it."""
  state = jax.tree.map(lambda leaf: np.asarray(leaf[place]), state)
  if rates_differ:
    state = state._replace(opt_state=state.opt_state[0])
  return state


def _member_metrics(lines, place):
  end = f"/{place}"
  return [
      {"step": line["step"]}
      | {k.removesuffix(end): v for k, v in line.items() if k.endswith(end)}
      for line in lines
  ]


def _save_member(folder, step, state, lines):
  """Leaves a run as if it had come to a step alone; the checkpoint last."""
  with (
      MetricsLog(folder / workdir.METRICS) as metrics,
      Checkpoints(folder / workdir.CHECKPOINTS) as checkpoints,
  ):
    metrics.rewind(-1)
    for line in lines:
      metrics.write(**line)
    metrics.sync()
    checkpoints.save(step, state)
