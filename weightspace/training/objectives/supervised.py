"""Supervised training: an encoder with a head for each property, jointly.

The baselines of section 5: what encoders learn where, instead of being
pretrained without labels and frozen, they are trained on the properties
themselves. Regressions are standardised by the mean and deviation of the rows
to train on.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/supervised.py:statistics
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from weightspace import fields, heads, properties
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.training import encoding, objectives
from weightspace.training.objectives import Objective, Scope
from weightspace.zoo import Zoo


@dataclass(frozen=True)
class Config(objectives.Config):
  """How encoder and heads are trained together.

  Attributes:
    properties: names, see `weightspace.properties.load`.
    augment: for encoders that are not invariant: "permutation", "signed" or
      "none".
    hidden: units of each hidden layer of a head.
    layers: how many hidden layers; 0 is a linear head.
  """

  properties: tuple[str, ...] = ("task", "accuracy")
  steps: int = 20_000
  augment: str = "permutation"
  hidden: int = 128
  layers: int = 2
  validate_every: int = 500

  def __post_init__(self):
    super().__post_init__()
    object.__setattr__(self, "properties", tuple(self.properties))
    encoding.check_augment(self.augment)
    properties.check_names(self.properties)
    fields.check_integers(self, "hidden")
    fields.check_integers(self, "layers", least=0)


def make(config: Config, scope: Scope) -> Objective:
  """Heads on codes minimise the sum of their losses.

  Raises:
    ValueError: a property that these networks do not have.
  """
  of_property = _heads(config, scope)

  def losses(params, codes, data):
    """Losses [B] of the head of each property."""
    of_all = {}
    for name, head in of_property.items():
      outputs = head.apply(params["heads"][name], codes)
      of_all[name] = head.loss(outputs, data.columns[name])
      if _weights(name) in data.columns:  # of some the target is unknown
        of_all[name] *= data.columns[_weights(name)]
    return of_all

  def loss(params, batch, key):
    codes = scope.encode(params, batch, key, config.augment)
    sums = [
        sum(jnp.sum(one) for one in losses(params, *pair).values())
        for pair in objectives.present(codes, batch)
    ]
    return sum(sums) / config.batch, {}

  def measure(params, batch):
    (pair,) = objectives.present(scope.encode(params, batch), batch)
    each = losses(params, *pair)
    return {"loss": sum(each.values()), **each}

  return Objective(
      init=lambda key: {
          "heads": {
              name: head.init(derive(derive(key, "head"), name))
              for name, head in of_property.items()
          }
      },
      loss=loss,
      measure=measure,
      columns=lambda zoo, rows: _targets(config, scope, zoo, rows)[0],
  )


def make_outputs(config: Config, scope: Scope) -> Callable:
  """A function that returns what heads predict.

  Returns:
    (params, batch of one shape) -> {property: [B, *shape]}, standardised.
  """
  of_property = _heads(config, scope)

  def outputs(params, batch):
    ((codes, _),) = objectives.present(scope.encode(params, batch), batch)
    return {
        name: head.apply(params["heads"][name], codes)
        for name, head in of_property.items()
    }

  return outputs


def in_units(
    config: Config,
    scope: Scope,
    zoo: Zoo,
    rows: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Outputs of heads in the units of the targets; see `Objective.columns`."""
  _, scaling = _targets(config, scope, zoo, rows)
  of = _of_properties(scope)
  return {
      name: heads.in_units(properties.load(name, of), of_all, *scaling[name])
      for name, of_all in outputs.items()
  }


def _heads(config, scope):
  sizes = heads.Config("mlp", config.hidden, config.layers)
  of = _of_properties(scope)
  return {
      name: heads.make(sizes, properties.load(name, of), of, scope.code)
      for name in config.properties
  }


def _of_properties(scope):
  return properties.Scope(scope.family.spec, scope.steps)


def _weights(name):
  return f"weights of {name}"


def _targets(config, scope, zoo, rows):
  """Standardised targets [R, n] of each property; its (centre, scale).

  Rows without a target have a weight of 0, those with one the inverse of their
  share: a part's mean loss is that of the known ones.
  """
  targets, scaling = {}, {}
  of = _of_properties(scope)
  columns = properties.columns(zoo, config.properties)
  for name in config.properties:
    property_ = properties.load(name, of)
    target = property_.target(columns, of)
    known = properties.known(target)
    for part, chosen in rows.items():
      if not known[chosen].any():
        raise UserError(
            f"property {name!r} is known of none of the {len(chosen)} {part}"
            " rows"
        )
    train = rows["train"][known[rows["train"]]]
    scaling[name] = heads.scaling(property_, target[train])
    targets[name] = heads.standardise(property_, target, *scaling[name])
    if not all(known[chosen].all() for chosen in rows.values()):
      targets[name] = np.where(known[:, None], targets[name], 0).astype(
          targets[name].dtype
      )
      weights = known.astype(np.float32)
      for chosen in rows.values():
        weights[chosen] /= np.mean(known[chosen])
      targets[_weights(name)] = weights
  return targets, scaling
