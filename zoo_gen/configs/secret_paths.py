"""Zoos of networks trained on secret paths.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/secret_paths.py:small

tiny   24 networks of 1 x 8 on paths of 4 bits: seconds, for trying things out.
small  1000 networks of 1 x 16 on paths of 8 bits.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("secret_path", size, SIZES)
  config.task.depth = 8  # bits of a path, steps of a sequence
  config.task.eval_strings = 256  # that accuracy and loss are measured on
  config.rnn.hidden = (16,)
  config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  config.recipe.learning_rates = (0.02, 0.01, 0.001)
  config.rollouts = 32

  if size == "tiny":
    config.task.depth = 4
    config.rnn.hidden = (8,)
    config.recipe.snapshot_steps = (0, 50, 300)
    config.networks = 24
    config.shard_size = 24
    config.rollouts = 8
  return config
