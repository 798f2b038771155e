"""Zoos of LSTMs that were never trained, but do what their rows say."""

import dataclasses

import jax
import numpy as np

from tests import digits
from weightspace import tasks, zoo
from weightspace.rnn import RNNSpec, make_rnn
from zoo_gen import shards, trainer

NETWORKS, ROLLOUTS, STEPS = 8, 3, (0, 4)
TASKS = {
    "formal_language": {
        "length": 12,
        "max_n": 3,
        "shift_min": -1,
        "shift_max": 1,
        "eval_strings": 20,
        "eval_batch": 4,
    },
    "tiled_mnist": {
        "digits": digits.source(),
        "eval_images": 12,
        "eval_batch": 12,
    },
}
HIDDEN = {"formal_language": (5, 5), "tiled_mnist": (4,)}


def spec_of(family: str) -> zoo.ZooSpec:
  return shards.plan({
      "family": family,
      "task": TASKS[family],
      "rnn": {"cell": "lstm", "hidden": HIDDEN[family]},
      "recipe": {"snapshot_steps": STEPS, "weight_decays": (0.0, 0.01)},
      "networks": NETWORKS,
      "shard_size": NETWORKS,
      "rollouts": ROLLOUTS,
      "seed": 0,
  })


def write(path, family: str):
  """A zoo of large random weights."""
  spec = spec_of(family)
  rnn = make_rnn(spec.rnn)
  recipe = trainer.Recipe(snapshot_steps=STEPS, **spec.trainer)
  row = trainer.make_row(
      recipe, tasks.make(family, spec.family_config), rnn, seed=0,
      rollouts=ROLLOUTS,
  )  # fmt: skip
  net_id = np.repeat(np.arange(NETWORKS, dtype=np.int32), len(STEPS))
  step = np.tile(np.array(STEPS, np.int32), NETWORKS)
  normal = np.random.default_rng(0).standard_normal((len(step), rnn.size))
  found = jax.jit(jax.vmap(row))(normal.astype(np.float32), net_id, step)
  arrays = {name: np.asarray(array) for name, array in found.items()}
  return _write(path, spec, {**arrays, "step": step})


def rewrite(source, path, change):
  """A copy of a zoo, its arrays changed in place before they are sealed."""
  original = zoo.open(source)
  rows = np.arange(len(original))
  seen = original.rollouts(rows)
  arrays = {
      "weights": original.vectors(rows),
      "sequences": seen.sequences,
      "log_probs": seen.log_probs,
      **{name: column.copy() for name, column in original.columns.items()},
  }
  change(arrays)
  return _write(path, original.spec, arrays)


def write_noise(path, family="formal_language", cell="lstm", hidden=(5, 5)):
  """A zoo whose arrays have the right shapes and say nothing."""
  rnn = RNNSpec(cell, hidden, inputs=6, outputs=6)
  spec = dataclasses.replace(spec_of("formal_language"), rnn=rnn)
  spec = dataclasses.replace(spec, family=family)
  rows = NETWORKS * len(STEPS)
  metrics = {name: np.zeros(rows, np.float32) for name in spec.metric_names}
  return _write(path, spec, {
      "weights": np.zeros((rows, make_rnn(rnn).size), np.float32),
      "sequences": np.zeros((rows, ROLLOUTS, 12), np.int8),
      "log_probs": np.zeros((rows, ROLLOUTS, 11, 6), np.float16),
      "net_id": np.repeat(np.arange(NETWORKS, dtype=np.int32), len(STEPS)),
      "step": np.tile(np.array(STEPS, np.int32), NETWORKS),
      "task": np.zeros((rows, 3), np.int32),
      "finite": np.ones(rows, bool),
      **metrics,
  })  # fmt: skip


def _write(path, spec, arrays):
  zoo.create(path, spec)
  zoo.write_shard(path, 0, arrays)
  zoo.finalize(path)
  return path
