"""Heads trained on frozen codes: of several forms, one chosen on validation."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import heads, properties
from weightspace.keys import derive
from weightspace.training.batches import Rows
from weightspace.training.fit import Program, Schedule, fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.types import Params

# A linear map of standardised codes bears a higher learning rate than an MLP
_RATES = {"mlp": 1.0, "linear": 10.0, "ordinal": 10.0}


@dataclass(frozen=True)
class Config:
  """How heads are trained on frozen codes.

  Attributes:
    properties: names of modules in `weightspace.properties`.
    forms: of the heads that are trained, see `weightspace.heads`; all have the
      same budget, and validation chooses one for each property. ("mlp",) is
      the paper's.
    steps: of gradient descent.
    batch: codes a step.
    learning_rate: AdamW's for an MLP, falling to 0 along a cosine; ten times as
      high for linear and ordinal heads.
    weight_decay: AdamW's.
    hidden: units of each hidden layer of an MLP.
    layers: how many.
    validate_every: steps between two validations, which select the step.
    resamples: of the bootstrap of each metric.
    seed: of initialisation, batches, and which half of the OOD tasks is the
      test.
  """

  properties: tuple[str, ...] = ("task", "accuracy")
  forms: tuple[str, ...] = heads.FORMS
  steps: int = 2000
  batch: int = 256
  learning_rate: float = 1e-3
  weight_decay: float = 0.01
  hidden: int = 128
  layers: int = 2
  validate_every: int = 100
  resamples: int = 300
  seed: int = 0

  def __post_init__(self):
    object.__setattr__(self, "properties", tuple(self.properties))
    object.__setattr__(self, "forms", tuple(self.forms))
    for form in self.forms:
      heads.check_form(form)
    if not self.forms:
      raise ValueError("forms must name at least one form of a head, got none")

  def head(self, form: str) -> heads.Config:
    """A head of one of the forms."""
    return heads.Config(form, self.hidden, self.layers)


class Trained(NamedTuple):
  """A head, trained.

  Attributes:
    form: of the head.
    params: of the head, those of the best validation score.
    step: of that score.
    score: the mean loss on validation, of targets that are standardised in a
      regression; infinite where there was no validation.
    outputs: [R, *shape of the property] of all rows, in the targets' units.
    centre: [n], added to what the head of a regression puts out, which
    scale: [n], multiplies before. 0 and 1 for proportions, empty for
      classifications.
  """

  form: str
  params: Params
  step: int
  score: float
  outputs: np.ndarray
  centre: np.ndarray
  scale: np.ndarray


class _Data(NamedTuple):
  codes: jax.Array  # [R, Z] of all rows of the zoo, standardised
  targets: jax.Array  # [R, n]
  train: Rows


def make_trainer(
    property_name: str, scope: properties.Scope, code: int, config: Config
) -> Callable[..., Trained]:
  """What trains heads of a property; compiled once for all codes and seeds.

  Args:
    property_name: a module in `weightspace.properties`.
    scope: of the zoo.
    code: size of a code, Z.
    config: how to train.

  Returns:
    (codes [R, Z] of all rows, columns of the zoo, rows to train on, at most R,
    rows to validate on, seed) -> `Trained`, the one with the lowest loss on
    validation of all forms that fit the property. Without rows to validate on,
    the first form is trained, and its last params are kept.

  Raises:
    ValueError: none of the forms fits the property.
  """
  property_ = properties.load(property_name)
  forms = [form for form in config.forms if heads.fits(form, property_)]
  if not forms:
    raise ValueError(
        f"property {property_name!r} has no heads of the forms"
        f" {', '.join(config.forms)}; add 'linear' or 'mlp'"
    )
  trainers = [
      _make_trainer(property_name, scope, code, config, form) for form in forms
  ]

  def train(codes, columns, rows, validation, seed):
    tried = trainers if len(validation) else trainers[:1]
    trained = [of(codes, columns, rows, validation, seed) for of in tried]
    return min(trained, key=lambda head: head.score)

  return train


@functools.lru_cache(maxsize=64)
def _make_trainer(property_name, scope, code, config, form):
  """`make_trainer` of one form."""
  property_ = properties.load(property_name)
  head = heads.make(config.head(form), property_, scope, code)
  optimizer = make_optimizer(
      OptimizerConfig(
          learning_rate=config.learning_rate * _RATES[form],
          weight_decay=config.weight_decay,
          clip=1.0,
          decay_steps=config.steps,
      )
  )
  apply = jax.jit(head.apply)

  def loss(params, key, step, data):
    del key
    rows = data.train.of_step(step, config.batch)
    outputs = head.apply(params["head"], data.codes[rows])
    return jnp.mean(head.loss(outputs, data.targets[rows])), {}

  @jax.jit
  def row_losses(params, codes, targets):
    return head.loss(head.apply(params["head"], codes), targets)

  def train(codes, columns, rows, validation, seed):
    targets = property_.target(columns, scope)
    centre, scale = heads.scaling(property_, targets[rows])
    middle, spread = heads.moments(np.asarray(codes)[rows])
    key = jax.random.key(seed)
    data = jax.tree.map(
        jnp.asarray,
        _Data(
            (codes - middle) / spread,
            heads.standardise(property_, targets, centre, scale),
            Rows.of(derive(key, "order"), rows, len(codes)),
        ),
    )

    def validate(params):
      losses = np.asarray(row_losses(params, data.codes, data.targets))
      return {"loss": np.mean(losses[validation])}

    result = fit(
        Program(loss, optimizer),
        {"head": head.init(derive(key, "init"))},
        data,
        key=derive(key, "fit"),
        schedule=Schedule(
            config.steps, config.validate_every, config.validate_every
        ),
        validate=validate if len(validation) else None,
    )
    best = jax.device_get(result.state.best_params["head"])
    best = heads.read_standardised(best, middle, spread)
    outputs = np.asarray(apply(best, jnp.asarray(codes)))
    return Trained(
        form,
        best,
        int(result.state.best_step),
        float(result.state.best_score),
        heads.in_units(property_, outputs, centre, scale),
        centre,
        scale,
    )

  return train
