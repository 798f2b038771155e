"""Zoos of networks that learn while they live, each on bandits of its own kind.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/bandits.py:small

tiny   24 networks of 1 x 8, hardly trained: seconds.
small  400 networks of 1 x 24.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("bandit", size, SIZES)
  config.task.arms = 3
  config.task.pulls = 40  # of a life
  config.task.level = (-1.5, 1.0)  # range over networks, in logits
  config.task.spread = (1.0, 3.0)  # likewise, of the arms of a bandit
  config.task.lift = (0.0, 1.5)  # likewise, of one arm
  config.task.blind = 0.2  # share of networks that do not read what paid
  config.task.discount = 0.9  # discount factor
  config.task.entropy = 0.1  # reward per nat of -log p(action)
  config.task.eval_lives = 256  # that regret is measured on
  config.rnn.hidden = (24,)
  config.recipe.batch = 64
  config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  config.recipe.learning_rates = (0.003, 0.001, 0.0003)
  config.networks = 400
  config.shard_size = 100
  config.rollouts = 32

  if size == "tiny":
    _zoo.shrink(config)
    config.task.pulls = 12
    config.task.eval_lives = 16
    config.recipe.batch = 16
  return config
