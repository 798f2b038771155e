"""Divergences of an emulator from the networks of a zoo."""

from collections.abc import Mapping

import numpy as np
from jax.sharding import Mesh

from weightspace import settings
from weightspace.emulator import Emulator
from weightspace.errors import UserError
from weightspace.evaluation import bootstrap
from weightspace.training import encoding
from weightspace.training import model as model_lib
from weightspace.training.config import EMULATION
from weightspace.training.objectives import emulation
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

  Raises:
    UserError: the encoder was trained for another objective.
  """
  config, emulator = pretrained.config, emulator_of(pretrained)
  zoo = encoding.view(zoo, config.encoder)
  measure = model_lib.make_measure(
      emulation.make_measure(
          config.training, pretrained.model.scope, emulator, names
      ),
      config.training.batch,
      mesh,
  )  # fmt: skip

  def losses_of(rows):
    data = loader.view_by_shape(
        zoo, rows, rollouts=config.training.validation_sequences
    )
    losses = measure(pretrained.params, data)
    order = np.argsort(np.concatenate(loader.by_shape(zoo, rows)))
    return {name: values[order] for name, values in losses.items()}

  return {part: losses_of(rows) for part, rows in parts.items()}


def emulator_of(pretrained: Pretrained) -> Emulator:
  """The emulator that an encoder was trained with.

  Raises:
    UserError: it was trained for another objective.
  """
  config = pretrained.config
  if config.objective != EMULATION:
    raise UserError(
        f"the encoder was trained for the objective {config.objective!r}, so it"
        " has no emulator: choose a run of emulation"
    )
  return emulation.make_emulator(
      pretrained.model.scope, config.parts["emulator"]
  )


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
