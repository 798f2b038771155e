"""Speed of zoo generation, beside PyTorch and the machine's peak, in one run.

    python -m experiments.benchmarks.zoo_generation [--torch_python=PYTHON] \\
        [--kernels]

Trains networks of the paper's size (LSTM 2 x 32, batch 32, 41 steps) with our
trainer and, in turn, with a plain PyTorch loop: one network at a time, one
process a core. Rounds alternate, medians are compared. The last line is JSON:

  kernels                which C++ kernels trained ours, or "none"
  ms_per_rnn_step        of one network's step, all cores at work
  torch_ms_per_rnn_step  the same, by the PyTorch processes together
  speedup                the latter by the former
  compile_seconds        of ours, before any of this
  share_of_peak          share of the machine's float32 matmul peak that our
                         matrix products make up; elementwise work counts as 0
"""

import json
import statistics
import sys
import time

from absl import flags

from experiments.benchmarks import _roofline, _torch
from weightspace import launch

_STEPS = flags.DEFINE_integer("steps", 30, "Of training, a round.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often to measure each.")
_GROUP = flags.DEFINE_integer(
    "group", None, "Networks a device trains at a time."
)
_KERNELS = flags.DEFINE_bool("kernels", None, "As of zoo_gen.generate.")
_CELL = flags.DEFINE_string("cell", "lstm", "Of our networks.")
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "An interpreter that has torch."
)


def main() -> None:
  """Measures and prints."""
  import jax
  import numpy as np

  from weightspace import parallel, tasks
  from weightspace.recurrence import NO_KERNELS, kernels_name
  from weightspace.rnn import RNNSpec, make_rnn
  from zoo_gen.programs import compile_programs
  from zoo_gen.trainer import Recipe, make_trainer

  mesh = parallel.mesh(parallel.NETWORKS)
  family = tasks.make("formal_language", {})
  kernels = kernels_name(_KERNELS.value)
  spec = RNNSpec(_CELL.value, (32, 32), 6, 6)
  rnn = make_rnn(spec, kernels=kernels != NO_KERNELS)
  recipe = Recipe()
  trainer = make_trainer(
      recipe, family, rnn, seed=0, rollouts=1, mesh=mesh, group=_GROUP.value
  )
  programs = compile_programs(trainer, trainer.round_up(8))
  net_ids = jax.device_put(
      np.arange(programs.size, dtype=np.int32), parallel.sharded(mesh)
  )
  state = programs.segment(
      programs.init(net_ids), net_ids, np.int32(0), np.int32(2)
  )
  jax.block_until_ready(state)

  ours, torchs, peaks = [], [], []
  step = 2
  for _ in range(_ROUNDS.value):
    start = time.perf_counter()
    state = programs.segment(
        state, net_ids, np.int32(step), np.int32(step + _STEPS.value)
    )
    jax.block_until_ready(state)
    took = time.perf_counter() - start
    ours.append(1e3 * took / (_STEPS.value * len(net_ids)))
    step += _STEPS.value
    torchs.append(_torch_ms(mesh.size))
    peaks.append(_roofline.matmul_flops(mesh))
  ms, torch_ms = statistics.median(ours), statistics.median(torchs)
  flops = _roofline.work(rnn, recipe.batch, family.spec.length).flops
  peak = max(peaks)
  print(f"ours, ms per RNN-step: {_spread(ours)}; compiled in"
        f" {programs.seconds:.1f} s")  # fmt: skip
  print(f"torch, {mesh.size} processes: {_spread(torchs)}")
  print(f"float32 matmul peak: {peak / 1e9:.0f} GFLOP/s, best of"
        f" {_ROUNDS.value}; matrix products of an RNN-step:"
        f" {flops / 1e6:.0f} MFLOP")  # fmt: skip
  print(json.dumps({
      "kernels": kernels,
      "ms_per_rnn_step": round(ms, 4),
      "torch_ms_per_rnn_step": round(torch_ms, 4),
      "speedup": round(torch_ms / ms, 3),
      "compile_seconds": round(programs.seconds, 1),
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


if __name__ == "__main__":
  launch.run(main)
