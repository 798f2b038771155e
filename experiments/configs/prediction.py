"""Heads on frozen codes: fields of weightspace.evaluation.prediction.Config.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py
"""

import dataclasses

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """All defaults."""
  from weightspace.evaluation.prediction import Config

  return ConfigDict(dataclasses.asdict(Config()))
