"""Speed of zoo generation by the number of networks on a device.

    python -m experiments.benchmarks.accelerator [--precision=bfloat16]

For an accelerator, and runs on CPU with fewer networks. Trains networks of the
paper's size (LSTM 2 x 32, batch 32, 41 steps of time), more and more of them,
and holds the speed against the roofline: the time that matrix products take at
the device's peak, or memory traffic at its bandwidth, whichever is longer. The
last line is JSON:

  device, devices      their kind and number
  precision            of the matrix products
  time_unroll          steps of time in one iteration of a loop
  peak_flops, peak_bandwidth, peak_source  of all devices together
  sweep                for each number of networks:
    networks, group          in all, and that a device trains at a time
    rnn_steps_per_second     training steps of a network
    us_per_rnn_step          the inverse
    share_of_flops           of the peak, that matrix products make up
    share_of_bandwidth       of the peak, that memory traffic would make up if
                             nothing stayed in caches
    share_of_roofline        the larger of the two
    bytes                    of a device's memory
    compile_seconds          apart from all of the above
"""

import json
import statistics
import time

from absl import flags

from weightspace import launch
from weightspace.errors import UserError

_NETWORKS = flags.DEFINE_list(
    "networks", None, "Numbers of networks, increasing. By default 2, 4 and 8"
    " on CPU, else 64, 256, ... 16384.",
)  # fmt: skip
_STEPS = flags.DEFINE_integer("steps", 20, "Of training, a round.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often to measure each.")
_GROUP = flags.DEFINE_integer(
    "group", None, "Networks a device trains at a time."
)
_CELL = flags.DEFINE_string("cell", "lstm", "Of the networks.")
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "tensorfloat32", "bfloat16"],
    "Of matrix products.",
)  # fmt: skip
_TIME_UNROLL = flags.DEFINE_integer(
    "time_unroll", None, "As of zoo_gen.generate.", lower_bound=1
)


def main() -> None:
  """Measures and prints."""
  from experiments.benchmarks import _roofline
  from weightspace import parallel, tasks
  from weightspace.rnn import RNNSpec, make_rnn
  from zoo_gen import shards
  from zoo_gen.trainer import Recipe, make_trainer

  mesh = parallel.mesh(parallel.NETWORKS)
  device = mesh.devices.flat[0]
  recipe = Recipe(matmul_precision=_PRECISION.value)
  family = tasks.make("formal_language", {})
  unroll = _TIME_UNROLL.value or shards.TIME_UNROLL.get(device.platform, 1)
  rnn = make_rnn(RNNSpec(_CELL.value, (32, 32), 6, 6), time_unroll=unroll)
  peak = _roofline.peak(mesh, _PRECISION.value)
  work = _roofline.work(rnn, recipe.batch, family.spec.length)
  bound = work.seconds(peak)
  print(f"{mesh.size} x {device.device_kind}: {peak.flops / 1e12:.3g} TFLOP/s,"
        f" {peak.bandwidth / 1e12:.3g} TB/s ({peak.source}); an RNN-step:"
        f" {work.flops / 1e6:.0f} MFLOP, {work.bytes / 1e6:.1f} MB, at least"
        f" {1e6 * bound:.3g} us")  # fmt: skip

  def make(group):
    return make_trainer(
        recipe, family, rnn, seed=0, rollouts=1, mesh=mesh, group=group
    )

  sweep = []
  for count in _numbers(device.platform):
    programs = _programs(make, count, device)
    seconds = _seconds_per_step(programs, mesh) / programs.size
    sweep.append({
        "networks": programs.size,
        "group": programs.group,
        "rnn_steps_per_second": round(1 / seconds, 1),
        "us_per_rnn_step": round(1e6 * seconds, 3),
        "share_of_flops": round(work.flops / seconds / peak.flops, 4),
        "share_of_bandwidth": round(work.bytes / seconds / peak.bandwidth, 4),
        "share_of_roofline": round(bound / seconds, 4),
        "bytes": programs.bytes,
        "compile_seconds": round(programs.seconds, 1),
    })
    print(sweep[-1], flush=True)
  print(json.dumps({
      "device": device.device_kind,
      "devices": mesh.size,
      "precision": _PRECISION.value,
      "time_unroll": unroll,
      "peak_flops": peak.flops,
      "peak_bandwidth": peak.bandwidth,
      "peak_source": peak.source,
      "sweep": sweep,
  }))


def _numbers(platform):
  if _NETWORKS.value is None:
    return [2, 4, 8] if platform == "cpu" else [64 * 4**k for k in range(5)]
  try:
    return [int(number) for number in _NETWORKS.value]
  except ValueError as error:
    raise UserError(
        f"--networks={','.join(_NETWORKS.value)}: expected whole numbers"
    ) from error


def _programs(make, count, device):
  from zoo_gen.programs import compile_to_fit, usable_memory

  return compile_to_fit(
      make, count, group=_GROUP.value, memory=usable_memory(device)
  )


def _seconds_per_step(programs, mesh):
  """Median over rounds, of a step of all networks; warmed up."""
  import jax
  import numpy as np

  from weightspace import parallel

  net_ids = jax.device_put(
      np.arange(programs.size, dtype=np.int32), parallel.sharded(mesh)
  )
  state = programs.segment(
      programs.init(net_ids), net_ids, np.int32(0), np.int32(1)
  )
  times, step = [], 1
  for _ in range(_ROUNDS.value):
    jax.block_until_ready(state)
    start, stop = time.perf_counter(), step + _STEPS.value
    state = programs.segment(state, net_ids, np.int32(step), np.int32(stop))
    jax.block_until_ready(state)
    times.append((time.perf_counter() - start) / _STEPS.value)
    step = stop
  return statistics.median(times)


if __name__ == "__main__":
  launch.run(main)
