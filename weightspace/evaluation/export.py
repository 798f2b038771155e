"""Exports a pretraining run as an encoder that needs no zoo."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from weightspace import plugins, properties, settings
from weightspace.evaluation import bootstrap, codes, emulation, ensembles
from weightspace.evaluation import prediction as prediction_lib
from weightspace.pretrained import PretrainedEncoder, Reference
from weightspace.progress import Progress
from weightspace.training.config import EMULATION
from weightspace.training.pretrain import Pretrained
from weightspace.zoo import Zoo, splits


@settings.pinned()
def export(
    zoo: Zoo,
    pretrained: Pretrained,
    config: Mapping[str, Any],
    prediction: Mapping[str, Any],
    *,
    members: int = 5,
    rows: int = 2000,
    about: Mapping[str, Any],
    progress: Progress,
) -> PretrainedEncoder:
  """Exports an encoder with heads, reference networks and metrics.

  Args:
    zoo: the zoo that the encoder was trained on.
    pretrained: the encoder, trained for any objective.
    config: of their training.
    prediction: fields of `prediction.Config`, for each head.
    members: heads of each property.
    rows: number of reference networks, drawn at random from all splits.
    about: JSON values, saved with the metrics.
    progress: for display.
  """
  family = zoo.family
  settings = plugins.configure(
      prediction_lib.Config, prediction, "prediction"
  )
  training = pretrained.config.training
  split = splits.of_zoo(zoo, family, seed=training.split_seed)
  scope = properties.Scope(family.spec, zoo.spec.snapshot_steps)
  rows_of_heads = prediction_lib.make_rows(
      split, zoo.columns["task"], settings.seed
  )
  prediction_lib.check(
      settings.properties, zoo.columns, rows_of_heads, scope
  )
  all_codes = codes.of_zoo(zoo, pretrained)
  columns = properties.columns(zoo, settings.properties)
  unknown = {
      name: counts
      for name in settings.properties
      if (counts := prediction_lib.unknown(name, columns, rows_of_heads, scope))
  }
  trained = ensembles.train(
      all_codes,
      columns,
      rows_of_heads,
      scope,
      settings,
      members=members,
      progress=progress,
  )
  generator = np.random.default_rng(settings.seed)
  chosen = np.sort(generator.permutation(np.concatenate(split))[:rows])
  return PretrainedEncoder(
      config={k: v for k, v in config.items() if k != "zoo"},
      params=pretrained.params["encoder"],
      zoo=zoo.spec,
      tasks=family.spec,
      ensembles=tuple(e._replace(metrics=_plain(e.metrics)) for e in trained),
      reference=_reference(
          zoo, family, all_codes, chosen, settings.properties
      ),
      about=_plain({
          **about,
          "prediction": dataclasses.asdict(settings),
          "members": members,
          **({"unknown": unknown} if unknown else {}),
          "trained": {
              "steps": training.steps,
              "best_step": pretrained.step,
          },
          "objective": pretrained.config.objective,
          **_emulation(
              zoo, pretrained,
              {"validation": split.validation, "ood": split.ood},
              settings.resamples,
          ),
          "splits": {
              name: {
                  "tasks": len(np.unique(zoo.columns["task"][part], axis=0)),
                  "rows": len(part),
              }
              for name, part in split._asdict().items()
          },
          "final_accuracy": _final_accuracy(zoo),
      }),
  )


def _emulation(zoo, pretrained, parts, resamples):
  """How well an emulator predicts outputs, if there is one."""
  if pretrained.config.objective != EMULATION:
    return {}
  score = pretrained.config.training.score
  losses = emulation.row_losses(zoo, pretrained, parts, names=(score,))
  return {
      "divergence": score,
      "emulation": {
          part: bootstrap.mean(
              losses[part][score], zoo.columns["task"][rows],
              resamples=resamples,
          )._asdict()
          for part, rows in parts.items()
      },
  }  # fmt: skip


def _plain(value):
  """Replaces non-finite metrics, such as an undefined R², by None for JSON."""
  if isinstance(value, Mapping):
    return {name: _plain(item) for name, item in value.items()}
  if isinstance(value, float) and not np.isfinite(value):
    return None
  return value


def _reference(zoo, family, all_codes, rows, names):
  columns = zoo.columns
  distinct, task_ids = np.unique(
      columns["task"][rows], axis=0, return_inverse=True
  )
  return Reference(
      codes=all_codes[rows],
      net_id=columns["net_id"][rows],
      step=columns["step"][rows],
      accuracy=columns["accuracy"][rows] if _has_accuracy(zoo) else None,
      shape=zoo.shapes[rows],
      task=task_ids.reshape(-1).astype(np.int32),
      tasks=distinct.astype(np.float32),
      descriptions=tuple(
          ", ".join([family.describe(task), *known])
          for task, known in zip(
              distinct, _known(zoo, family, rows, task_ids.reshape(-1), names)
          )
      ),
  )


def _known(zoo, family, rows, task_ids, names):
  """The columns that are predicted, for each task, where its rows agree."""
  scope = properties.Scope(family.spec, zoo.spec.snapshot_steps)
  known = [[] for _ in range(task_ids.max() + 1)]
  for name in names:
    column = name.removeprefix(properties.COLUMN).partition(":")[0]
    if column == name or column in family.spec.task_names:
      continue
    property_ = properties.load(name, scope)
    targets = property_.target(zoo.columns, scope)[rows]
    values = properties.numbers(property_, targets)
    _, classes = properties.labels(name, scope)
    unit = "°" if property_.kind == "direction" else ""
    for task, listed in enumerate(known):
      of_task = values[task_ids == task]
      if properties.known(targets[task_ids == task]).all() and np.all(
          of_task == of_task[0]
      ):
        value = classes[of_task[0]] if classes else f"{of_task[0]:.4g}{unit}"
        listed.append(f"{column} {value}")
  return known


def _has_accuracy(zoo):
  return "accuracy" in zoo.spec.metric_names


def _final_accuracy(zoo):
  """Quartiles of the accuracy of final snapshots; None where none is known."""
  if not _has_accuracy(zoo):
    return None
  accuracy = zoo.columns["accuracy"][zoo.final & zoo.columns["finite"]]
  return {
      name: float(np.quantile(accuracy, q)) if len(accuracy) else None
      for name, q in (("low", 0.25), ("median", 0.5), ("high", 0.75))
  }
