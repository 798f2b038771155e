"""Zoos of LSTMs on rotated digits, read tile by tile.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/tiled_mnist.py:small

tiny   24 networks of 1 x 8 x 60 steps: seconds, for trying things out.
small  100 networks of the paper's size x 1000 steps: see README.
paper  1000 networks x 20,000 steps, 9 snapshots, as in the paper, on all of
       MNIST: by TensorFlow Datasets, or with --config.task.digits=idx:DIR from
       four files that are there. For an accelerator.
"""

from ml_collections import ConfigDict

SIZES = ("tiny", "small", "paper")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  if size not in SIZES:
    raise ValueError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  config = ConfigDict()
  config.family = "tiled_mnist"  # a module in weightspace.tasks
  config.task = ConfigDict()  # fields of its Config
  config.task.digits = "mnist_5k"  # or idx:DIR, tfds, tfds:DIR
  config.task.digits_sha256 = ""  # empty: any; the zoo records which it was
  config.task.mean = 0.1307  # of the pixels, in [0, 1]
  config.task.std = 0.3081  # of the pixels
  config.task.eval_images = 13_000  # measured on, at most, of either side
  config.task.eval_batch = 250  # at a time
  config.rnn = ConfigDict()
  config.rnn.cell = "lstm"  # a module in weightspace.cells
  config.rnn.hidden = (32, 32)  # hidden units of each layer
  config.recipe = ConfigDict()  # zoo_gen.trainer.Recipe
  config.recipe.snapshot_steps = (
      0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000,
  )  # fmt: skip
  config.recipe.batch = 32  # images a step
  config.recipe.learning_rates = (0.01, 0.003, 0.0003)  # start, middle, end
  config.recipe.weight_decays = (0.0, 0.001, 0.01, 0.1)  # each draws one
  config.recipe.init_scale = 1.0  # on torch's default initial weights
  config.networks = 1000  # N
  config.shard_size = 125  # networks in a shard
  config.rollouts = 100  # images kept of each snapshot, K
  config.seed = 0

  if size == "paper":
    config.task.digits = "tfds"
  if size == "small":
    config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
    config.networks = 100
    config.shard_size = 50
  if size == "tiny":
    config.rnn.hidden = (8,)
    config.recipe.snapshot_steps = (0, 20, 60)
    config.recipe.learning_rates = (0.05, 0.03, 0.001)
    config.networks = 24
    config.shard_size = 16
    config.rollouts = 8
    config.task.eval_images = 200
  return config
