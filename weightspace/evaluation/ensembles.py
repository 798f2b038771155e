"""Heads of a property that differ by chance alone, and how sure they are."""

import dataclasses
from typing import Any

import jax
import numpy as np

from weightspace import properties
from weightspace.evaluation import bootstrap, prediction
from weightspace.pretrained import Ensemble
from weightspace.training.progress import Progress


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
  """Trains heads of each property on frozen codes.

  Each head begins elsewhere and sees its own bootstrap of the training tasks,
  drawn with replacement; no validation or OOD task is among them. Validation
  tasks select its step, and say how much wider than the heads' spread their
  errors are. Their form is the one that validation prefers of a head that saw
  all training tasks. The ensemble is then measured on these and, once, on the
  test: the half of the OOD tasks that `prediction` tests on.

  Args:
    codes: [R, Z] of all rows of a zoo.
    columns: of the zoo.
    rows: what each row is for.
    scope: of the zoo.
    config: how to train each head, and of which properties.
    members: heads of each property, M.
    progress: where to show how far it is.

  Raises:
    ValueError: fewer than two members, which have no spread.
  """
  if members < 2:
    raise ValueError(
        f"members={members}: uncertainty is told from how heads differ, so it"
        " takes at least 2"
    )
  found = []
  total = members * len(config.properties)
  with progress.stage("train heads", total=total, unit="heads") as stage:
    for name in config.properties:
      choose = prediction.make_trainer(name, scope, codes.shape[-1], config)
      form = choose(
          codes, columns, rows.train, rows.validation, config.seed
      ).form
      train_head = prediction.make_trainer(
          name, scope, codes.shape[-1], dataclasses.replace(
              config, forms=(form,)
          ),
      )  # fmt: skip
      trained = []
      for member in range(members):
        seed = config.seed + member
        drawn = _resample(rows.train, columns["task"], seed)
        trained.append(
            train_head(codes, columns, drawn, rows.validation, seed)
        )
        stage.advance()
      found.append(
          _measured(name, trained, codes, columns, rows, scope, config)
      )
  return tuple(found)


def _resample(rows, tasks, seed):
  """Rows of tasks drawn with replacement, as many rows as there were at most.

  In random order, so that none is cut off for the order of its task.
  """
  _, of_row = np.unique(tasks[rows], axis=0, return_inverse=True)
  of_row = of_row.reshape(-1)
  generator = np.random.default_rng([seed, 1])
  count = of_row.max() + 1
  drawn = generator.integers(count, size=count)
  places = np.concatenate([np.flatnonzero(of_row == task) for task in drawn])
  return rows[generator.permutation(places)[: len(rows)]]


def _measured(name, trained, codes, columns, rows, scope, config):
  property_ = properties.load(name)
  targets = property_.target(columns, scope)
  ensemble = Ensemble(
      name,
      config.head(trained[0].form),
      jax.tree.map(lambda *a: np.stack(a), *(t.params for t in trained)),
      np.stack([t.centre for t in trained]),
      np.stack([t.scale for t in trained]),
      np.ones_like(trained[0].scale),
  )
  outputs = ensemble.outputs(scope, codes)
  mean, spread = outputs.mean(axis=0), outputs.std(axis=0, ddof=1)
  if property_.kind != "classification":
    error = (mean - targets)[rows.validation]
    widening = np.sqrt(
        np.mean(error**2, axis=0)
        / np.maximum(np.mean(spread[rows.validation] ** 2, axis=0), 1e-12)
    ).astype(np.float32)
    ensemble = ensemble._replace(widening=widening)
    spread = widening * spread
  final = columns["step"] == scope.steps[-1]
  parts = {
      "validation": rows.validation,
      "test": rows.test,
      "validation, final": rows.validation[final[rows.validation]],
      "test, final": rows.test[final[rows.test]],
  }
  metrics = {
      part: {
          **prediction.estimates(
              property_,
              [mean[chosen]],
              targets[chosen],
              columns["task"][chosen],
              config.resamples,
          ),
          **_sureness(
              property_.kind, mean[chosen], spread[chosen], targets[chosen],
              columns["task"][chosen], config.resamples,
          ),
      }
      for part, chosen in parts.items()
      if len(chosen)
  }
  return ensemble._replace(metrics=metrics)


def _sureness(
    kind, mean, spread, targets, tasks, resamples
) -> dict[str, Any]:
  """How far what heads say of their uncertainty can be relied on."""
  if kind != "classification":
    within = np.abs(mean - targets) <= 2 * spread
    return {
        "within_2_spreads": bootstrap.mean(
            within.mean(axis=1), tasks, resamples=resamples
        )._asdict()
    }
  return {
      "probability_of_answer": bootstrap.mean(
          mean.max(axis=-1).mean(axis=-1), tasks, resamples=resamples
      )._asdict()
  }
