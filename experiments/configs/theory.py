"""Sizes of experiments.theory: `theory.py:full` or `theory.py:tiny`.

    python -m experiments.theory --workdir=DIR \\
        --config=experiments/configs/theory.py:full

full  some minutes on 2 cores.
tiny  under a minute, to see that it works.
"""

from ml_collections import ConfigDict

SIZES = ("full", "tiny")


def get_config(size: str = "full") -> ConfigDict:
  """The config of one of `SIZES`."""
  if size not in SIZES:
    raise ValueError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  tiny = size == "tiny"
  config = ConfigDict()
  config.seconds = 0.5 if tiny else 60.0  # for larger and larger families
  # (functions, answers of a query): every family of these is solved
  config.every_family = ((3, 3),) if tiny else ((4, 4), (5, 2))
  config.depths = (2,) if tiny else (1, 2, 3, 4, 5, 6, 7, 8)  # of RNNs
  config.learning = ConfigDict()  # of experiments.theory.config.Config
  config.learning.arms = (  # names in the same ARMS
      "interactive, echoing", "interactive",
      "non-interactive", "non-interactive, one string",
  )  # fmt: skip
  # Those that are tried on words which no training network had, too
  config.learning.unseen = ("interactive, echoing", "non-interactive")
  config.learning.depths = (3, 4, 6, 8)  # d, bits of w
  config.learning.budget = 24  # queries of an interrogation, M x d
  config.learning.networks = 2048  # of each depth
  config.learning.tests = 512  # of them, kept for the test
  config.learning.cell = "lstm"  # elman, lstm or gru
  config.learning.hidden = 16  # units, at least d + 1
  config.learning.gain = 3.0  # they are built with
  config.learning.contrast = 8.0  # they are built with
  config.learning.noise = 0.1  # on all their weights
  config.learning.tune_steps = 0  # of gradient descent on each network
  config.learning.tune_rate = 3e-3  # learning rate of these
  config.learning.steps = 500  # of training an encoder and its head
  config.learning.batch = 64  # networks a step
  config.learning.learning_rate = 5e-3  # falling to 0 along a cosine
  config.learning.units = 64  # of core, decoder and head
  config.learning.code = 16  # size of the code
  config.learning.seeds = 3  # trainings of each encoder
  config.learning.resamples = 1000  # of the bootstrap
  config.learning.seed = 0  # of all that is random
  if tiny:
    config.learning.update({
        "arms": ("interactive, echoing", "non-interactive"),
        "unseen": ("non-interactive",),
        "depths": (2,), "budget": 4, "networks": 128, "tests": 32,
        "steps": 60, "batch": 32, "learning_rate": 1e-2, "units": 16,
        "seeds": 2, "resamples": 50,
    })  # fmt: skip
  return config
