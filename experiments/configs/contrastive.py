"""Contrastive training of encoders: `contrastive.py:ENCODER[,SIZE[,FAMILY]]`.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/contrastive.py:dws,small

Encoders, sizes and families are those of `emulation.py`, and so are steps,
batches and the optimiser.
"""

from ml_collections import ConfigDict

# What is the same as for emulation
SAME = ("steps", "batch", "validate_every", "checkpoint_every",
        "matmul_precision", "split_seed", "seed")  # fmt: skip


def get_config(what: str = "dws,small") -> ConfigDict:
  """The config of an encoder, of a size."""
  return of_objective("contrastive", what)


def of_objective(name: str, what: str) -> ConfigDict:
  """A config of emulation, turned into one of another objective."""
  import dataclasses

  from experiments.configs import emulation
  from weightspace import plugins
  from weightspace.training import objectives

  config = emulation.get_config(what)
  known = plugins.load(objectives.__name__, name).Config
  fields = ConfigDict(dataclasses.asdict(known()))
  fields.update({field: config.emulation[field] for field in SAME})
  return ConfigDict({
      "objective": name,
      "encoder": config.encoder,
      "optimizer": config.optimizer,
      name: fields,
  })


def parts(config: ConfigDict) -> dict[str, type]:
  """The dataclasses of its parts, which say what the fields mean."""
  from experiments.configs import emulation
  from weightspace import plugins
  from weightspace.training import objectives

  known = emulation.parts(config)
  objective = plugins.load(objectives.__name__, config.objective).Config
  return {
      "encoder": known["encoder"],
      "optimizer": known["optimizer"],
      config.objective: objective,
  }
