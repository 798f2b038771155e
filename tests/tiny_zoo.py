"""A tiny real zoo: 18 networks, trained for a second in three shards."""

import numpy as np

from weightspace.progress import Progress
from zoo_gen import shards

CONFIG = {
    "family": "formal_language",
    "task": {
        "length": 12,
        "max_n": 3,
        "shift_min": -1,
        "shift_max": 1,
        "eval_strings": 20,
        "eval_batch": 4,
    },
    "rnn": {"cell": "gru", "hidden": (4,)},
    "others": (),
    "recipe": {
        "snapshot_steps": (0, 4, 10),
        "batch": 4,
        "learning_rates": (0.05, 0.03, 0.001),
        "weight_decays": (0.0, 0.01),
    },
    "networks": 18,
    "shard_size": 8,
    "rollouts": 3,
    "seed": 0,
}


def generate(path, **changes):
  """Makes the zoo, with other values for keys of its config or recipe."""
  recipe = {k: v for k, v in changes.items() if k in CONFIG["recipe"]}
  rest = {k: v for k, v in changes.items() if k in CONFIG}
  assert changes == {**recipe, **rest}
  config = {**CONFIG, **rest, "recipe": {**CONFIG["recipe"], **recipe}}
  shards.generate(
      path, shards.plan(config), progress=Progress.silent(), group=2
  )
  return path


def arrays(zoo_):
  """All arrays of a zoo by name, copies that may be changed."""
  rows = np.arange(len(zoo_))
  seen = zoo_.rollouts(rows)
  return {
      "weights": zoo_.vectors(rows),
      "sequences": seen.sequences,
      "log_probs": seen.log_probs,
      **{name: column.copy() for name, column in zoo_.columns.items()},
  }
