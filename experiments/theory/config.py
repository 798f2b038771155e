"""Sizes of the learned interrogation, and the interrogators it compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from weightspace import cells, fields
from weightspace.errors import UserError


@dataclass(frozen=True)
class Config:
  """Sizes; `experiments/configs/theory.py` holds the same fields.

  Attributes:
    arms: names of those in `ARMS` that are compared.
    unseen: those that are also tested on words of no training network.
    depths: d, bits of w.
    budget: queries of an interrogation, M x L; L = d, so M = budget // d.
    networks: of each depth; their w are drawn uniformly.
    tests: of these networks, kept for the test.
    cell: of the networks.
    hidden: their units.
    gain: of `weightspace.theory.networks.build`: high enough that answers are
      nearly discrete, as in the theory, low enough that gradients of probes
      pass.
    contrast: of the same.
    noise: standard deviation of the noise on all their weights.
    tune_steps: of gradient descent on each noisy network. A tuned network's
      answers off the path depend on w too, which the theory excludes.
    tune_rate: learning rate of these.
    steps: of training an encoder and its head.
    batch: networks a step.
    learning_rate: falling to 0 along a cosine.
    units: of the encoder's core, its decoder and the head.
    code: size of the code.
    seeds: trainings of each encoder, from different initial params.
    resamples: of the bootstrap.
    seed: of all random draws.
  """

  arms: tuple[str, ...] = (
      "interactive, echoing", "interactive",
      "non-interactive", "non-interactive, one string",
  )  # fmt: skip
  unseen: tuple[str, ...] = ("interactive, echoing", "non-interactive")
  depths: tuple[int, ...] = (3, 4, 6, 8)
  budget: int = 24
  networks: int = 2048
  tests: int = 512
  cell: str = "lstm"
  hidden: int = 16
  gain: float = 3.0
  contrast: float = 8.0
  noise: float = 0.1
  tune_steps: int = 0
  tune_rate: float = 3e-3
  steps: int = 500
  batch: int = 64
  learning_rate: float = 5e-3
  units: int = 64
  code: int = 16
  seeds: int = 3
  resamples: int = 1000
  seed: int = 0

  def __post_init__(self):
    unknown = sorted({*self.arms, *self.unseen} - {*ARMS})
    if unknown:
      raise UserError(f"no arms {unknown}; there are: {', '.join(ARMS)}")
    cells.load(self.cell)
    fields.check_integers(
        self, "budget", "networks", "tests", "hidden", "steps", "batch",
        "units", "code", "seeds", "resamples",
    )  # fmt: skip
    fields.check_integers(self, "tune_steps", least=0)
    fields.check_numbers(self, "gain", "contrast", above=0)
    fields.check_numbers(
        self, "noise", "tune_rate", "learning_rate", least=0
    )
    fields.check_seeds(self, "seed")
    if not self.depths or not self.arms:
      raise UserError("depths and arms must each name at least one")
    for depth in self.depths:
      fields.check_number(depth, "depths", least=1)
      if depth > self.budget or self.hidden < depth + 1:
        raise UserError(
            f"depths: {depth} queries need a budget of at least {depth} and"
            f" hidden={depth + 1} units, got budget={self.budget} and"
            f" hidden={self.hidden}"
        )
    if self.tests >= self.networks:
      raise UserError(
          f"tests={self.tests} are some of the networks, so there must be more"
          f" than networks={self.networks}"
      )


class Arm(NamedTuple):
  """One of the compared interrogators.

  Attributes:
    encoder: name of the encoder.
    fields: of its config.
    whole_budget: whether M = budget // d sequences are probed, or one.
  """

  encoder: str
  fields: Mapping[str, Any]
  whole_budget: bool = True

  def parallel(self, config: Config, depth: int) -> int:
    """M."""
    return config.budget // depth if self.whole_budget else 1


ARMS = {
    "interactive, echoing": Arm("interactive", {"start": "samples"}),
    "interactive": Arm("interactive", {}),
    "non-interactive": Arm("noninteractive", {}),
    "non-interactive, one string": Arm("noninteractive", {}, False),
}
