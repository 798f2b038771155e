"""Prediction of properties from frozen codes.

Heads are selected on validation tasks and tested once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weightspace import properties, settings
from weightspace.errors import UserError
from weightspace.evaluation import bootstrap
from weightspace.evaluation.fitting import Config, Trained, make_trainer
from weightspace.evaluation.rows import (
    PARTS,
    PROTOCOLS,
    Rows,
    check,
    known_rows,
    make_rows,
    train_rows,
    unknown,
)
from weightspace.progress import Progress
from weightspace.zoo import snapshots

__all__ = [
    "PARTS", "PROTOCOLS", "Config", "Rows", "Trained", "check", "estimates",
    "known_rows", "make_rows", "make_trainer", "measure", "measure_with_steps",
    "predict", "train_heads", "train_rows", "unknown",
]  # fmt: skip


@settings.pinned()
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

  Protocol "strict" trains on no OOD task. Protocol "paper" trains on half of
  the OOD tasks, too. Both test on the other half.

  Args:
    codes: [R, Z] of all rows of a zoo; frozen.
    columns: of the zoo, [R, ...] each.
    rows: the split.
    scope: of the zoo.
    config: of the training.
    progress: for display.
    name: of the codes, for `progress`.

  Returns:
    {property: {protocol: {"form" of the head, "step", "validation": metrics,
    "test": metrics, "by_step": {step: {"validation", "test"}}, "predictions":
    outputs on the test rows, nested lists}}}; each metric is {"value", "low",
    "high"}, with a 95 % interval over tasks. Where rows were left out, because
    they have no target, "unknown" says how many of each part.

  Raises:
    UserError: a property that cannot be predicted, see `check`.
  """
  check(config.properties, columns, rows, scope)
  left_out = {
      name: {"unknown": counts}
      for name in config.properties
      if (counts := unknown(name, columns, rows, scope))
  }
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
              **left_out.get(property_name, {}),
          }
          for protocol, head in protocols.items()
      }
      for property_name, protocols in trained.items()
  }


@settings.pinned()
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
  """Trains a head for each property and protocol, without testing it.

  Validation rows select the step. Targets of test rows are not used.

  Args:
    codes: [R, Z] of all rows of a zoo; frozen.
    columns: of the zoo, [R, ...] each.
    rows: the split.
    scope: of the zoo.
    config: of the training.
    protocols: some of `PROTOCOLS`.
    progress: for display.
    name: of the codes, for `progress`.

  Returns:
    {property: {protocol: the head and its outputs}}.
  """
  trained: dict[str, dict[str, Trained]] = {}
  total = len(config.properties) * len(protocols)
  with progress.stage(
      f"predict from {name}", total=total, unit="heads"
  ) as stage:
    for property_name in config.properties:
      train = make_trainer(property_name, scope, codes.shape[-1], config)
      trained[property_name] = {}
      for protocol in protocols:
        trained[property_name][protocol] = train(
            codes,
            columns,
            train_rows(rows, protocol),
            rows.validation,
            config.seed,
        )
        stage.advance()
  return trained


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
  """Metrics of predictions, by heads of frozen codes or supervised training.

  `parts` allows model selection on validation, with a single test at the end.

  Args:
    property_name: see `weightspace.properties.load`.
    outputs: [R, *shape of the property] of all rows of the zoo, for each seed
      of training.
    columns: of the zoo, [R, ...] each.
    rows: the split; those without a target are left out.
    scope: of the zoo.
    parts: some of `PARTS`.
    resamples: of the bootstrap of each metric.

  Returns:
    {part: {metric: {"value", "low", "high"}}}: the mean over seeds, with a
    95 % interval over seeds and tasks.

  Raises:
    ValueError: there is no such part, or there are no outputs.
  """
  property_ = properties.load(property_name, scope)
  targets = property_.target(columns, scope)
  rows = known_rows(targets, rows)
  metrics = {}
  for part in parts:
    if part not in PARTS:
      raise UserError(
          f"parts are {' and '.join(map(repr, PARTS))}, got {part!r}"
      )
    chosen = getattr(rows, part)
    metrics[part] = estimates(
        property_,
        [outputs_of_seed[chosen] for outputs_of_seed in outputs],
        targets[chosen],
        columns["task"][chosen],
        resamples,
    )
  return metrics


def measure_with_steps(
    property_name: str,
    outputs: Sequence[np.ndarray],
    columns: Mapping[str, np.ndarray],
    rows: Rows,
    scope: properties.Scope,
    *,
    resamples: int = 300,
) -> dict[str, Any]:
  """Metrics of all rows, as `measure`, and of the snapshots of each step.

  The task of an untrained network cannot be predicted, so metrics of final
  snapshots are the more informative ones.

  Returns:
    The result of `measure` for all parts, and "by_step": {step, as a string:
    the result of `measure`} for each step that has rows in all parts; the
    last step has the last snapshot of each network.
  """

  def metrics_of(rows_):
    return measure(
        property_name, outputs, columns, rows_, scope, resamples=resamples
    )

  targets = properties.load(property_name, scope).target(columns, scope)
  rows = known_rows(targets, rows)
  by_step = {}
  for step, chosen in snapshots(columns, scope.steps).items():
    of_step = Rows(*(r[chosen[r]] for r in rows))
    if all(len(getattr(of_step, part)) for part in PARTS):
      by_step[str(step)] = metrics_of(of_step)
  return {**metrics_of(rows), "by_step": by_step}


def estimates(
    property_: properties.Property,
    outputs: Sequence[np.ndarray],
    targets: np.ndarray,
    tasks: np.ndarray,
    resamples: int,
) -> dict[str, dict[str, float]]:
  """The metrics of a property, with intervals over seeds and tasks.

  Args:
    property_: the property.
    outputs: [n, *shape of the property], for each seed.
    targets: [n, ...].
    tasks: [n, D].
    resamples: of the bootstrap.

  Raises:
    ValueError: there are no rows, or no outputs.
  """
  if not len(outputs):
    raise UserError("metrics need the outputs of at least one seed")
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
