"""Zoos of LSTMs on formal languages.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/formal_languages.py:small

tiny        24 networks of 1 x 8 x 60 steps: seconds, for trying things out.
quickstart  320 networks of 1 x 16 x 500 steps: minutes on 2 cores.
small       1000 networks of the paper's size x 1000 steps: see docs/results.md.
paper       1000 networks x 20,000 steps, 9 snapshots, as in the paper.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "quickstart", "small", "paper")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("formal_language", size, SIZES)
  config.task.length = 42  # symbols with BOS and padding, T + 1
  config.task.max_n = 10  # n < max_n in a^n b^(n+m_b) ...
  config.task.shift_min = -3  # smallest m
  config.task.shift_max = 2  # largest m
  config.task.always_fit = True  # False: the paper's recipe, EOS may not fit
  config.task.mask_padding = False  # True: do not train on what follows EOS
  config.task.eval_strings = 1000  # sampled to measure accuracy
  config.task.eval_batch = 128  # strings of the language to measure the loss

  if size == "small":
    config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  if size == "quickstart":
    config.rnn.hidden = (16,)
    config.recipe.snapshot_steps = (0, 50, 150, 300, 500)
    # Steeper than the paper's: a small network has 500 steps to learn in
    config.recipe.learning_rates = (0.05, 0.03, 0.001)
    config.networks = 320
    config.shard_size = 160
    config.rollouts = 32
  if size == "tiny":
    _zoo.shrink(config)
    config.task.eval_strings = 100
  return config
