"""Zoos of LSTMs on rotated digits, read tile by tile.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/tiled_mnist.py:small

tiny   24 networks of 1 x 8 x 60 steps: seconds, for trying things out.
small  400 networks of the paper's size x 1000 steps: see docs/benchmarks.md.
paper  1000 networks x 20,000 steps, 9 snapshots, as in the paper, on all of
       MNIST: by TensorFlow Datasets, or with --config.task.digits=idx:DIR from
       four files that are there. For an accelerator.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small", "paper")


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  config = _zoo.get_config("tiled_mnist", size, SIZES)
  config.task.digits = "mnist_5k"  # or idx:DIR, tfds, tfds:DIR
  config.task.digits_sha256 = ""  # empty: any; the zoo records which it was
  config.task.mean = 0.1307  # of the pixels, in [0, 1]
  config.task.std = 0.3081  # of the pixels
  config.task.eval_images = 13_000  # measured on, at most, of either side
  config.task.eval_batch = 250  # at a time
  config.recipe.weight_decays = (0.0, 0.001, 0.01, 0.1)

  if size == "paper":
    config.task.digits = "tfds"
  if size == "small":
    config.recipe.snapshot_steps = (0, 100, 200, 500, 1000)
    config.networks = 400
    config.shard_size = 100
  if size == "tiny":
    _zoo.shrink(config)
    config.task.eval_images = 200
  return config
