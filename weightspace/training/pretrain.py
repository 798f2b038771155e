"""Pretraining: an encoder trained on a zoo, into a folder, and back from it."""

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from weightspace import parallel, settings
from weightspace.encoders import Encoder
from weightspace.errors import UserError
from weightspace.io import locks, workdir
from weightspace.io.checkpoints import Checkpoints, PrimaryCheckpoints
from weightspace.keys import derive, make_key
from weightspace.progress import Progress
from weightspace.rnn import make_rnn
from weightspace.training import batches, encoding
from weightspace.training.config import Config, claim, identity, parse
from weightspace.training.fit import Program, Saving, fit
from weightspace.training.model import Model
from weightspace.training.optimizer import (
  init_state,
  make_optimizer,
  step_key,
)
from weightspace.training.setup import Setup, make_model, make_setup
from weightspace.types import Params
from weightspace.zoo import Zoo, ZooSpec


class Pretrained(NamedTuple):
  """What pretraining leaves.

  Attributes:
    config: of the training.
    model: encoder and objective, functions.
    params: {"encoder", ...}, those of the best validation score; beside the
      encoder's those of the objective, such as "emulator".
    step: of that score.
    history: metrics of the run, a dict a line; of several processes, process
      0 has those of before it was resumed.
  """

  config: Config
  model: Model
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
      raise UserError(
          "the encoder is of networks of several shapes: take one of"
          " model.encoders, which are in the order of zoo.rnns"
      )
    return self.model.encoders[0]


@settings.pinned()
def pretrain(
    zoo: Zoo,
    config: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    progress: Progress,
    mesh: Mesh | None = None,
    sharded: bool = False,
    tensorboard: bool = False,
    memory: int | None = None,
) -> Pretrained:
  """Trains an encoder of a zoo's networks for an objective; resumes.

  Args:
    zoo: of the networks.
    config: plain values, see `config.parse`.
    folder: of the run: its config, metrics and checkpoints. Of several
      processes, only process 0 reads and writes it.
    progress: where to show it.
    mesh: to spread each batch over; by default one device does it all. It
      may hold devices of several processes, all of which call this alike.
    sharded: whether the mesh shards params or copies them; see `fit`. A run may
      change it, as it may the mesh.
    tensorboard: whether to write TensorBoard's files too.
    memory: bytes that the training split may take up, by default a quarter of
      the memory; if it takes more, batches are read from disk. No bit of the
      outcome depends on it.

  Raises:
    FileExistsError: the folder belongs to a run of another config.
    ValueError: a field that does not exist, with the nearest name; an objective
      that this zoo is not for; processes that were given different zoos or
      configs.
  """
  config = parse(config)
  return run(
      make_setup(zoo, config, mesh), config, folder, progress=progress,
      sharded=sharded, tensorboard=tensorboard, memory=memory,
  )  # fmt: skip


@settings.pinned()
def run(
    setup: Setup,
    config: Config,
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
    config: what to train.
    folder: as the other arguments, see `pretrain`.
    progress: where to show it.
    sharded: whether the mesh shards params.
    tensorboard: whether to write TensorBoard's files too.
    memory: bytes that the training split may take up.
  """
  folder, primary = Path(folder), jax.process_index() == 0
  text = json.dumps(identity(setup.dataset.zoo, config), sort_keys=True)
  parallel.check_same(text, "zoo or config")
  if primary:
    claim(folder, setup.dataset.zoo, config)
  lock = locks.hold(folder) if primary else contextlib.nullcontext()
  key = make_key(config.training.seed)
  with (
      lock,
      _metrics(folder, primary, tensorboard) as metrics,
      PrimaryCheckpoints(folder / workdir.CHECKPOINTS) as checkpoints,
      batches.open_split(
          setup.dataset,
          setup.rows(key),
          functools.partial(step_key, derive(key, "fit")),
          mesh=setup.mesh,
          memory=memory,
      ) as split,
  ):
    params = setup.init(derive(key, "init"))
    split, validation = _observe(setup, params, split)
    result = fit(
        Program(
            setup.loss, make_optimizer(config.optimizer), setup.mesh, sharded
        ),
        params,
        split,
        key=derive(key, "fit"),
        schedule=config.training.schedule,
        validate=lambda params: setup.validate(params, validation),
        saving=Saving(checkpoints, metrics),
        progress=progress,
        name=f"pretrain {config.encoder.name}",
    )
  return Pretrained(
      config,
      setup.model,
      parallel.fetch(result.state.best_params),
      int(result.state.best_step),
      result.history,
  )


def _metrics(folder, primary, tensorboard):
  if not primary:
    return contextlib.nullcontext()
  return workdir.MetricsLog(folder / workdir.METRICS, tensorboard=tensorboard)


def _observe(setup, params, split):
  """Splits of training and validation; in memory, of what is observed once."""
  if not isinstance(split, batches.Split):
    return split, setup.validation
  observe = functools.partial(
      encoding.observe,
      setup.model.scope.rnns,
      setup.model.encoders,
      params["encoder"],
  )
  return split._replace(shapes=observe(split.shapes)), observe(setup.validation)


@settings.pinned()
def load(
    zoo: Zoo, folder: str | os.PathLike
) -> tuple[Pretrained, dict[str, Any]]:
  """The encoder that `pretrain` left in a folder, and its config.

  Args:
    zoo: of networks to encode, with the inputs and outputs of those it was
      trained on; their shapes may be others where its params are the same.
    folder: of the run.

  Raises:
    FileNotFoundError: there is no finished run.
    ValueError: it cannot encode the zoo's networks, or is damaged.
  """
  folder = Path(folder)
  stored = workdir.read(folder)
  try:
    config = parse(stored)
    model = _model(zoo, folder, stored, config)
    optimizer = make_optimizer(config.optimizer)
    template = jax.eval_shape(
        lambda key: init_state(model.init(key), optimizer), make_key(0)
    )
  except (ValueError, OSError):
    raise
  except Exception as error:  # untrusted input may hold anything
    raise UserError(
        f"{folder / workdir.CONFIG} is not the config of such a run:"
        f" {error!r}"
    ) from error
  with Checkpoints(folder / workdir.CHECKPOINTS) as checkpoints:
    restored = checkpoints.restore(template)
  if restored is None or restored[0] < config.training.steps:
    raise FileNotFoundError(
        f"{folder} holds no finished run; continue it with"
        f" python -m experiments.pretrain --workdir={folder}"
    )
  best = jax.device_get(restored[1].best_params)
  history = workdir.read_metrics(folder / workdir.METRICS)
  step = int(restored[1].best_step)
  return Pretrained(config, model, best, step, history), stored


def _model(zoo, folder, stored, config):
  """The model of a stored run, of a zoo's networks of any shapes."""
  trained = ZooSpec.from_json(stored["zoo"]).rnns[0]
  given = zoo.spec.rnns[0]
  if (trained.inputs, trained.outputs) != (given.inputs, given.outputs):
    raise UserError(
        f"{folder} encodes networks with {trained.inputs} inputs and"
        f" {trained.outputs} outputs, those of {zoo.path} have {given.inputs}"
        f" and {given.outputs}"
    )
  model = make_model(zoo, config)
  if config.encoder.name != encoding.TRUTH:  # its params fit any network
    encoding.make_encoders(
        (make_rnn(trained), *zoo.rnns), model.scope.family.spec, config.encoder
    )
  return model
