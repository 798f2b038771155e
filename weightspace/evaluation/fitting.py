"""Training of heads on frozen codes, with a form selected on validation."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields, heads, properties
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.training.draws import Rows
from weightspace.training.fit import Program, Schedule, fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.types import Params

# Linear maps of standardised codes allow higher learning rates than MLPs
_RATES = {"mlp": 1.0, "linear": 10.0, "ordinal": 10.0}


@dataclass(frozen=True)
class Config:
  """The training of heads on frozen codes.

  Attributes:
    properties: names, see `weightspace.properties.load`.
    forms: of the trained heads, see `weightspace.heads`. All have the same
      budget, and validation selects one per property. The paper's is ("mlp",).
    steps: of gradient descent.
    batch: codes per step.
    learning_rate: AdamW's for an MLP, with cosine decay to 0; linear and
      ordinal heads use ten times as much.
    weight_decay: AdamW's.
    hidden: units of each hidden layer of an MLP.
    layers: hidden layers of an MLP.
    validate_every: steps between validations, which select the step.
    resamples: of the bootstrap of each metric.
    seed: of initialisation, batches, and the split of the OOD tasks.
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
      raise UserError("forms must name at least one form of a head, got none")
    properties.check_names(self.properties)
    fields.check_integers(
        self, "steps", "batch", "hidden", "validate_every", "resamples"
    )
    fields.check_integers(self, "layers", least=0)
    fields.check_numbers(self, "learning_rate", "weight_decay", least=0)
    fields.check_seeds(self, "seed")

  def head(self, form: str) -> heads.Config:
    """The config of a head of one of the forms."""
    return heads.Config(form, self.hidden, self.layers)


class Trained(NamedTuple):
  """A trained head.

  Attributes:
    form: of the head.
    params: of the head, with the best validation score.
    step: of that score.
    score: mean loss on validation, with standardised targets for regressions;
      infinite without validation.
    outputs: [R, *shape of the property] of all rows, in the targets' units.
    centre: [n] mean of the training targets of a regression, which converts
      outputs to their units; 0 for proportions, empty for classifications.
    scale: [n] their standard deviation; 1 for proportions, empty for
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
  """Compiles the training of a property's heads, for all codes and seeds.

  Args:
    property_name: see `weightspace.properties.load`.
    scope: of the zoo.
    code: size of a code, Z.
    config: of the training.

  Returns:
    (codes [R, Z] of all rows, columns of the zoo, training rows, at most R,
    validation rows, seed) -> `Trained`, of the form with the lowest validation
    loss. Without validation rows, it is the first form with its last params.
    Rows whose target is not known are left out.

  Raises:
    ValueError: none of the forms fits the property.
  """
  property_ = properties.load(property_name, scope)
  forms = [form for form in config.forms if heads.fits(form, property_)]
  if not forms:
    raise UserError(
        f"property {property_name!r} has no heads of the forms"
        f" {', '.join(config.forms)}; add 'linear' or 'mlp'"
    )
  trainers = [
      _make_trainer(property_name, scope, code, config, form) for form in forms
  ]

  def train(codes, columns, rows, validation, seed):
    candidates = [
        train_form(codes, columns, rows, validation, seed)
        for train_form in (trainers if len(validation) else trainers[:1])
    ]
    return min(candidates, key=lambda trained: trained.score)

  return train


@functools.lru_cache(maxsize=64)
def _make_trainer(property_name, scope, code, config, form):
  """`make_trainer` of one form."""
  property_ = properties.load(property_name, scope)
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
    known = properties.known(targets)
    rows, validation = rows[known[rows]], validation[known[validation]]
    centre, scale = heads.scaling(property_, targets[rows])
    middle, spread = heads.moments(np.asarray(codes)[rows])
    key = make_key(seed)
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
    best = heads.fold_standardisation(best, middle, spread)
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
