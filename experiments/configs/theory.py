"""Sizes of experiments.theory: `theory.py:full` or `theory.py:tiny`.

    python -m experiments.theory --workdir=DIR \\
        --config=experiments/configs/theory.py:full

full  some minutes on 2 cores.
tiny  under a minute, for tests.
"""

from ml_collections import ConfigDict

from weightspace.errors import UserError

SIZES = ("full", "tiny")


def get_config(size: str = "full") -> ConfigDict:
  """The config of one of `SIZES`."""
  if size not in SIZES:
    raise UserError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  tiny = size == "tiny"
  config = ConfigDict()
  config.seconds = 0.5 if tiny else 60.0  # budget for families of any size
  families = ((3, 3),) if tiny else ((4, 4), (5, 2))
  config.every_family = families  # (functions, answers of a query) to solve all
  config.depths = (2,) if tiny else (1, 2, 3, 4, 5, 6, 7, 8)  # of RNNs
  config.learning = ConfigDict()  # of experiments.theory.config.Config
  config.learning.arms = (  # names in the same ARMS
      "interactive, echoing", "interactive",
      "non-interactive", "non-interactive, one string",
  )  # fmt: skip
  # Those also tested on words of no training network
  config.learning.unseen = ("interactive, echoing", "non-interactive")
  config.learning.depths = (3, 4, 6, 8)  # d, bits of w
  config.learning.budget = 24  # queries of an interrogation, M x d
  config.learning.networks = 2048  # of each depth
  config.learning.tests = 512  # of them, for testing
  config.learning.cell = "lstm"  # elman, lstm or gru
  config.learning.hidden = 16  # units, at least d + 1
  config.learning.gain = 3.0  # of the constructed weights
  config.learning.contrast = 8.0  # of the constructed weights
  config.learning.noise = 0.1  # standard deviation, on all weights
  config.learning.tune_steps = 0  # of gradient descent on each network
  config.learning.tune_rate = 3e-3  # learning rate of tuning
  config.learning.steps = 500  # of training an encoder and its head
  config.learning.batch = 64  # networks a step
  config.learning.learning_rate = 5e-3  # with cosine decay to 0
  config.learning.units = 64  # units of core, decoder and head
  config.learning.code = 16  # size of the code
  config.learning.seeds = 3  # trainings of each encoder
  config.learning.resamples = 1000  # of the bootstrap
  config.learning.seed = 0  # of all random numbers
  if tiny:
    config.learning.update({
        "arms": ("interactive, echoing", "non-interactive"),
        "unseen": ("non-interactive",),
        "depths": (2,), "budget": 4, "networks": 128, "tests": 32,
        "steps": 60, "batch": 32, "learning_rate": 1e-2, "units": 16,
        "seeds": 2, "resamples": 50,
    })  # fmt: skip
  return config


def parts(config: ConfigDict) -> dict[str, type]:
  """The dataclass of its part, which says what the fields mean."""
  from experiments.theory.config import Config

  del config
  return {"learning": Config}
