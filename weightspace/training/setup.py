"""What runs share that differ in seed or learning rate alone."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from weightspace import settings
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.training import batches, draws, encoding
from weightspace.training import model as model_lib
from weightspace.training.config import Config
from weightspace.training.model import Model
from weightspace.types import Key, Params
from weightspace.zoo import Zoo, loader, splits
from weightspace.zoo.loader import Data


class Setup(NamedTuple):
  """What runs share that differ in seed or learning rate alone.

  All that is compiled is in it, so runs with the same setup compile once.

  Attributes:
    dataset: the networks to train on, as the encoder reads them; see
      `encoding.view`.
    model: encoder and objective.
    init: (key) -> params; probes that start as real inputs are those of
      training networks.
    rows: (key of the run) -> `draws.Rows` of each shape of networks.
    loss: what `fit` differentiates.
    validate: (params, data) -> {"loss", ...}; [M] where params have such an
      axis.
    validation: the data to validate on, of each shape of networks.
    mesh: over which each batch is spread, or None.
  """

  dataset: batches.Dataset
  model: Model
  init: Callable[[Key], Params]
  rows: Callable[[Key], tuple[draws.Rows, ...]]
  loss: Callable
  validate: Callable[[Params, tuple[Data, ...]], dict[str, Any]]
  validation: tuple[Data, ...]
  mesh: Mesh | None


def make_model(zoo: Zoo, config: Config, mesh: Mesh | None = None) -> Model:
  """Encoder and objective of a config.

  Raises:
    ValueError: networks that the encoder, or the objective, is not for.
  """
  zoo = encoding.view(zoo, config.encoder)
  return model_lib.make(
      zoo.rnns, zoo.family, zoo.spec.snapshot_steps, config, mesh
  )


def check(zoo: Zoo, config: Config) -> None:
  """Checks that a config can be trained on a zoo, before a folder is claimed.

  Raises:
    ValueError: networks that the encoder, or the objective, is not for.
  """
  model = make_model(zoo, config)
  _rows(encoding.view(zoo, config.encoder), config, model)


@settings.pinned()
def make_setup(
    zoo: Zoo, config: Config, mesh: Mesh | None = None, members: bool = False
) -> Setup:
  """Model, loss and data of a config; seed and learning rate do not matter.

  Args:
    zoo: of the networks.
    config: what to train.
    mesh: to spread each batch over.
    members: whether `validate` takes params with a leading axis.
  """
  training = config.training
  zoo = encoding.view(zoo, config.encoder)
  model = make_model(zoo, config, mesh)
  family, objective = model.scope.family, model.objective
  split, rows, make_rows, validation = _rows(zoo, config, model)
  columns = objective.columns(
      zoo, {"train": split.train, "validation": split.validation}
  )
  counts = [int(r.count) for r in make_rows(make_key(0))]
  size = model_lib.make_size(model, counts, training.batch)
  measure = model_lib.make_measure(
      objective.measure,
      training.batch,
      mesh,
      together=objective.snapshots or 1,
      members=members,
  )
  draw = jax.jit(model.init)

  def init(key):
    params = draw(key)
    encoder = encoding.start_from_inputs(
        model.encoders[0], params["encoder"], zoo, family, split.train,
        derive(key, "examples"),
    )  # fmt: skip
    return params | {"encoder": encoder}

  def validate(params, data):
    return {
        name: np.mean(of_rows, axis=-1)
        for name, of_rows in measure(params, data).items()
    }

  return Setup(
      batches.Dataset(zoo, rows, columns, size),
      model,
      init,
      make_rows,
      model_lib.make_loss(model, size, training.matmul_precision),
      validate,
      loader.view_by_shape(
          zoo, validation, rollouts=objective.validation_sequences,
          columns=columns,
      ),
      mesh,
  )  # fmt: skip


def _rows(zoo, config, model):
  """The split, training rows of each shape, how they are drawn, validation."""
  snapshots = model.objective.snapshots
  split = splits.of_zoo(
      zoo, model.scope.family, seed=config.training.split_seed
  )
  rows = tuple(split.train[p] for p in loader.by_shape(zoo, split.train))
  make_rows = functools.partial(
      draws.of_split, [zoo.columns["net_id"][r] for r in rows], snapshots
  )
  validation = split.validation
  if snapshots:
    validation = validation[
        draws.side_by_side(zoo.columns["net_id"][validation], snapshots)
    ]
  if not len(validation) or not any(
      int(r.count) for r in make_rows(make_key(0))
  ):
    raise UserError(
        f"objective {config.objective!r} needs networks with {snapshots}"
        f" snapshots, for training and for validation, but {zoo.path} has none:"
        " make a zoo with more snapshot_steps"
    )
  return split, rows, make_rows, validation
