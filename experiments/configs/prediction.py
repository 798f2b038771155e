"""Heads on frozen codes: fields of weightspace.evaluation.prediction.Config.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """All defaults, written out: importing them would make --help slow."""
  config = ConfigDict()
  config.properties = ("task", "accuracy")  # modules in weightspace.properties
  config.steps = 2000  # of gradient descent
  config.batch = 256  # codes a step
  config.learning_rate = 1e-3  # AdamW's, falling to 0 along a cosine
  config.weight_decay = 0.01  # AdamW's
  config.hidden = 128  # units of each hidden layer of a head
  config.layers = 2  # hidden layers; 0 is a linear head
  config.validate_every = 100  # steps; validation selects the step
  config.resamples = 300  # of the bootstrap of each metric
  config.seed = 0
  return config
