"""The config of a pretraining run: parsed once, compared with older runs'."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weightspace import emulator, plugins
from weightspace.io import workdir
from weightspace.training import emulation, encoding
from weightspace.training.fit import Schedule
from weightspace.training.optimizer import OptimizerConfig
from weightspace.zoo import Zoo, ZooSpec


@dataclass(frozen=True)
class Config:
  """What is trained by emulation, and how.

  Attributes:
    encoder: which one, and its sizes.
    emulator: its sizes.
    optimizer: of both.
    emulation: losses, batches, steps and seeds.
  """

  encoder: encoding.EncoderConfig
  emulator: emulator.Config
  optimizer: OptimizerConfig
  emulation: emulation.Config

  def to_json(self) -> dict[str, Any]:
    """The values that `parse` takes, with all defaults."""
    return {
        "encoder": self.encoder.to_json(),
        "emulator": dataclasses.asdict(self.emulator),
        "optimizer": dataclasses.asdict(self.optimizer),
        "emulation": dataclasses.asdict(self.emulation),
    }

  @property
  def schedule(self) -> Schedule:
    """How long to train, and what happens how often."""
    return Schedule.of_run(
        self.emulation.steps,
        self.emulation.validate_every,
        self.emulation.checkpoint_every,
    )


def parse(config: Mapping[str, Any]) -> Config:
  """A config from plain values, as `experiments/configs/emulation.py` has them.

  Args:
    config: fields of "encoder", "emulator", "optimizer" and "emulation"; those
      that are missing have their defaults. Other keys are left alone.

  Raises:
    ValueError: a field that does not exist, with the nearest name.
  """
  return Config(
      encoding.parse(config["encoder"]),
      *(
          plugins.configure(part, config.get(name, {}), name)
          for name, part in (
              ("emulator", emulator.Config),
              ("optimizer", OptimizerConfig),
              ("emulation", emulation.Config),
          )
      ),
  )


def claim(folder: str | os.PathLike, zoo: Zoo, config: Config) -> None:
  """Claims the folder of a run; see `workdir.claim`."""
  workdir.claim(folder, identity(zoo, config), complete)


def identity(zoo: Zoo, config: Config) -> dict[str, Any]:
  """What decides the outcome of a run, as JSON values."""
  return {"zoo": zoo.spec.to_json(), **config.to_json()}


def complete(
    stored: Mapping[str, Any], parse: Callable[..., Any] = parse
) -> dict[str, Any]:
  """A stored identity with fields that it lacks at their defaults.

  Args:
    stored: as of `identity`; other keys are left alone.
    parse: of such a config: `parse`, or that of supervised training.
  """
  zoo = ZooSpec.from_json(stored["zoo"]).to_json()
  full = {"zoo": zoo, **parse(stored).to_json()}
  return {**stored, **json.loads(json.dumps(full))}
