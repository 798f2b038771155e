"""Properties from frozen codes: heads, selection on validation, one test."""

import functools
from collections.abc import Callable, Mapping, Sequence
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
PARTS = ("validation", "test")


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
  trained = train_heads(
      codes, columns, rows, scope, config, progress=progress, name=name
  )
  return {
      property_name: {
          protocol: {
              "step": head.step,
              **measure(
                  property_name,
                  [head.outputs],
                  columns,
                  rows,
                  scope,
                  resamples=config.resamples,
              ),
              "predictions": head.outputs[rows.test].tolist(),
          }
          for protocol, head in protocols.items()
      }
      for property_name, protocols in trained.items()
  }


def train_rows(rows: Rows, protocol: str) -> np.ndarray:
  """The rows that are trained on under a protocol, one of `PROTOCOLS`."""
  if protocol not in PROTOCOLS:
    raise ValueError(
        f"protocol must be {' or '.join(map(repr, PROTOCOLS))}, got"
        f" {protocol!r}"
    )
  if protocol == "strict":
    return rows.train
  return np.concatenate([rows.train, rows.ood_train])


def train_heads(
    codes: np.ndarray,
    columns: Mapping[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
    config: Config,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    progress: Progress,
    name: str = "codes",
) -> dict[str, dict[str, "Trained"]]:
  """Trains a head for each property and protocol; measures nothing.

  Validation rows select the step; the targets of test rows are not read.

  Args:
    codes: [R, Z] of all rows of a zoo; frozen.
    columns: of the zoo, [R, ...] each.
    rows: what each row is for.
    scope: of the zoo.
    config: how to train.
    protocols: of `PROTOCOLS`.
    progress: where to show how far it is.
    name: whose codes these are, for `progress`.

  Returns:
    {property: {protocol: the head and its outputs}}.
  """
  found: dict[str, dict[str, Trained]] = {}
  total = len(config.properties) * len(protocols) * config.steps
  with progress.stage(f"predict from {name}", total=total) as stage:
    for property_name in config.properties:
      train = make_trainer(property_name, scope, codes.shape[-1], config)
      found[property_name] = {}
      for protocol in protocols:
        found[property_name][protocol] = train(
            codes,
            columns,
            train_rows(rows, protocol),
            rows.validation,
            config.seed,
        )
        stage.advance(config.steps)
  return found


def measure(
    property_name: str,
    outputs: Sequence[np.ndarray],
    columns: Mapping[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
    *,
    parts: Sequence[str] = PARTS,
    resamples: int = 300,
) -> dict[str, dict[str, dict[str, float]]]:
  """How good outputs are, of frozen codes' heads or of supervised training.

  The validation can be asked for alone, while something is still selected by
  it; then the test once, at the very end.

  Args:
    property_name: a module in `weightspace.properties`.
    outputs: [R, *shape of the property] of all rows of the zoo, for each seed
      of training.
    columns: of the zoo, [R, ...] each.
    rows: what each row is for.
    scope: of the zoo.
    parts: of `PARTS`.
    resamples: of the bootstrap of each metric.

  Returns:
    {part: {metric: {"value", "low", "high"}}}: the mean over seeds and a 95 %
    interval over seeds and tasks.

  Raises:
    ValueError: no such part, or no outputs.
  """
  property_ = properties.load(property_name)
  targets = property_.target(columns, scope)
  found = {}
  for part in parts:
    if part not in PARTS:
      raise ValueError(
          f"parts are {' and '.join(map(repr, PARTS))}, got {part!r}"
      )
    chosen = getattr(rows, part)
    found[part] = estimates(
        property_,
        [of_seed[chosen] for of_seed in outputs],
        targets[chosen],
        columns["task"][chosen],
        resamples,
    )
  return found


class Trained(NamedTuple):
  """A head, trained.

  Attributes:
    params: of the head, those of the best validation score.
    step: of that score.
    score: the mean loss on validation, of targets that are standardised if
      they are numbers; infinite where there was no validation.
    outputs: [R, *shape of the property] of all rows, in the targets' units.
    centre: [n], added to what the head of a regression puts out, which
    scale: [n], multiplies before. Empty for classifications.
  """

  params: Params
  step: int
  score: float
  outputs: np.ndarray
  centre: np.ndarray
  scale: np.ndarray


class _Data(NamedTuple):
  codes: jax.Array  # [R, Z] of all rows of the zoo
  targets: jax.Array  # [R, n]
  train: jax.Array  # [R] rows to train on, the first `count` of these
  count: jax.Array  # [] int32


@functools.lru_cache(maxsize=64)
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
    rows to validate on, seed) -> `Trained`. Without rows to validate on, the
    last params are kept.
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
        validate=validate if len(validation) else None,
        validate_every=config.validate_every,
    )
    best = result.state.best_params
    outputs = np.asarray(apply(best, data.codes))
    if property_.kind == "regression":
      outputs = outputs * scale + centre
    return Trained(
        jax.device_get(best["head"]),
        int(result.state.best_step),
        float(result.state.best_score),
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
    outputs: Sequence[np.ndarray],
    targets: np.ndarray,
    tasks: np.ndarray,
    resamples: int,
) -> dict[str, dict[str, float]]:
  """The metrics of a property, each with its interval over seeds and tasks.

  Args:
    property_: whose metrics.
    outputs: [n, *shape of the property], for each seed.
    targets: [n, ...].
    tasks: [n, D].
    resamples: of the bootstrap.

  Raises:
    ValueError: there are no rows, or no outputs.
  """
  if not len(outputs):
    raise ValueError("there are no outputs to measure: at least one seed's")
  return {
      name: bootstrap.interval_over_seeds(
          lambda rows, seed, name=name: property_.metrics(
              outputs[seed][rows], targets[rows]
          )[name],
          len(outputs),
          tasks,
          resamples=resamples,
      )._asdict()
      for name in property_.metrics(outputs[0], targets)
  }
