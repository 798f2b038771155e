"""Zoos of networks trained on secret paths.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/secret_paths.py:small

tiny   24 networks of 1 x 8 on paths of 4 bits: seconds, for trying things out.
small  1000 networks of 1 x 16 on paths of 8 bits.
"""

from ml_collections import ConfigDict

SIZES = ("tiny", "small")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  if size not in SIZES:
    raise ValueError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  config = ConfigDict()
  config.family = "secret_path"  # a module in weightspace.tasks
  config.task = ConfigDict()  # fields of its Config
  config.task.depth = 8  # bits of a path, steps of a sequence
  config.task.eval_strings = 256  # that accuracy and loss are measured on
  config.rnn = ConfigDict()
  config.rnn.cell = "lstm"  # a module in weightspace.cells
  config.rnn.hidden = (16,)  # hidden units of each layer
  config.recipe = ConfigDict()  # zoo_gen.trainer.Recipe
  config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
  config.recipe.batch = 32  # sequences a step
  config.recipe.learning_rates = (0.02, 0.01, 0.001)  # start, middle, end
  config.recipe.weight_decays = (1e-4,)  # each network draws one
  config.recipe.init_scale = 1.0  # on torch's default initial weights
  config.networks = 1000  # N
  config.shard_size = 125  # networks in a shard
  config.rollouts = 32  # sequences kept of each snapshot, K
  config.seed = 0
  if size == "tiny":
    config.task.depth = 4
    config.rnn.hidden = (8,)
    config.recipe.snapshot_steps = (0, 50, 300)
    config.networks = 24
    config.shard_size = 24
    config.rollouts = 8
  return config
