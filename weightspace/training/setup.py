"""What runs of pretraining share that differ in seed or learning rate alone.

All that is compiled is in it, so runs that are given the same compile once.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from weightspace import plugins, tasks, zoo
from weightspace.keys import derive
from weightspace.training import emulation, encoding, truth
from weightspace.training.fit import Schedule
from weightspace.training.optimizer import OptimizerConfig
from weightspace.types import Key, Params
from weightspace.zoo import loader, splits


class Setup(NamedTuple):
  """A model and the data that it is trained on.

  Attributes:
    source: the zoo.
    model: encoder and emulator.
    init: (key) -> params; probes that start as real inputs are those of
      training networks.
    rows: of the zoo, those to train on.
    loss: what `fit` differentiates.
    validate: (params) -> {"loss"}; [M] where params have such an axis.
    mesh: over which each batch is spread, or None.
  """

  source: zoo.Zoo
  model: emulation.Model
  init: Callable[[Key], Params]
  rows: np.ndarray
  loss: Callable
  validate: Callable[[Params], dict[str, Any]]
  mesh: Mesh | None


def make_setup(
    source: zoo.Zoo,
    config: Mapping[str, Any],
    mesh: Mesh | None = None,
    members: bool = False,
) -> Setup:
  """What a config asks for, but for its seed and its optimiser.

  Args:
    source: the zoo.
    config: see `pretrain.pretrain`.
    mesh: to spread each batch over.
    members: whether `validate` takes params with a leading axis.

  Raises:
    ValueError: a field that is not there, with the nearest name.
  """
  settings, _ = configure(config)
  source = truth.view(source, config)
  family = tasks.make(source.spec.family, source.spec.family_config)
  model = emulation.make_model(source.rnns, family, config)
  split = splits.of_zoo(source, family, seed=settings.split_seed)
  measure = emulation.make_measure(
      model, family, settings, mesh, members=members
  )
  validation = loader.view_by_shape(
      source, split.validation, rollouts=settings.validation_sequences
  )

  def validate(params):
    rows = measure(params, validation)[settings.score]
    return {"loss": np.mean(rows, axis=-1)}

  draw = jax.jit(model.init)

  def init(key):
    params = draw(key)
    return params | {
        "encoder": encoding.start_from_inputs(
            model.encoders[0],
            params["encoder"],
            source,
            family,
            split.train,
            derive(key, "examples"),
        )
    }

  return Setup(
      source,
      model,
      init,
      split.train,
      emulation.make_loss(model, family, settings, mesh),
      validate,
      mesh,
  )


def configure(
    config: Mapping[str, Any],
) -> tuple[emulation.Config, OptimizerConfig]:
  """How to train; raises as `make_setup`."""
  return (
      plugins.configure(emulation.Config, config["emulation"], "emulation"),
      plugins.configure(OptimizerConfig, config["optimizer"], "optimizer"),
  )


def claim_of(source: zoo.Zoo, config: Mapping[str, Any]) -> dict[str, Any]:
  """What the folder of a run says that it is of."""
  return {"zoo": source.spec.to_json(), **config}


def schedule(settings: emulation.Config) -> Schedule:
  """How long to train, and what happens how often."""
  return Schedule(
      settings.steps,
      min(100, settings.validate_every),
      settings.validate_every,
      settings.checkpoint_every,
  )
