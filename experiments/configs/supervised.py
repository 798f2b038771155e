"""Supervised training of encoders: `supervised.py:ENCODER[,SIZE[,FAMILY]]`.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/supervised.py:dws,small

Properties are those that `prediction.py` predicts; all else is as in
`contrastive.py`.
"""

from ml_collections import ConfigDict


def get_config(what: str = "dws,small") -> ConfigDict:
  """The config of an encoder, of a size."""
  from experiments.configs import contrastive, prediction

  family = (*what.split(",", 2), "", "")[2] or "formal_language"
  config = contrastive.of_objective("supervised", what)
  if family in prediction.PROPERTIES:
    config.supervised.properties = prediction.PROPERTIES[family]
  return config


def parts(config: ConfigDict) -> dict[str, type]:
  """The dataclasses of its parts, which say what the fields mean."""
  from experiments.configs import contrastive

  return contrastive.parts(config)
