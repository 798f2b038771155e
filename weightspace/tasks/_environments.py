"""Environments of gymnax, and in which parameters those of a zoo differ."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError


@dataclass(frozen=True)
class Environment:
  """An environment of which each network has its own.

  Attributes:
    place: module and class in gymnax.environments.
    ranges: (lowest, highest) of each parameter that differs; of two integers,
      an integer.
    scales: what observations are divided by.
    score: (mean reward of a step [B], share of the steps that an episode
      lasted [B], final states) -> [B], how good episodes are, from 0 to 1.
    velocities: places in an observation, which may be hidden.
    forces: the value of each action, where the environment's are real.
    depends: parameters that others determine: (parameters by name) -> value.
  """

  place: tuple[str, str]
  ranges: Mapping[str, tuple[float, float]]
  scales: tuple[float, ...]
  score: Callable
  velocities: tuple[int, ...] = ()
  forces: tuple[float, ...] = ()
  depends: Mapping[str, Callable] = MappingProxyType({})

  def make(self) -> Any:
    """Gymnax's environment.

    Raises:
      UserError: gymnax is not installed.
    """
    module, name = self.place
    try:
      module = importlib.import_module(f"gymnax.environments.{module}")
    except ModuleNotFoundError as error:
      raise UserError(
          "policies act in environments of gymnax, which is not installed"
          f" ({error}): pip install 'weightspace[rl]'"
      ) from error
    return getattr(module, name)()


def _regret(rewards, steps, states):
  """All of them grade an episode by one answer, right or wrong."""
  del rewards, steps
  return 1 - jnp.asarray(states.total_regret, jnp.float32) / 2


ENVIRONMENTS = {
    # Keep a pole upright on a cart that is pushed left or right
    "cartpole": Environment(
        place=("classic_control.cartpole", "CartPole"),
        ranges={
            "gravity": (5.0, 20.0), "masscart": (0.5, 2.0),
            "masspole": (0.05, 0.5), "length": (0.25, 1.0),
            "force_mag": (6.0, 14.0),
        },
        scales=(2.4, 2.0, 0.2, 2.0),
        velocities=(1, 3),
        depends={
            "total_mass": lambda p: p["masscart"] + p["masspole"],
            "polemass_length": lambda p: p["masspole"] * p["length"],
        },
        score=lambda rewards, steps, states: steps,
    ),
    # Swing a pendulum up and hold it there; torque is continuous, and five
    # values of it are the actions
    "pendulum": Environment(
        place=("classic_control.pendulum", "Pendulum"),
        ranges={"g": (5.0, 12.0), "m": (0.5, 1.2), "l": (0.7, 1.2)},
        scales=(1.0, 1.0, 8.0),
        velocities=(2,),
        forces=(-2.0, -1.0, 0.0, 1.0, 2.0),
        # A pendulum that hangs still costs pi^2 a step
        score=lambda rewards, steps, states: jnp.clip(
            1 + rewards / np.float32(np.pi**2), 0.0, 1.0
        ),
    ),
    # Say after so many steps which bit was shown in the first
    "memory_chain": Environment(
        place=("bsuite.memory_chain", "MemoryChain"),
        ranges={"memory_length": (4, 12)},
        scales=(1.0, 1.0, 1.0),
        score=_regret,
    ),
    # Take an umbrella or not; it matters many noisy rewards later
    "umbrella_chain": Environment(
        place=("bsuite.umbrella_chain", "UmbrellaChain"),
        ranges={"chain_length": (2, 12)},
        scales=(1.0, 1.0, 1.0),
        score=_regret,
    ),
}  # fmt: skip
