"""How long a study takes, estimated before it begins."""

import collections
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from experiments.study import supervised as supervised_stage
from experiments.study.study import (
  BASELINE,
  encoders,
  model,
  of_family,
)
from weightspace import tasks
from weightspace.evaluation import prediction
from weightspace.keys import derive, make_key
from weightspace.progress import seconds
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training import batches, draws, encoding
from weightspace.training import config as config_lib
from weightspace.training import model as model_lib
from weightspace.training.optimizer import (
  init_state,
  make_optimizer,
  make_step,
)
from weightspace.zoo.loader import Data

# Milliseconds of training one network of a zoo for one step, on a core with a
# peak of 100 GFLOP/s: see experiments/benchmarks/zoo_generation.py
RNN_STEP_MS = 2.2
_TIMED = 3  # steps


def text(config: Mapping[str, Any], workers: int, *, timed: bool) -> str:
  """What there is to train, and with `timed` how long it will take.

  Args:
    config: of the study.
    workers: processes that share the work.
    timed: whether to time some steps of each encoder here, which takes some
      minutes of compilation where encoders are large.
  """
  lines = []
  for family, zoo_config in config["zoos"].items():
    networks = zoo_config["networks"]
    rnn_steps = networks * zoo_config["recipe"]["snapshot_steps"][-1]
    line = f"{family}: a zoo of {networks} networks, {rnn_steps:,} RNN-steps"
    if timed and jax.default_backend() == "cpu":
      line += f", about {seconds(rnn_steps * RNN_STEP_MS / 1e3 / workers)}"
    lines.append(line)
    rates = {}
    if timed:
      rates = {
          encoder: _seconds_per_step(config, family, encoder)
          for encoder in encoders(config, family)
      }
    for stage, runs, by_encoder in _training(config, family):
      steps = sum(by_encoder.values())
      line = f"  {stage}: {runs} runs, {steps:,} steps"
      if timed:
        total = sum(n * rates[e] for e, n in by_encoder.items()) / workers
        line += f", about {seconds(total)}"
      lines.append(line)
  if timed:
    lines.append(
        "Steps were timed on this machine, with their emulator; compilation"
        " and evaluation come on top."
    )
  return "\n".join(lines)


def _training(
    config, family
) -> Iterator[tuple[str, int, dict[str, int]]]:
  """(stage, runs, steps of each encoder)."""
  every = encoders(config, family)
  trained = supervised_stage.trained(config, family)
  plans = []
  if search := config["search"]:
    trials = len(search["learning_rates"]) * len(search["warmups"])
    plans += [
        ("search, emulation", every, trials, search["emulation"][family]),
        ("search, supervised", trained, trials, search["supervised"][family]),
    ]
  if emulation := config["emulation"]:
    steps = emulation["steps"][family]
    plans.append(("emulation", every, emulation["seeds"], steps))
  if supervised := config["supervised"]:
    runs = len(prediction.PROTOCOLS) * supervised["seeds"]
    plans.append(("supervised", trained, runs, supervised["steps"][family]))
  if few := config["few_labels"]:
    plans.append((
        "few labels, from scratch", of_family(few["scratch"], family),
        len(few["networks"]) * few["seeds"], few["steps"],
    ))  # fmt: skip
  for stage, names, runs, steps in plans:
    yield stage, runs * len(names), {
        name: runs * _steps(config, family, name, steps) for name in names
    }
  for title, group in (config["variants"] or {}).items():
    if family in group["steps"]:
      steps = group["seeds"] * group["steps"][family]
      by_encoder = collections.Counter()
      for variant in group["variants"].values():
        by_encoder[variant["base"]] += steps
      runs = group["seeds"] * len(group["variants"])
      yield f"variants, {title}", runs, by_encoder


def _steps(config, family, encoder, steps):
  """As many as asked for, or as the encoder's config has."""
  if steps is not None:
    return steps
  return model(config, family, encoder, None, None)["emulation"]["steps"]


def _seconds_per_step(config, name, encoder) -> float:
  """Of emulation with one encoder, on networks that were never trained."""
  zoo_config = config["zoos"][name]
  if encoder == encoding.TRUTH:  # it reads a zoo's columns, and costs as little
    encoder = BASELINE
  fields = dict(zoo_config["task"])
  if str(fields.get("digits", "")).startswith("tfds"):
    fields["digits"] = "mnist_5k"  # nothing to be fetched for an estimate
  family = tasks.make(zoo_config["family"], fields)
  rnn = make_rnn(RNNSpec(
      zoo_config["rnn"]["cell"], zoo_config["rnn"]["hidden"],
      family.spec.inputs, family.spec.outputs,
  ))  # fmt: skip
  config = config_lib.parse(model(config, name, encoder, None, None))
  made = model_lib.make((rnn,), family, (0,), config)
  optimizer = make_optimizer(config.optimizer)
  batch = config.training.batch
  rows = draws.of_split([np.zeros(batch, np.int32)], None, make_key(0))
  data = batches.Split(rows, (_untrained(rnn, family, batch),))
  loss = model_lib.make_loss(
      made,
      model_lib.make_size(made, [batch], batch),
      config.training.matmul_precision,
  )
  step = jax.jit(make_step(loss, optimizer))
  key = make_key(0)
  state = init_state(made.init(key), optimizer)
  state, _ = jax.block_until_ready(step(state, key, data))
  start = time.monotonic()
  for _ in range(_TIMED):
    state, _ = step(state, key, data)
  jax.block_until_ready(state)
  return (time.monotonic() - start) / _TIMED


def _untrained(rnn, family, count) -> Data:
  """Random networks, as rows of a zoo would be."""

  @jax.jit
  @jax.vmap
  def make(key):
    task, weights = family.sample_task(key), rnn.init(key)
    seen = family.rollouts(derive(key, "rollouts"), task, rnn, weights, 1)
    return task, rnn.flatten(weights), seen

  task, vectors, seen = make(jax.random.split(make_key(0), count))
  return Data(vectors, seen.sequences, seen.log_probs, task, {})
