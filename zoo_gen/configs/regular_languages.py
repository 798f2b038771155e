"""Zoos of networks trained on regular languages.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/regular_languages.py:small

tiny   24 networks of 1 x 8 on automata of 2 or 3 states: seconds.
small  1000 networks of 1 x 24 on automata of 2 to 6 states.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("regular_language", size, SIZES)
  config.task.states = 6  # most that an automaton has
  config.task.tomita = 0.1  # share of tasks that are one of Tomita's seven
  config.task.stop = 0.2  # probability that a word ends where it may
  config.task.length = 24  # symbols with BOS and padding, T + 1
  config.task.eval_strings = 500  # sampled to measure accuracy
  config.task.eval_batch = 64  # words of the language to measure the loss
  config.rnn.hidden = (24,)
  config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  config.recipe.learning_rates = (0.03, 0.01, 0.001)
  config.rollouts = 64

  if size == "tiny":
    _zoo.shrink(config)
    config.task.states = 3
    config.task.length = 12
    config.task.eval_strings = 50
  return config
