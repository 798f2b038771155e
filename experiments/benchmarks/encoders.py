"""Speed and memory of pretraining, encoder by encoder, beside PyTorch.

    python -m experiments.benchmarks.encoders [--torch_python=PYTHON] \\
        [--encoders=flat,dws] [--size=paper] [--minutes=10]

Times whole steps of pretraining (forward, backward, clipping, AdamW) at the
sizes of formal languages: 64 LSTMs of 2 x 32 a step, strings of up to 42
symbols, an emulator of 2 x 256; and the same of a plain PyTorch module of the
same architecture, on as many threads as there are cores. Both are in float32;
with --precision=bfloat16 PyTorch is measured once more, under autocast. Rounds
alternate until an encoder's share of --minutes is over; medians are compared.
The last line is JSON:
{"encoders": {NAME: ...}} with

  precision          of our matrix products
  ms_per_step        of ours
  torch_ms_per_step  of PyTorch's
  speedup            the latter by the former
  torch_bfloat16_ms_per_step, speedup_bfloat16
                     the same of PyTorch's under autocast
  rounds             that were measured
  peak_bytes         what ours needs in a step: arguments, results, buffers
  parameters         of the encoder alone
  gflop              of the matrix products of a step, what is computed again
                     included
"""

import json
import statistics
import sys
import time

from absl import flags

from experiments.benchmarks import _roofline, _torch
from weightspace import launch

_ENCODERS = flags.DEFINE_list(
    "encoders",
    ["statistics", "flat", "transformer", "dws", "noninteractive",
     "interactive"],
    "Which to measure.",
)  # fmt: skip
_SIZE = flags.DEFINE_string("size", "paper", "Of experiments/configs.")
_MINUTES = flags.DEFINE_float("minutes", 3.0, "For all of them, about.")
_STEPS = flags.DEFINE_integer("steps", 2, "Of training, a round.")
_PRECISION = flags.DEFINE_string(
    "precision", "float32", "Of our matrix products: see weightspace.precision."
)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "An interpreter that has torch."
)
_NETWORKS = 64


def main() -> None:
  """Measures and prints."""
  from experiments.configs import emulation

  results = {}
  for name in _ENCODERS.value:
    config = emulation.get_config(f"{name},{_SIZE.value}").to_dict()
    config["emulation"]["matmul_precision"] = _PRECISION.value
    end = time.monotonic() + 60 * _MINUTES.value / len(_ENCODERS.value)
    run, facts = _ours(config)
    suffixes = ["", *["_bfloat16"] * (_PRECISION.value == "bfloat16")]
    ours, torchs = [], {suffix: [] for suffix in suffixes}
    while not ours or time.monotonic() < end:
      for suffix, times in torchs.items():
        ours.append(run(_STEPS.value))
        times.append(_torch_ms(config, bfloat16=bool(suffix)))
    ms = statistics.median(ours)
    row = {"precision": _PRECISION.value, "ms_per_step": round(ms, 2)}
    for suffix, times in torchs.items():
      torch_ms = statistics.median(times)
      row[f"torch{suffix}_ms_per_step"] = round(torch_ms, 2)
      row[f"speedup{suffix}"] = round(torch_ms / ms, 3)
    results[name] = {**row, "rounds": len(torchs[""]), **facts}
    print(f"{name}: {results[name]}", flush=True)
  print(json.dumps({"encoders": results}))


def _ours(config):
  """(steps -> ms per step) of one encoder, and what does not vary."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from weightspace import parallel, tasks
  from weightspace.keys import make_key
  from weightspace.rnn import RNNSpec, make_rnn
  from weightspace.training import batches, draws
  from weightspace.training import config as config_lib
  from weightspace.training import model as model_lib
  from weightspace.training import optimizer as training
  from weightspace.training.optimizer import make_optimizer
  from weightspace.zoo.loader import Data

  family = tasks.make("formal_language", {})
  rnn = make_rnn(RNNSpec("lstm", (32, 32), 6, 6))

  @jax.jit
  @jax.vmap
  def network(key):
    weights = rnn.init(key)
    task = family.sample_task(key)
    # Strings of the language, as a trained network would write them
    batch = family.sample_batch(key, task, 2)
    symbols = jnp.argmax(batch.inputs, axis=-1).astype(jnp.int8)
    symbols = jnp.concatenate([symbols, batch.targets[-1:].astype(jnp.int8)])
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
    return (
        rnn.flatten(weights),
        symbols.T,
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
        task,
    )

  networks = network(jax.random.split(make_key(0), _NETWORKS))
  rows = draws.of_split([np.zeros(_NETWORKS, np.int32)], None, make_key(0))
  data = batches.Split(rows, (Data(*networks, {}),))
  mesh = parallel.mesh(parallel.DATA)
  config = config_lib.parse(config)
  model = model_lib.make([rnn], family, (0,), config, mesh)
  size = model_lib.make_size(model, [_NETWORKS], config.training.batch)
  loss = model_lib.make_loss(model, size, config.training.matmul_precision)
  optimizer = make_optimizer(config.optimizer)
  begin = training.init_state(jax.jit(model.init)(make_key(1)), optimizer)
  key = make_key(2)
  begin, key, data = jax.device_put(
      (begin, key, data), parallel.replicated(mesh)
  )
  sums = training.zero_sums(loss, optimizer, begin, key, data)
  sums = jax.device_put(sums, parallel.replicated(mesh))
  steps = jax.jit(training.make_steps(loss, optimizer), donate_argnums=0)
  compiled = steps.lower(begin, sums, key, data, np.int32(1)).compile()
  memory = compiled.memory_analysis()
  latest = [begin]

  def run(count):
    start = time.perf_counter()
    latest[0], _ = jax.block_until_ready(
        compiled(latest[0], sums, key, data, np.int32(count))
    )
    return 1e3 * (time.perf_counter() - start) / count

  gradient = jax.make_jaxpr(jax.grad(lambda *args: loss(*args)[0]))
  step = np.int32(0)
  flop = mesh.size * _roofline.products(
      gradient(begin.params, key, step, data).jaxpr
  )
  run(1)
  return run, {
      "gflop": round(flop / 1e9, 2),
      "peak_bytes": memory.argument_size_in_bytes
      + memory.output_size_in_bytes
      - memory.alias_size_in_bytes
      + memory.temp_size_in_bytes,
      "parameters": sum(
          leaf.size for leaf in jax.tree.leaves(begin.params["encoder"])
      ),
  }


def _torch_ms(config, bfloat16):
  """Milliseconds per step of the same in PyTorch."""
  task = {
      "encoder": config["encoder"],
      "emulator": config["emulator"],
      "networks": _NETWORKS,
      "steps": _STEPS.value,
      "bfloat16": bfloat16,
  }
  return _torch.ms_per_step(
      _TORCH_PYTHON.value, "_torch_encoders", json.dumps(task)
  )


if __name__ == "__main__":
  launch.run(main)
