"""Properties from frozen codes: heads, selection on validation, one test."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import heads, properties
from weightspace.evaluation import bootstrap
from weightspace.keys import derive
from weightspace.training.fit import fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.training.progress import Progress
from weightspace.zoo import splits

PROTOCOLS = ("strict", "paper")


@dataclass(frozen=True)
class Config:
  """How heads are trained on frozen codes.

  Attributes:
    properties: names of modules in `weightspace.properties`.
    steps: of gradient descent.
    batch: codes a step.
    learning_rate: AdamW's, falling to 0 along a cosine.
    weight_decay: AdamW's.
    hidden: units of each hidden layer of a head.
    layers: how many.
    validate_every: steps between two validations, which select the step.
    resamples: of the bootstrap of each metric.
    seed: of initialisation, batches, and which half of the OOD tasks is the
      test.
  """

  properties: tuple[str, ...] = ("task", "accuracy")
  steps: int = 2000
  batch: int = 256
  learning_rate: float = 1e-3
  weight_decay: float = 0.01
  hidden: int = 128
  layers: int = 2
  validate_every: int = 100
  resamples: int = 300
  seed: int = 0


class Rows(NamedTuple):
  """Row numbers of each part of the protocol; no task is in two of them."""

  train: np.ndarray
  validation: np.ndarray
  ood_train: np.ndarray  # joins training under the "paper" protocol
  test: np.ndarray  # the other half of the OOD tasks


def make_rows(split, tasks: np.ndarray, seed: int) -> Rows:
  """Halves the OOD tasks: one half is the test, whatever the protocol.

  Args:
    split: train, validation and ood rows.
    tasks: [R, D].
    seed: of the halving.
  """
  first, second = splits.halve(split.ood, tasks, seed=seed)
  return Rows(split.train, split.validation, first, second)


def predict(
    codes: np.ndarray,
    columns: dict[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
    config: Config,
    *,
    progress: Progress,
    name: str = "codes",
) -> dict[str, Any]:
  """Trains a head for each property and protocol, and tests it once.

  Protocol "strict": no OOD task is seen in training. Protocol "paper": half
  of the OOD tasks join the training of the heads. Both are tested on the
  other half.

  Args:
    codes: [R, Z] of all rows of a zoo; frozen.
    columns: of the zoo, [R, ...] each.
    rows: what each row is for.
    scope: of the zoo.
    config: how to train.
    progress: where to show how far it is.
    name: whose codes these are, for `progress`.

  Returns:
    {property: {protocol: {"step", "validation": metrics, "test": metrics,
    "predictions": outputs on the test rows, nested lists}}}; each metric is
    {"value", "low", "high"}, a 95 % interval over tasks.
  """
  found: dict[str, Any] = {}
  total = len(config.properties) * len(PROTOCOLS) * config.steps
  trains = {
      "strict": rows.train,
      "paper": np.concatenate([rows.train, rows.ood_train]),
  }
  with progress.stage(f"predict from {name}", total=total) as stage:
    for property_name in config.properties:
      predictor = _make_predictor(
          property_name, scope, codes.shape[-1], config
      )
      found[property_name] = {}
      for protocol in PROTOCOLS:
        found[property_name][protocol] = predictor(
            codes, columns, trains[protocol], rows
        )
        stage.advance(config.steps)
  return found


class _Data(NamedTuple):
  codes: jax.Array  # [R, Z] of all rows of the zoo
  targets: jax.Array  # [R, n]
  train: jax.Array  # [R] rows to train on, the first `count` of these
  count: jax.Array  # [] int32


@functools.lru_cache(maxsize=16)
def _make_predictor(property_name, scope, code, config):
  """Compiled once for all encoders and protocols of a zoo."""
  property_ = properties.load(property_name)
  head = heads.make(
      heads.Config(config.hidden, config.layers), property_, scope, code
  )
  optimizer = make_optimizer(
      OptimizerConfig(
          learning_rate=config.learning_rate,
          weight_decay=config.weight_decay,
          clip=1.0,
          decay_steps=config.steps,
      )
  )
  apply = jax.jit(lambda params, codes: head.apply(params["head"], codes))

  def loss(params, key, step, data):
    picked = jax.random.randint(
        derive(key, "rows"), (config.batch,), 0, data.count
    )
    picked = data.train[picked]
    outputs = head.apply(params["head"], data.codes[picked])
    return jnp.mean(head.loss(outputs, data.targets[picked])), {}

  @jax.jit
  def row_losses(params, codes, targets):
    return head.loss(head.apply(params["head"], codes), targets)

  def predictor(codes, columns, train, rows):
    targets = property_.target(columns, scope)
    scale, unscale = _scaling(targets, train, property_.kind)
    data = _Data(
        jnp.asarray(codes),
        jnp.asarray(scale(targets)),
        jnp.asarray(np.resize(train, len(codes)).astype(np.int32)),
        jnp.int32(len(train)),
    )

    def validate(params):
      losses = np.asarray(row_losses(params, data.codes, data.targets))
      return {"loss": np.mean(losses[rows.validation])}

    key = jax.random.key(config.seed)
    result = fit(
        loss,
        optimizer,
        {"head": head.init(derive(key, "init"))},
        data,
        key=derive(key, "fit"),
        steps=config.steps,
        chunk=config.validate_every,
        validate=validate,
        validate_every=config.validate_every,
    )
    outputs = unscale(np.asarray(apply(result.state.best_params, data.codes)))
    report: dict[str, Any] = {"step": int(result.state.best_step)}
    for part, chosen in (
        ("validation", rows.validation),
        ("test", rows.test),
    ):
      report[part] = _estimates(
          property_,
          outputs[chosen],
          targets[chosen],
          columns["task"][chosen],
          config.resamples,
      )
    report["predictions"] = outputs[rows.test].tolist()
    return report

  return predictor


def _scaling(targets, train, kind):
  """Functions to and from what a head is trained on."""
  if kind == "classification":
    return (lambda a: a), (lambda a: a)
  centre = targets[train].mean(axis=0)
  scale = targets[train].std(axis=0) + np.float32(1e-6)
  return (lambda a: (a - centre) / scale), (lambda a: a * scale + centre)


def _estimates(property_, outputs, targets, tasks, resamples):
  names = property_.metrics(outputs, targets)
  return {
      name: bootstrap.interval(
          lambda rows, name=name: property_.metrics(
              outputs[rows], targets[rows]
          )[name],
          tasks,
          resamples=resamples,
      )._asdict()
      for name in names
  }
