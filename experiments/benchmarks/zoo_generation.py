"""Speed of zoo generation, beside PyTorch and the machine's peak, in one run.

    python -m experiments.benchmarks.zoo_generation [--torch_python=PYTHON]

Trains networks of the paper's size (LSTM 2 x 32, batch 32, 41 steps) with our
trainer and, in turn, with a plain PyTorch loop: one network at a time, one
process a core. Rounds alternate, medians are compared. The last line is JSON:

  ms_per_rnn_step        of one network's step, all cores at work
  torch_ms_per_rnn_step  the same, by the PyTorch processes together
  speedup                the latter by the former
  share_of_peak          share of the machine's float32 matmul peak that our
                         matrix products make up; elementwise work counts as 0
"""

import json
import statistics
import sys
import time

from absl import flags

from experiments.benchmarks import _torch
from zoo_gen import launch

_STEPS = flags.DEFINE_integer("steps", 30, "Of training, a round.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often to measure each.")
_GROUP = flags.DEFINE_integer(
    "group", None, "Networks a device trains at a time."
)
_CELL = flags.DEFINE_string("cell", "lstm", "Of our networks.")
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "An interpreter that has torch."
)


def main() -> None:
  """Measures and prints."""
  import jax
  import jax.numpy as jnp

  from weightspace import parallel, tasks
  from weightspace.rnn import RNNSpec, make_rnn
  from zoo_gen.trainer import Recipe, make_trainer

  mesh = parallel.mesh(parallel.NETWORKS)
  family = tasks.make("formal_language", {})
  rnn = make_rnn(RNNSpec(_CELL.value, (32, 32), 6, 6))
  recipe = Recipe()
  trainer = make_trainer(
      recipe, family, rnn, seed=0, rollouts=1, mesh=mesh, group=_GROUP.value
  )
  net_ids = jax.device_put(
      jnp.arange(trainer.round_up(8), dtype=jnp.int32),
      parallel.split(mesh),
  )
  start = time.perf_counter()
  state = trainer.segment(trainer.init(net_ids), net_ids, 0, 2)
  jax.block_until_ready(state)
  compile_seconds = time.perf_counter() - start

  ours, torchs, peaks = [], [], []
  step = 2
  for _ in range(_ROUNDS.value):
    start = time.perf_counter()
    state = trainer.segment(state, net_ids, step, step + _STEPS.value)
    jax.block_until_ready(state)
    took = time.perf_counter() - start
    ours.append(1e3 * took / (_STEPS.value * len(net_ids)))
    step += _STEPS.value
    torchs.append(_torch_ms(mesh.size))
    peaks.append(_peak(mesh))
  ms, torch_ms = statistics.median(ours), statistics.median(torchs)
  flops = _flops(rnn, recipe.batch, family.spec.length)
  peak = max(peaks)
  print(f"ours, ms per RNN-step: {_spread(ours)}; compiled in"
        f" {compile_seconds:.1f} s")  # fmt: skip
  print(f"torch, {mesh.size} processes: {_spread(torchs)}")
  print(f"float32 matmul peak: {peak / 1e9:.0f} GFLOP/s, best of"
        f" {_ROUNDS.value}; matrix products of an RNN-step:"
        f" {flops / 1e6:.0f} MFLOP")  # fmt: skip
  print(json.dumps({
      "ms_per_rnn_step": round(ms, 4),
      "torch_ms_per_rnn_step": round(torch_ms, 4),
      "speedup": round(torch_ms / ms, 3),
      "share_of_peak": round(flops / (ms * 1e-3) / peak, 4),
  }))


def _spread(values):
  return (f"median {statistics.median(values):.3f}"
          f" ({min(values):.3f} to {max(values):.3f})")  # fmt: skip


def _torch_ms(processes):
  """Milliseconds per RNN-step of that many PyTorch loops side by side."""
  ms = _torch.ms_per_step(
      _TORCH_PYTHON.value, "_torch_loop", "--steps=60", processes=processes
  )
  return ms / processes


def _peak(mesh):
  """float32 matmul FLOP/s of all devices together, one large product each."""
  import jax
  import jax.numpy as jnp

  from weightspace import parallel

  size, repeats = 1024, 4

  def product(a):
    return jax.lax.fori_loop(0, repeats, lambda _, x: (x @ a) * 1e-3, a)

  spread = jax.sharding.PartitionSpec(mesh.axis_names[0])
  run = jax.jit(jax.shard_map(
      lambda a: jax.lax.map(product, a),
      mesh=mesh, in_specs=spread, out_specs=spread,
  ))  # fmt: skip
  a = jax.device_put(
      jnp.ones((mesh.size, size, size), jnp.float32), parallel.split(mesh)
  )
  jax.block_until_ready(run(a))
  best = float("inf")
  for _ in range(3):
    start = time.perf_counter()
    jax.block_until_ready(run(a))
    best = min(best, time.perf_counter() - start)
  return mesh.size * repeats * 2 * size**3 / best


def _flops(rnn, batch, length):
  """Of the matrix products of a training step: forward, and twice that back."""
  from math import prod

  layers = sum(
      prod(layer.wx) + prod(layer.wh) for layer in rnn.shapes.layers
  )
  return 3 * 2 * batch * length * (layers + prod(rnn.shapes.readout.w))


if __name__ == "__main__":
  launch.run(main)
