"""Heads on frozen codes: fields of weightspace.evaluation.prediction.Config.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py

`prediction.py:FAMILY` predicts what there is to know about networks of that
family of tasks: `prediction.py:tiled_mnist`.
"""

from ml_collections import ConfigDict

# Modules in weightspace.properties
PROPERTIES = {
    "formal_language": ("task", "accuracy"),
    "tiled_mnist": ("angle", "accuracy", "step", "generalization_gap"),
}

# An angle that is held out lies beyond all that are validated on, where an MLP
# of codes goes astray, and validation cannot tell
FORMS = {
    "formal_language": ("mlp", "linear", "ordinal"),
    "tiled_mnist": ("linear", "ordinal"),
}


def get_config(family: str = "formal_language") -> ConfigDict:
  """All defaults, written out: importing them would make --help slow."""
  if family not in PROPERTIES:
    raise ValueError(
        f"no family {family!r}; there are: {', '.join(PROPERTIES)}"
    )
  config = ConfigDict()
  config.properties = PROPERTIES[family]
  config.forms = FORMS[family]  # of which validation chooses
  config.steps = 2000  # of gradient descent
  config.batch = 256  # codes a step
  config.learning_rate = 1e-3  # AdamW's, falling to 0 along a cosine
  config.weight_decay = 0.01  # AdamW's
  config.hidden = 128  # units of each hidden layer of an MLP
  config.layers = 2  # hidden layers of an MLP
  config.validate_every = 100  # steps; validation selects the step
  config.resamples = 300  # of the bootstrap of each metric
  config.seed = 0
  return config
