"""A tiny zoo of noise: five networks of 47 weights in three shards."""

import numpy as np

from weightspace import zoo
from weightspace.rnn import RNNSpec, make_rnn

SPEC = zoo.ZooSpec(
    family="formal_language",
    family_config={"length": 7},
    rnns=(RNNSpec("elman", (4,), inputs=2, outputs=3),),
    trainer={"learning_rate": [0.01, 0.003]},
    num_networks=5,
    shard_size=2,
    snapshot_steps=(0, 10, 20),
    rollouts=3,
    seed=0,
    task_names=("x", "y"),
    metric_names=("accuracy", "loss"),
)
ROWS = 15


def arrays(index: int, spec: zoo.ZooSpec = SPEC) -> dict[str, np.ndarray]:
  generator = np.random.default_rng(index)
  networks = zoo.shard_networks(spec, index)
  rows = zoo.shard_rows(spec, index)
  size = make_rnn(zoo.shard_rnn(spec, index)).size
  normal = generator.standard_normal
  return {
      "weights": normal((rows, size)).astype(np.float32),
      "sequences": generator.integers(0, 2, (rows, 3, 8)).astype(np.int8),
      "log_probs": normal((rows, 3, 7, 3)).astype(np.float16),
      "net_id": np.repeat(np.array(networks, np.int32), 3),
      "step": np.tile(np.array(spec.snapshot_steps, np.int32), len(networks)),
      "task": np.repeat(generator.integers(0, 9, (len(networks), 2)), 3, 0),
      "finite": np.ones(rows, bool),
      "accuracy": generator.random(rows).astype(np.float32),
      "loss": np.full(rows, np.nan, np.float32),
      "extra": generator.random((rows, 2)),
  }


def everything() -> dict[str, np.ndarray]:
  shards = [arrays(i) for i in range(zoo.num_shards(SPEC))]
  return {k: np.concatenate([s[k] for s in shards]) for k in shards[0]}


def write(path, spec: zoo.ZooSpec = SPEC):
  zoo.create(path, spec)
  for index in range(zoo.num_shards(spec)):
    zoo.write_shard(path, index, arrays(index, spec))
  zoo.finalize(path)
  return path
