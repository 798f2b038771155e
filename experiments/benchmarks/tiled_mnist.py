"""What rotating digits costs: its share of a training step.

    python -m experiments.benchmarks.tiled_mnist

Trains networks of the paper's size (LSTM 2 x 32, batch 32, 50 steps) on digits
that are gathered, rotated and cut anew at every step and, in turn, on one
batch that lies ready. The last line is JSON:

  ms_per_rnn_step        of one network's step, all cores at work
  ready_ms_per_rnn_step  the same, on the batch that lies ready
  share                  of the former that making the batch takes: the median
                         over rounds
"""

import json
import statistics
import time

from absl import flags

from weightspace import launch

_STEPS = flags.DEFINE_integer("steps", 50, "Of training, a round.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "How often to measure each.")
_DIGITS = flags.DEFINE_string("digits", "mnist_5k", "Source of the images.")


def main() -> None:
  """Measures and prints."""
  import jax
  import jax.numpy as jnp

  from weightspace import parallel, tasks
  from weightspace.keys import make_key
  from weightspace.rnn import RNNSpec, make_rnn
  from zoo_gen.trainer import Recipe, make_trainer

  mesh = parallel.mesh(parallel.NETWORKS)
  recipe = Recipe(weight_decays=(0.0, 0.001, 0.01, 0.1))
  family = tasks.make("tiled_mnist", {"digits": _DIGITS.value})
  batch = jax.device_get(
      family.sample_batch(make_key(0), jnp.ones(1), recipe.batch)
  )
  ready = family._replace(
      sample_batch=lambda key, task, size: jax.tree.map(jnp.asarray, batch),
      bind=None,
  )
  rnn = make_rnn(RNNSpec("lstm", (32, 32), 16, 10))
  net_ids = jax.device_put(
      jnp.arange(4 * mesh.size, dtype=jnp.int32), parallel.sharded(mesh)
  )
  runs = {}
  for name, trained_on in (("made", family), ("ready", ready)):
    trainer = make_trainer(
        recipe, trained_on, rnn, seed=0, rollouts=1, mesh=mesh
    )
    runs[name] = trainer, trainer.segment(trainer.init(net_ids), net_ids, 0, 1)

  def milliseconds(name):
    trainer, state = runs[name]
    start = time.perf_counter()
    state = trainer.segment(state, net_ids, 1, 1 + _STEPS.value)
    jax.block_until_ready(state)
    took = time.perf_counter() - start
    runs[name] = trainer, state
    return 1e3 * took / (_STEPS.value * len(net_ids))

  pairs = [
      (milliseconds("made"), milliseconds("ready"))
      for _ in range(_ROUNDS.value)
  ]
  shares = [1 - ready / made for made, ready in pairs]
  made, ready = (statistics.median(times) for times in zip(*pairs))
  print(f"share of a step: median {statistics.median(shares):.3f}, rounds from"
        f" {min(shares):.3f} to {max(shares):.3f}")  # fmt: skip
  print(json.dumps({
      "ms_per_rnn_step": round(made, 4),
      "ready_ms_per_rnn_step": round(ready, 4),
      "share": round(statistics.median(shares), 4),
  }))


if __name__ == "__main__":
  launch.run(main)
