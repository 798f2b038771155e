"""Properties from frozen codes: heads, selection on validation, one test."""

import functools
from collections.abc import Callable
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
from weightspace.types import Params
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
      train = make_trainer(property_name, scope, codes.shape[-1], config)
      property_ = properties.load(property_name)
      targets = property_.target(columns, scope)
      found[property_name] = {}
      for protocol in PROTOCOLS:
        trained = train(
            codes, columns, trains[protocol], rows.validation, config.seed
        )
        report: dict[str, Any] = {"step": trained.step}
        for part, chosen in (
            ("validation", rows.validation),
            ("test", rows.test),
        ):
          report[part] = estimates(
              property_,
              trained.outputs[chosen],
              targets[chosen],
              columns["task"][chosen],
              config.resamples,
          )
        report["predictions"] = trained.outputs[rows.test].tolist()
        found[property_name][protocol] = report
        stage.advance(config.steps)
  return found


class Trained(NamedTuple):
  """A head, trained.

  Attributes:
    params: of the head, those of the best validation score.
    step: of that score.
    outputs: [R, *shape of the property] of all rows, in the targets' units.
    centre: [n], added to what the head of a regression puts out, which
    scale: [n], multiplies before. Empty for classifications.
  """

  params: Params
  step: int
  outputs: np.ndarray
  centre: np.ndarray
  scale: np.ndarray


class _Data(NamedTuple):
  codes: jax.Array  # [R, Z] of all rows of the zoo
  targets: jax.Array  # [R, n]
  train: jax.Array  # [R] rows to train on, the first `count` of these
  count: jax.Array  # [] int32


@functools.lru_cache(maxsize=16)
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
    rows to validate on, seed) -> `Trained`.
  """
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

  def train(codes, columns, rows, validation, seed):
    targets = property_.target(columns, scope)
    centre, scale = _scaling(targets[rows], property_.kind)
    if property_.kind == "regression":
      targets = (targets - centre) / scale
    data = _Data(
        jnp.asarray(codes),
        jnp.asarray(targets),
        jnp.asarray(np.resize(rows, len(codes)).astype(np.int32)),
        jnp.int32(len(rows)),
    )

    def validate(params):
      losses = np.asarray(row_losses(params, data.codes, data.targets))
      return {"loss": np.mean(losses[validation])}

    key = jax.random.key(seed)
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
    best = result.state.best_params
    outputs = np.asarray(apply(best, data.codes))
    if property_.kind == "regression":
      outputs = outputs * scale + centre
    return Trained(
        jax.device_get(best["head"]),
        int(result.state.best_step),
        outputs,
        centre,
        scale,
    )

  return train


def _scaling(targets, kind):
  """What regressions are centred and scaled by."""
  if kind == "classification":
    return np.zeros(0, np.float32), np.zeros(0, np.float32)
  return targets.mean(axis=0), targets.std(axis=0) + np.float32(1e-6)


def estimates(
    property_: properties.Property,
    outputs: np.ndarray,
    targets: np.ndarray,
    tasks: np.ndarray,
    resamples: int,
) -> dict[str, dict[str, float]]:
  """The metrics of a property, each with its interval over tasks.

  Args:
    property_: whose metrics.
    outputs: [n, *shape of the property].
    targets: [n, ...].
    tasks: [n, D].
    resamples: of the bootstrap.
  """
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
