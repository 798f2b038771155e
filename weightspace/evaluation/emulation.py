"""How well the networks of a split are emulated, with intervals over tasks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from weightspace import tasks, zoo
from weightspace.evaluation import bootstrap
from weightspace.training import config as config_lib
from weightspace.training import emulation, encoding
from weightspace.training.pretrain import Pretrained
from weightspace.zoo import loader

DIVERGENCES = ("total_variation", "reverse_kl")


def row_losses(
    source: zoo.Zoo,
    pretrained: Pretrained,
    config: Mapping[str, Any],
    parts: Mapping[str, np.ndarray],
    *,
    names: tuple[str, ...] = DIVERGENCES,
    mesh: Mesh | None = None,
) -> dict[str, dict[str, np.ndarray]]:
  """The mean divergence of the emulation of each row.

  Args:
    source: the zoo.
    pretrained: encoder and emulator.
    config: what they were trained with.
    parts: row numbers of each part of the zoo, [n] each.
    names: of divergences.
    mesh: where rows are spread.

  Returns:
    {part: {name: [n] float32}}.
  """
  config = config_lib.parse(config)
  settings = config.emulation
  source = encoding.view(source, config.encoder)
  measure = emulation.make_measure(
      pretrained.model,
      tasks.make(source.spec.family, source.spec.family_config),
      settings,
      mesh,
      names,
  )

  def losses_of(rows):
    data = loader.view_by_shape(
        source, rows, rollouts=settings.validation_sequences
    )
    found = measure(pretrained.params, data)
    order = np.argsort(np.concatenate(loader.by_shape(source, rows)))
    return {name: losses[order] for name, losses in found.items()}

  return {part: losses_of(rows) for part, rows in parts.items()}


def gain(
    losses: np.ndarray, baseline: np.ndarray, tasks_of_rows: np.ndarray
) -> bootstrap.Estimate:
  """The share of the baseline's loss that is gone: 1 - loss / baseline.

  Args:
    losses: [n].
    baseline: [n], of the same rows.
    tasks_of_rows: [n, D].
  """
  return bootstrap.interval(
      lambda rows: 1.0 - float(np.mean(losses[rows]) / np.mean(baseline[rows])),
      tasks_of_rows,
  )
