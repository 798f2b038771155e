"""Heads on frozen codes: fields of weightspace.evaluation.prediction.Config.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py

`prediction.py:FAMILY` predicts the properties of networks of that task family:
`prediction.py:tiled_mnist`. Of a family that is not named below, as one of your
own, these are the task and the accuracy, until --config.properties says others.
"""

from ml_collections import ConfigDict

# Modules in weightspace.properties
PROPERTIES = {
    "formal_language": ("task", "accuracy"),
    "tiled_mnist": ("angle", "accuracy", "step", "generalization_gap"),
    **dict.fromkeys(
        ("policy", "bandit"),
        ("parameters", "accuracy", "column:accuracy_elsewhere"),
    ),
}

# Held-out angles lie outside of the range of validation, where MLPs extrapolate
# badly; validation cannot detect it
FORMS = {
    "formal_language": ("mlp", "linear", "ordinal"),
    "tiled_mnist": ("linear", "ordinal"),
}
# Until the validation loss of linear heads no longer falls
STEPS = {"formal_language": 2000, "tiled_mnist": 8000}


def get_config(family: str = "formal_language") -> ConfigDict:
  """The defaults, repeated here because importing them makes --help slow."""
  if family not in PROPERTIES:
    from weightspace import plugins, tasks

    plugins.load(tasks.__name__, family)  # there is one of that name
  config = ConfigDict()
  others = "formal_language"  # whose values families have that are not named
  properties = PROPERTIES.get(family, PROPERTIES[others])
  config.properties = properties  # names, or column:NAME of the zoo
  forms = FORMS.get(family, FORMS[others])
  config.forms = forms  # validation selects one per property
  config.steps = STEPS.get(family, STEPS[others])  # of gradient descent
  config.batch = 256  # codes a step
  config.learning_rate = 1e-3  # AdamW's, with cosine decay to 0
  config.weight_decay = 0.01  # AdamW's
  config.hidden = 128  # units of each hidden layer of an MLP
  config.layers = 2  # hidden layers of an MLP
  config.validate_every = 100  # steps; validation selects the step
  config.resamples = 300  # of the bootstrap of each metric
  config.seed = 0  # of initialisation, batches and the split of OOD tasks
  return config
