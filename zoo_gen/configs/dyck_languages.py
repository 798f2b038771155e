"""Zoos of networks trained on Dyck languages.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/dyck_languages.py:small

tiny   24 networks of 1 x 8 on words of at most 10 brackets: seconds.
small  1000 networks of 1 x 32 on words of at most 30 brackets.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("dyck_language", size, SIZES)
  config.task.kinds = 3  # most kinds of brackets of a language
  config.task.depth = 5  # most that its brackets may be nested
  config.task.stop = 0.15  # probability that a word ends where it may
  config.task.length = 32  # symbols with BOS and padding, T + 1
  config.task.eval_strings = 500  # sampled to measure accuracy
  config.task.eval_batch = 64  # words of the language to measure the loss
  config.rnn.hidden = (32,)
  config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  config.recipe.learning_rates = (0.03, 0.01, 0.001)
  config.rollouts = 64

  if size == "tiny":
    _zoo.shrink(config)
    config.task.depth = 2
    config.task.length = 12
    config.task.eval_strings = 50
  return config
