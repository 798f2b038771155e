"""Divergences of an emulator from the networks of a zoo."""

from collections.abc import Mapping

import numpy as np
from jax.sharding import Mesh

from weightspace import settings, tasks
from weightspace.evaluation import bootstrap
from weightspace.training import emulation, encoding
from weightspace.training.pretrain import Pretrained
from weightspace.zoo import Zoo, loader

DIVERGENCES = ("total_variation", "reverse_kl")


@settings.pinned()
def row_losses(
    zoo: Zoo,
    pretrained: Pretrained,
    parts: Mapping[str, np.ndarray],
    *,
    names: tuple[str, ...] = DIVERGENCES,
    mesh: Mesh | None = None,
) -> dict[str, dict[str, np.ndarray]]:
  """The mean divergence of the emulator from the network of each row.

  Args:
    zoo: the zoo.
    pretrained: encoder and emulator.
    parts: row numbers of each part of the zoo, [n] each.
    names: of divergences.
    mesh: over which rows are sharded.

  Returns:
    {part: {name: [n] float32}}.
  """
  settings = pretrained.config.emulation
  zoo = encoding.view(zoo, pretrained.config.encoder)
  measure = emulation.make_measure(
      pretrained.model,
      tasks.make(zoo.spec.family, zoo.spec.family_config),
      settings,
      mesh,
      names,
  )

  def losses_of(rows):
    data = loader.view_by_shape(
        zoo, rows, rollouts=settings.validation_sequences
    )
    losses = measure(pretrained.params, data)
    order = np.argsort(np.concatenate(loader.by_shape(zoo, rows)))
    return {name: values[order] for name, values in losses.items()}

  return {part: losses_of(rows) for part, rows in parts.items()}


def gain(
    losses: np.ndarray, baseline: np.ndarray, tasks_of_rows: np.ndarray
) -> bootstrap.Estimate:
  """The relative reduction of a baseline's loss: 1 - loss / baseline.

  Args:
    losses: [n].
    baseline: [n], of the same rows.
    tasks_of_rows: [n, D].

  Returns:
    The estimate, with an interval over tasks.
  """
  return bootstrap.interval(
      lambda rows: 1.0 - float(np.mean(losses[rows]) / np.mean(baseline[rows])),
      tasks_of_rows,
  )
