"""Zoos of networks trained on sums modulo k.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/modular_sums.py:small

tiny   24 networks of 1 x 8 on sums modulo 2 to 5: seconds.
small  1000 networks of 1 x 24 on sums modulo 2 to 6.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("modular_sum", size, SIZES)
  config.task.modulus = 6  # largest k
  config.task.digits = 3  # digits that are read: 0, 1, 2
  config.task.length = 24  # symbols with BOS, of which all but one are read
  config.task.eval_strings = 256  # that accuracy and loss are measured on
  config.rnn.hidden = (24,)
  config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  config.recipe.learning_rates = (0.03, 0.01, 0.001)
  config.rollouts = 64

  if size == "tiny":
    _zoo.shrink(config)
    config.task.modulus = 5
    config.task.length = 10
    config.task.eval_strings = 50
  return config
