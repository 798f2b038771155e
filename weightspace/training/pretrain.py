"""Pretraining: emulation run on a zoo, into a folder, and back from it."""

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from weightspace import parallel, tasks, zoo
from weightspace.encoders import Encoder
from weightspace.io.checkpoints import Checkpoints, PrimaryCheckpoints
from weightspace.keys import derive
from weightspace.training import batches, emulation, encoding, truth, workdir
from weightspace.training.fit import Program, Saving, fit
from weightspace.training.optimizer import (
    OptimizerConfig,
    init_state,
    make_optimizer,
    step_key,
)
from weightspace.training.progress import Progress
from weightspace.training.setup import (
    Setup,
    claim_of,
    configure,
    make_setup,
    schedule,
)
from weightspace.training.workdir import MetricsLog
from weightspace.types import Params


class Pretrained(NamedTuple):
  """What emulation leaves.

  Attributes:
    model: encoder and emulator, functions.
    params: {"encoder", "emulator"}, those of the best validation score.
    step: of that score.
    history: metrics of the run, a dict a line; of several processes, process
      0 has those of before it was resumed.
  """

  model: emulation.Model
  params: Params
  step: int
  history: list[dict[str, Any]]

  @property
  def encoder(self) -> Encoder:
    """The one of networks of the zoo's only shape.

    Raises:
      ValueError: the zoo has several; see `model.encoders`.
    """
    if len(self.model.encoders) > 1:
      raise ValueError(
          "the encoder is of networks of several shapes: take one of"
          " model.encoders, which are in the order of zoo.rnns"
      )
    return self.model.encoders[0]


def pretrain(
    source: zoo.Zoo,
    config: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    progress: Progress,
    mesh: Mesh | None = None,
    sharded: bool = False,
    tensorboard: bool = False,
    memory: int | None = None,
) -> Pretrained:
  """Trains an encoder of a zoo's networks by emulation; resumes.

  Args:
    source: the zoo.
    config: "encoder", "emulator", "optimizer" and "emulation", see
      `experiments/configs/emulation.py`.
    folder: of the run: its config, metrics and checkpoints. Of several
      processes, only process 0 reads and writes it.
    progress: where to show how far it is.
    mesh: to spread each batch over; by default one device does it all. It
      may hold devices of several processes, all of which call this alike.
    sharded: whether the mesh shares params out or copies them; see `fit`. A
      run may change it, as it may the mesh.
    tensorboard: whether to write TensorBoard's files too.
    memory: bytes that the training split may take up, by default a quarter of
      what there is; if it takes more, batches are read from disk. No bit of the
      outcome depends on it.

  Raises:
    FileExistsError: the folder belongs to a run of another config.
    ValueError: a field that is not there, with the nearest name; processes
      that were given different zoos or configs.
  """
  return run(
      make_setup(source, config, mesh), config, folder, progress=progress,
      sharded=sharded, tensorboard=tensorboard, memory=memory,
  )  # fmt: skip


def run(
    setup: Setup,
    config: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    progress: Progress,
    sharded: bool = False,
    tensorboard: bool = False,
    memory: int | None = None,
) -> Pretrained:
  """As `pretrain`, with what it may share with other runs.

  Args:
    setup: of a config that differs in its seed and learning rate at most.
    config: see `pretrain`, as the other arguments.
    folder: of the run.
    progress: where to show how far it is.
    sharded: whether the mesh shares params out.
    tensorboard: whether to write TensorBoard's files too.
    memory: bytes that the training split may take up.
  """
  settings, optimizer = configure(config)
  source, model, mesh = setup.source, setup.model, setup.mesh
  folder, first = Path(folder), jax.process_index() == 0
  claimed = claim_of(source, config)
  parallel.check_same(json.dumps(claimed, sort_keys=True), "zoo or config")
  if first:
    workdir.claim(folder, claimed)
  key = jax.random.key(settings.seed)
  with (
      PrimaryCheckpoints(folder / "checkpoints") as checkpoints,
      (
          MetricsLog(folder / "metrics.jsonl", tensorboard=tensorboard)
          if first
          else contextlib.nullcontext()
      ) as metrics,
      batches.training(
          source,
          setup.rows,
          key,
          emulation.batch_size(settings),
          functools.partial(step_key, derive(key, "fit")),
          mesh=mesh,
          memory=memory,
      ) as training,
  ):
    params = setup.init(derive(key, "init"))
    result = fit(
        Program(setup.loss, make_optimizer(optimizer), mesh, sharded),
        params,
        encoding.observe(
            model.rnns, model.encoders, params["encoder"], training
        ),
        key=derive(key, "fit"),
        schedule=schedule(settings),
        validate=setup.validate,
        saving=Saving(checkpoints, metrics),
        progress=progress,
        name=f"pretrain {config['encoder']['name']}",
    )
  return Pretrained(
      model,
      parallel.fetch(result.state.best_params),
      int(result.state.best_step),
      result.history,
  )


def load(
    source: zoo.Zoo, folder: str | os.PathLike
) -> tuple[Pretrained, dict[str, Any]]:
  """The encoder that `pretrain` left in a folder, and its config.

  Raises:
    FileNotFoundError: there is no finished run.
    ValueError: it was trained on networks of another shape, or is damaged.
  """
  folder = Path(folder)
  config = workdir.read(folder)
  try:
    source = truth.view(source, config)
    model, template = _expected(source, folder, config)
    steps = int(config["emulation"]["steps"])
  except (ValueError, OSError):
    raise
  except Exception as error:  # it may be a stranger's, and hold anything
    raise ValueError(
        f"{folder / workdir.CONFIG} is not the config of such a run:"
        f" {error!r}"
    ) from error
  with Checkpoints(folder / "checkpoints") as checkpoints:
    restored = checkpoints.restore(template)
  if restored is None or restored[0] < steps:
    raise FileNotFoundError(
        f"{folder} holds no finished run; continue it with"
        f" python -m experiments.pretrain --workdir={folder}"
    )
  state = restored[1]
  return (
      Pretrained(
          model,
          jax.device_get(state.best_params),
          int(state.best_step),
          workdir.read_metrics(folder / "metrics.jsonl"),
      ),
      config,
  )


def _expected(source, folder, config):
  """The model of a config, and what its checkpoints hold."""
  family = tasks.make(source.spec.family, source.spec.family_config)
  shapes = zoo.ZooSpec.from_json(config["zoo"]).rnns
  if shapes != source.spec.rnns:
    raise ValueError(
        f"{folder} encodes networks of {_listed(shapes)}, those of the zoo are"
        f" of {_listed(source.spec.rnns)}"
    )
  model = emulation.make_model(source.rnns, family, config)
  optimizer = make_optimizer(OptimizerConfig(**config["optimizer"]))
  template = jax.eval_shape(
      lambda key: init_state(model.init(key), optimizer), jax.random.key(0)
  )
  return model, template


def _listed(shapes):
  return " and ".join(map(str, shapes))
