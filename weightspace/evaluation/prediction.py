"""Properties from frozen codes: heads, selection on validation, one test."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from weightspace import properties
from weightspace.evaluation import bootstrap
from weightspace.evaluation.fitting import Config, Trained, make_trainer
from weightspace.training.progress import Progress
from weightspace.zoo import splits

PROTOCOLS = ("strict", "paper")
PARTS = ("validation", "test")
__all__ = [
    "PARTS", "PROTOCOLS", "Config", "Rows", "Trained", "estimates",
    "make_rows", "make_trainer", "measure", "measure_with_steps", "predict",
    "train_heads", "train_rows",
]  # fmt: skip


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
    {property: {protocol: {"form" of the head, "step", "validation": metrics,
    "test": metrics, "by_step": {step: {"validation", "test"}}, "predictions":
    outputs on the test rows, nested lists}}}; each metric is {"value", "low",
    "high"}, a 95 % interval over tasks.
  """
  trained = train_heads(
      codes, columns, rows, scope, config, progress=progress, name=name
  )
  return {
      property_name: {
          protocol: {
              "form": head.form,
              "step": head.step,
              **measure_with_steps(
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
) -> dict[str, dict[str, Trained]]:
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
  total = len(config.properties) * len(protocols)
  with progress.stage(
      f"predict from {name}", total=total, unit="heads"
  ) as stage:
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
        stage.advance()
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


def measure_with_steps(
    property_name: str,
    outputs: Sequence[np.ndarray],
    columns: Mapping[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
    *,
    resamples: int = 300,
) -> dict[str, Any]:
  """As `measure`, and the same of the snapshots of each step apart.

  An untrained network does nothing, so that no code could tell its task: final
  snapshots say what codes are worth.

  Returns:
    What `measure` does of all parts, and "by_step": {step, as a string: what
    `measure` does}, of the steps that have rows in all parts.
  """

  def measured(chosen):
    return measure(
        property_name, outputs, columns, chosen, scope, resamples=resamples
    )

  by_step = {}
  for step in scope.steps:
    of_step = Rows(*(r[columns["step"][r] == step] for r in rows))
    if all(len(getattr(of_step, part)) for part in PARTS):
      by_step[str(step)] = measured(of_step)
  return {**measured(rows), "by_step": by_step}


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
