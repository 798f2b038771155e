"""From a pretraining run to an encoder that needs no zoo."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from weightspace import plugins, properties, tasks, zoo
from weightspace.evaluation import bootstrap, codes, emulation, ensembles
from weightspace.evaluation import prediction as prediction_lib
from weightspace.pretrained import PretrainedEncoder, Reference
from weightspace.training.emulation import Config
from weightspace.training.pretrain import Pretrained
from weightspace.training.progress import Progress
from weightspace.zoo import splits


def export(
    source: zoo.Zoo,
    pretrained: Pretrained,
    config: Mapping[str, Any],
    prediction: Mapping[str, Any],
    *,
    members: int = 5,
    rows: int = 2000,
    about: Mapping[str, Any],
    progress: Progress,
) -> PretrainedEncoder:
  """Heads on frozen codes, a table of networks, and how good it all is.

  Args:
    source: the zoo that the encoder was trained on.
    pretrained: the run.
    config: what it was trained with.
    prediction: fields of `prediction.Config`, of each head.
    members: heads of each property.
    rows: of the table of networks, drawn at random from all splits.
    about: JSON values to be kept with what was measured.
    progress: where to show how far it is.
  """
  family = tasks.make(source.spec.family, source.spec.family_config)
  settings = plugins.configure(
      prediction_lib.Config, prediction, "prediction"
  )
  trained = plugins.configure(Config, config["emulation"], "emulation")
  split = splits.of_zoo(source, family, seed=trained.split_seed)
  columns = source.columns
  all_codes = codes.of_zoo(source, pretrained)
  losses = emulation.row_losses(
      source,
      pretrained,
      config,
      {"validation": split.validation, "ood": split.ood},
      names=(trained.score,),
  )
  ensembles_found = ensembles.train(
      all_codes,
      columns,
      prediction_lib.make_rows(split, columns["task"], settings.seed),
      properties.Scope(family.spec, source.spec.snapshot_steps),
      settings,
      members=members,
      progress=progress,
  )
  chosen = np.concatenate(split)
  generator = np.random.default_rng(settings.seed)
  chosen = np.sort(generator.permutation(chosen)[:rows])
  return PretrainedEncoder(
      config={k: v for k, v in config.items() if k != "zoo"},
      params=pretrained.params["encoder"],
      zoo=source.spec,
      tasks=family.spec,
      ensembles=tuple(
          e._replace(metrics=_plain(e.metrics)) for e in ensembles_found
      ),
      reference=_reference(source, family, all_codes, chosen),
      about=_plain({
          **about,
          "prediction": dataclasses.asdict(settings),
          "members": members,
          "trained": {
              "steps": trained.steps,
              "best_step": pretrained.step,
          },
          "divergence": trained.score,
          "emulation": {
              part: bootstrap.mean(
                  found[trained.score],
                  columns["task"][getattr(split, part)],
                  resamples=settings.resamples,
              )._asdict()
              for part, found in losses.items()
          },
          "splits": {
              name: {
                  "tasks": len(np.unique(columns["task"][part], axis=0)),
                  "rows": len(part),
              }
              for name, part in split._asdict().items()
          },
          "final_accuracy": _final_accuracy(source),
      }),
  )


def _plain(value):
  """JSON values: what was undefined, such as R² without variance, is None."""
  if isinstance(value, Mapping):
    return {name: _plain(item) for name, item in value.items()}
  if isinstance(value, float) and not np.isfinite(value):
    return None
  return value


def _reference(source, family, all_codes, rows):
  columns = source.columns
  distinct, of_row = np.unique(
      columns["task"][rows], axis=0, return_inverse=True
  )
  return Reference(
      codes=all_codes[rows],
      net_id=columns["net_id"][rows],
      step=columns["step"][rows],
      accuracy=columns["accuracy"][rows],
      shape=source.shapes[rows],
      task=of_row.reshape(-1).astype(np.int32),
      tasks=distinct.astype(np.float32),
      descriptions=tuple(family.describe(task) for task in distinct),
  )


def _final_accuracy(source):
  """Quartiles of the accuracy of fully trained networks."""
  last = source.columns["step"] == source.spec.snapshot_steps[-1]
  found = source.columns["accuracy"][last & source.columns["finite"]]
  return {
      name: float(np.quantile(found, q)) if len(found) else None
      for name, q in (("low", 0.25), ("median", 0.5), ("high", 0.75))
  }
