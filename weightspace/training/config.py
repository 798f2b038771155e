"""The config of a training run: parsed once, compared with older runs'."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weightspace import plugins
from weightspace.io import workdir
from weightspace.training import encoding, objectives
from weightspace.training.optimizer import OptimizerConfig
from weightspace.zoo import Zoo, ZooSpec

EMULATION = "emulation"  # the objective of runs from before there were others


@dataclass(frozen=True)
class Config:
  """What is trained, for which objective, and how.

  Attributes:
    objective: a name in `weightspace.training.objectives`.
    encoder: which one, and its sizes.
    optimizer: of all that is trained.
    training: the objective's own `Config`: losses, batches, steps and seeds.
    parts: configs of what the objective has beside it, such as the emulator.
  """

  objective: str
  encoder: encoding.EncoderConfig
  optimizer: OptimizerConfig
  training: objectives.Config
  parts: Mapping[str, Any]

  def to_json(self) -> dict[str, Any]:
    """The values that `parse` takes, with all defaults."""
    return {
        "objective": self.objective,
        "encoder": self.encoder.to_json(),
        **{
            name: dataclasses.asdict(part) for name, part in self.parts.items()
        },
        "optimizer": dataclasses.asdict(self.optimizer),
        self.objective: dataclasses.asdict(self.training),
    }


def parse(config: Mapping[str, Any]) -> Config:
  """A config from plain values, as those in `experiments/configs` have them.

  Args:
    config: the name of an "objective", by default "emulation"; fields of
      "encoder", "optimizer", of a section of the objective's name and of its
      parts. Those that are missing have their defaults. Other keys are left
      alone.

  Raises:
    ValueError: no such objective or field, with the nearest name.
  """
  objective = config.get("objective", EMULATION)
  training, parts = objectives.configure(objective, config)
  optimizer = config.get("optimizer", {})
  return Config(
      objective,
      encoding.parse(config["encoder"]),
      plugins.configure(OptimizerConfig, optimizer, "optimizer"),
      training,
      parts,
  )


def claim(folder: str | os.PathLike, zoo: Zoo, config: Config) -> None:
  """Claims the folder of a run; see `workdir.claim`."""
  workdir.claim(folder, identity(zoo, config), complete)


def identity(zoo: Zoo, config: Config) -> dict[str, Any]:
  """What decides the outcome of a run, as JSON values."""
  return {"zoo": zoo.spec.to_json(), **config.to_json()}


def complete(stored: Mapping[str, Any]) -> dict[str, Any]:
  """A stored identity with fields that it lacks at their defaults.

  Args:
    stored: as of `identity`; other keys are left alone.
  """
  zoo = ZooSpec.from_json(stored["zoo"]).to_json()
  full = {"zoo": zoo, **parse(stored).to_json()}
  return {**stored, **json.loads(json.dumps(full))}
