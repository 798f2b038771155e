"""A study of seconds: one small zoo, two encoders, a few steps of each."""

import numpy as np

from experiments.configs import reproduce
from tests import tiny_zoo
from weightspace import zoo
from weightspace.rnn import make_rnn
from zoo_gen import shards

FAMILY = "formal_language"
TASK = {**tiny_zoo.CONFIG["task"], "shift_min": 0, "shift_max": 1}
NETWORKS = 26


def config():
  config = reproduce.get_config("smoke")
  config.zoos = {FAMILY: {}}
  # Of those with interrogations it compiles in the shortest time
  config.encoders = ("constant", "watching")
  config.definitions = {FAMILY: {
      name: {"base": name, "emulator": {"cell": "elman"}}
      for name in config.encoders
  }}  # fmt: skip
  config.search.learning_rates = (1e-3,)
  config.search.warmups = (0.5,)
  for part in (config.emulation, config.supervised):
    part.steps = {FAMILY: 4}
  config.search.emulation = config.search.supervised = {FAMILY: 4}
  config.supervised.encoders = {FAMILY: ("watching",)}
  # Those of few labels have as many steps, so that they are compiled before
  config.heads.fields = {"forms": ("linear",), "steps": 4, "validate_every": 1}
  # Several trials here alone, where they compile quickly
  config.heads.trials = {"learning_rate": (3e-3, 1e-2), "layers": (0,)}
  config.clones.networks = 5
  # It needs no other programs
  config.variants = {"saving": {
      "variants": {"constant, saved more often": {
          "base": "constant", "emulation": {"checkpoint_every": 1},
      }},
      "steps": {FAMILY: 4}, "seeds": 2,
  }}  # fmt: skip
  config.few_labels.update({
      "networks": (1, 2), "pretrained": ("watching",),
      "scratch": ("watching",), "steps": 4,
  })  # fmt: skip
  config.codes.update({"rows": 30, "neighbours": (1, 2)})
  config.resamples = 20
  return config.to_dict()


def make_zoo(path):
  """A zoo of noise: nothing is compiled, and no study minds."""
  spec = shards.plan({
      **tiny_zoo.CONFIG, "task": TASK, "networks": NETWORKS,
      "shard_size": NETWORKS, "rnn": {"cell": "elman", "hidden": (4,)},
  })  # fmt: skip
  generator = np.random.default_rng(0)
  rows, steps = zoo.shard_rows(spec, 0), len(spec.snapshot_steps)
  networks = np.repeat(np.arange(NETWORKS, dtype=np.int32), steps)
  size = make_rnn(spec.rnn).size
  answers = generator.dirichlet(np.ones(6), (rows, spec.rollouts, 11))
  zoo.create(path, spec)
  zoo.write_shard(path, 0, {
      "weights": generator.standard_normal((rows, size), np.float32),
      "sequences": generator.integers(
          0, 5, (rows, spec.rollouts, 12), np.int8
      ),
      "log_probs": np.log(answers + 1e-3).astype(np.float16),
      "net_id": networks,
      "step": np.tile(np.array(spec.snapshot_steps, np.int32), NETWORKS),
      "task": (networks[:, None] >> np.arange(3, dtype=np.int32)) & 1,
      "finite": np.ones(rows, bool),
      **{
          name: generator.random(rows, np.float32)
          for name in spec.metric_names
      },
  })  # fmt: skip
  zoo.finalize(path)
  return path
