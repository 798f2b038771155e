"""Heads on frozen codes.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """Fields of weightspace.evaluation.prediction.Config."""
  config = ConfigDict()
  config.properties = ("task", "accuracy")  # modules in properties
  config.steps = 2000
  config.batch = 256
  config.learning_rate = 1e-3
  config.weight_decay = 0.01
  config.hidden = 128
  config.layers = 2
  config.validate_every = 100
  config.resamples = 300  # of the bootstrap of each metric
  config.seed = 0
  return config
