"""Properties from frozen codes: heads, selection on validation, one test."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import heads, properties
from weightspace.evaluation import bootstrap
from weightspace.keys import derive
from weightspace.tasks import TaskSpec
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
    spec: TaskSpec,
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
    spec: of the task family.
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
  with progress.stage(f"predict from {name}", total=total) as stage:
    for property_name in config.properties:
      property_ = properties.load(property_name)
      targets = property_.target(columns, spec)
      found[property_name] = {}
      for protocol in PROTOCOLS:
        train = rows.train
        if protocol == "paper":
          train = np.concatenate([train, rows.ood_train])
        found[property_name][protocol] = _one(
            property_, targets, codes, columns["task"], train, rows, spec,
            config,
        )  # fmt: skip
        stage.advance(config.steps)
  return found


def _one(property_, targets, codes, tasks, train, rows, spec, config):
  head = heads.make(
      heads.Config(config.hidden, config.layers), property_, spec,
      codes.shape[-1],
  )  # fmt: skip
  x, y = _standardised(targets, train, property_.kind)
  key = jax.random.key(config.seed)

  def loss(params, key, step, data):
    codes, targets = data
    picked = jax.random.randint(
        derive(key, "rows"), (config.batch,), 0, len(codes)
    )
    outputs = head.apply(params["head"], codes[picked])
    return jnp.mean(head.loss(outputs, targets[picked])), {}

  apply = jax.jit(lambda params, codes: head.apply(params["head"], codes))
  validation_targets = jnp.asarray(x(targets[rows.validation]))

  @jax.jit
  def validation_loss(params):
    outputs = head.apply(params["head"], jnp.asarray(codes[rows.validation]))
    return {"loss": jnp.mean(head.loss(outputs, validation_targets))}

  result = fit(
      loss,
      make_optimizer(OptimizerConfig(
          learning_rate=config.learning_rate,
          weight_decay=config.weight_decay,
          clip=1.0,
          decay_steps=config.steps,
      )),
      {"head": head.init(derive(key, "init"))},
      (jnp.asarray(codes[train]), jnp.asarray(x(targets[train]))),
      key=derive(key, "fit"),
      steps=config.steps,
      chunk=config.validate_every,
      validate=validation_loss,
      validate_every=config.validate_every,
  )
  report: dict[str, Any] = {"step": int(result.state.best_step)}
  for part, chosen in (("validation", rows.validation), ("test", rows.test)):
    outputs = y(np.asarray(apply(result.state.best_params, codes[chosen])))
    report[part] = _estimates(
        property_, outputs, targets[chosen], tasks[chosen], config.resamples
    )
  report["predictions"] = outputs.tolist()
  return report


def _standardised(targets, train, kind):
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
