"""Ensembles of heads, for uncertainty of predictions."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from weightspace import properties, settings
from weightspace.errors import UserError
from weightspace.evaluation import bootstrap, prediction
from weightspace.evaluation.fitting import Trained
from weightspace.pretrained import Ensemble
from weightspace.progress import Progress
from weightspace.zoo import final_rows


@settings.pinned()
def train(
    codes: np.ndarray,
    columns: dict[str, np.ndarray],
    rows: prediction.Rows,
    scope: properties.Scope,
    config: prediction.Config,
    *,
    members: int = 5,
    progress: Progress,
) -> tuple[Ensemble, ...]:
  """Trains an ensemble of heads on frozen codes, for each property.

  Members differ in their initialisation and in a bootstrap sample of the
  training tasks. Validation tasks select each member's step and calibrate the
  ensemble's spread to its errors. The form of the heads is the best on
  validation of a head trained on all training tasks. Each ensemble is
  evaluated on validation tasks and, once, on the test tasks of `prediction`.

  Args:
    codes: [R, Z] of all rows of a zoo.
    columns: of the zoo, [R, ...] each.
    rows: the split.
    scope: of the zoo.
    config: properties, and the training of each head.
    members: heads of each property, M.
    progress: for display.

  Raises:
    ValueError: there are fewer than two members.
  """
  if members < 2:
    raise UserError(
        f"members={members}: the spread of an ensemble needs at least 2"
    )
  ensembles = []
  total = members * len(config.properties)
  with progress.stage("train heads", total=total, unit="heads") as stage:
    for name in config.properties:
      select = prediction.make_trainer(name, scope, codes.shape[-1], config)
      form = select(
          codes, columns, rows.train, rows.validation, config.seed
      ).form
      train_head = prediction.make_trainer(
          name, scope, codes.shape[-1], dataclasses.replace(
              config, forms=(form,)
          ),
      )  # fmt: skip
      heads = []
      for seed in range(config.seed, config.seed + members):
        resampled = _resample(rows.train, columns["task"], seed)
        heads.append(
            train_head(codes, columns, resampled, rows.validation, seed)
        )
        stage.advance()
      ensembles.append(
          _ensemble(name, heads, codes, columns, rows, scope, config)
      )
  return tuple(ensembles)


def _resample(rows, tasks, seed):
  """Rows of tasks drawn with replacement, shuffled; at most len(rows)."""
  _, task_ids = np.unique(tasks[rows], axis=0, return_inverse=True)
  task_ids = task_ids.reshape(-1)
  generator = np.random.default_rng([seed, 1])
  count = task_ids.max() + 1
  drawn = generator.integers(count, size=count)
  places = np.concatenate([np.flatnonzero(task_ids == task) for task in drawn])
  return rows[generator.permutation(places)[: len(rows)]]


def _ensemble(
    name: str,
    heads: Sequence[Trained],
    codes: np.ndarray,
    columns: Mapping[str, np.ndarray],
    rows: prediction.Rows,
    scope: properties.Scope,
    config: prediction.Config,
) -> Ensemble:
  """Combines heads of one property, calibrates and evaluates them."""
  property_ = properties.load(name, scope)
  targets = property_.target(columns, scope)
  rows = prediction.known_rows(targets, rows)
  ensemble = Ensemble(
      name,
      config.head(heads[0].form),
      jax.tree.map(lambda *a: np.stack(a), *(head.params for head in heads)),
      np.stack([head.centre for head in heads]),
      np.stack([head.scale for head in heads]),
      np.ones_like(heads[0].scale),
  )
  outputs = ensemble.outputs(scope, codes)
  mean, spread = outputs.mean(axis=0), outputs.std(axis=0, ddof=1)
  if property_.kind != "classification":
    validation = rows.validation
    widening = _calibrate(
        (mean - targets)[validation], spread[validation]
    )
    ensemble = ensemble._replace(widening=widening)
    spread = widening * spread
  final = final_rows(columns)
  parts = {
      "validation": rows.validation,
      "test": rows.test,
      "validation, final": rows.validation[final[rows.validation]],
      "test, final": rows.test[final[rows.test]],
  }
  metrics = {
      part: _evaluate(
          property_, mean[chosen], spread[chosen], targets[chosen],
          columns["task"][chosen], config.resamples,
      )
      for part, chosen in parts.items()
      if len(chosen)
  }  # fmt: skip
  return ensemble._replace(metrics=metrics)


def _calibrate(error, spread):
  """Factors [n] that scale spreads [R, n] to the root mean square error."""
  mean_square = np.maximum(np.mean(spread**2, axis=0), 1e-12)
  return np.sqrt(np.mean(error**2, axis=0) / mean_square).astype(np.float32)


def _evaluate(property_, mean, spread, targets, tasks, resamples):
  """Metrics of the ensemble's mean, and of its uncertainty, with intervals."""
  metrics = prediction.estimates(
      property_, [mean], targets, tasks, resamples
  )
  if property_.kind == "classification":
    name, values = "probability_of_answer", mean.max(axis=-1).mean(axis=-1)
  else:
    within = np.abs(mean - targets) <= 2 * spread
    name, values = "within_2_spreads", within.mean(axis=1)
  estimate = bootstrap.mean(values, tasks, resamples=resamples)
  return {**metrics, name: estimate._asdict()}
