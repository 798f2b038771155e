"""Zoos of LSTMs that were never trained, but do what their rows say."""

import dataclasses

import jax
import numpy as np

from tests import digits, tiny_zoo
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
        "digits": digits.dataset(),
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
      "seed": 4,  # each network has a task of its own
  })


def write(path, family: str):
  """A zoo of large random weights."""
  spec = spec_of(family)
  rnn = make_rnn(spec.rnn)
  recipe = trainer.Recipe(snapshot_steps=STEPS, **spec.trainer)
  row = trainer.make_row(
      recipe, tasks.make(family, spec.family_config), rnn, seed=spec.seed,
      rollouts=ROLLOUTS,
  )  # fmt: skip
  net_id = np.repeat(np.arange(NETWORKS, dtype=np.int32), len(STEPS))
  step = np.tile(np.array(STEPS, np.int32), NETWORKS)
  normal = np.random.default_rng(0).standard_normal((len(step), rnn.size))
  outputs = jax.jit(jax.vmap(row))(normal.astype(np.float32), net_id, step)
  arrays = {name: np.asarray(array) for name, array in outputs.items()}
  return _write(path, spec, {**arrays, "step": step})


def rewrite(zoo_path, path, change):
  """A copy of a zoo, its arrays changed in place before they are sealed."""
  original = zoo.open(zoo_path)
  arrays = tiny_zoo.arrays(original)
  change(arrays)
  return _write(path, original.spec, arrays)


def write_noise(path, *rnns: RNNSpec, family="formal_language"):
  """A zoo of the right shapes whose arrays say nothing; a shard for each."""
  normal = np.random.default_rng(0).standard_normal
  spec = dataclasses.replace(
      spec_of("formal_language"),
      rnns=rnns,
      family=family,
      shard_size=NETWORKS // len(rnns),
  )
  zoo.create(path, spec)
  for index, rnn in enumerate(rnns):
    rows = zoo.shard_rows(spec, index)
    networks = np.array(zoo.shard_networks(spec, index), np.int32)
    zoo.write_shard(path, index, {
        "weights": normal((rows, make_rnn(rnn).size)).astype(np.float32),
        "sequences": normal((rows, ROLLOUTS, 12)).astype(np.int8),
        "log_probs": normal((rows, ROLLOUTS, 11, 6)).astype(np.float16),
        "net_id": np.repeat(networks, len(STEPS)),
        "step": np.tile(np.array(STEPS, np.int32), len(networks)),
        "task": np.repeat(networks[:, None] % (2, 3, 5) - 1, len(STEPS), 0),
        "finite": np.ones(rows, bool),
        **{n: normal(rows).astype(np.float32) for n in spec.metric_names},
    })  # fmt: skip
  zoo.finalize(path)
  return path


def _write(path, spec, arrays):
  zoo.create(path, spec)
  for index in range(zoo.num_shards(spec)):
    first = sum(zoo.shard_rows(spec, i) for i in range(index))
    part = slice(first, first + zoo.shard_rows(spec, index))
    zoo.write_shard(path, index, {k: a[part] for k, a in arrays.items()})
  zoo.finalize(path)
  return path
