"""Learning to interrogate networks of secret paths.

Probing encoders, with a head for the d bits of w, are trained end to end on
some networks and tested on others.
"""

import concurrent.futures
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.theory.config import ARMS, Arm, Config
from experiments.theory.noisy_networks import Networks, make_networks
from weightspace import encoders, heads, properties
from weightspace.evaluation import bootstrap
from weightspace.keys import derive, make_key
from weightspace.progress import Progress
from weightspace.theory import rollouts
from weightspace.training.fit import Program, Schedule, fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer


class Reading(NamedTuple):
  """Predictions of trained encoders about networks of the test.

  Attributes:
    right: [seeds, tests] bool, whether all bits of w are right.
    bits: [seeds, tests] float64, d minus the cross-entropy of w in bits. Its
      mean is a lower bound on the mutual information of code and w.
  """

  right: np.ndarray
  bits: np.ndarray


def learn(
    config: Config,
    arm: Arm,
    networks: Networks,
    train: np.ndarray,
    test: np.ndarray,
) -> Reading:
  """Trains encoder and head on some networks, for each seed, tests on others.

  Args:
    config: sizes.
    arm: what to train.
    networks: all networks of a depth.
    train: [n] row numbers.
    test: [m] row numbers.
  """
  depth = networks.tasks.shape[1]
  fields = {
      "parallel": arm.parallel(config, depth),
      "length": depth,
      "hidden": config.units,
      "layers": 1,
      "decoder": config.units,
      "code": config.code,
      **arm.fields,
  }
  encoder = encoders.make(
      arm.encoder, fields, networks.rnn, networks.family.spec
  )
  head = heads.make(
      heads.Config("mlp", hidden=config.units, layers=1),
      properties.load("task"),
      properties.Scope(networks.family.spec, (config.tune_steps,)),
      config.code,
  )

  def init(key):
    return {
        "encoder": encoder.init(derive(key, "encoder")),
        "head": head.init(derive(key, "head")),
    }

  def logits(params, vectors):
    codes = jax.vmap(
        lambda v: encoder.apply(params["encoder"], networks.rnn.unflatten(v))
    )(vectors)
    return head.apply(params["head"], codes)

  def loss(params, key, step, data):
    del step
    vectors, words = data

    def of_seed(params, key):
      rows = jax.random.randint(
          key, (config.batch,), 0, len(vectors), jnp.int32
      )
      outputs = logits(params, vectors[rows])
      return jnp.mean(head.loss(outputs, words[rows]))

    keys = jax.random.split(key, config.seeds)
    return jnp.sum(jax.vmap(of_seed)(params, keys)), {}

  @jax.jit
  def measure(params, vectors, words):
    outputs = jax.vmap(logits, (0, None))(params, vectors)
    right = jnp.all(jnp.argmax(outputs, axis=-1) == words[None], axis=-1)
    return right, head.loss(outputs, jnp.broadcast_to(words, outputs.shape[:3]))

  key = make_key(config.seed)
  optimizer = OptimizerConfig(
      learning_rate=config.learning_rate,
      weight_decay=0.0,
      clip=0.0,  # a common norm would couple the seeds
      warmup_steps=min(50, config.steps // 4),
      decay_steps=config.steps,
  )
  result = fit(
      Program(loss, make_optimizer(optimizer)),
      jax.jit(jax.vmap(init))(
          jax.random.split(derive(key, "init"), config.seeds)
      ),
      jax.tree.map(
          jnp.asarray, (networks.vectors[train], networks.tasks[train])
      ),
      key=derive(key, "fit"),
      schedule=Schedule(config.steps, config.steps),
  )
  right, cross_entropy = measure(
      result.state.params, networks.vectors[test], networks.tasks[test]
  )
  bits = depth - np.asarray(cross_entropy, np.float64) / np.log(2)
  return Reading(np.asarray(right), bits)


def study(config: Config, *, progress: Progress) -> dict[str, Any]:
  """All arms at all depths, and the deepest with functions held out.

  Returns:
    JSON values: "config", "networks" by depth, "arms": a list of what
    `_record` returns, "unseen": the same for functions of no training
    network.
  """
  made = {}
  with progress.stage(
      "build networks", total=len(config.depths), unit="depths"
  ) as stage:
    for depth in config.depths:
      made[depth] = make_networks(config, depth)
      stage.advance()
  deepest = max(config.depths)
  jobs = [
      (depth, name, _unseen_networks(config))
      for depth in config.depths
      for name in config.arms
  ]
  jobs += [
      (deepest, name, _unseen_functions(config, made[deepest].tasks))
      for name in config.unseen
  ]

  def work(job, device):
    depth, name, (train, test) = job
    with jax.default_device(device):
      reading = learn(config, ARMS[name], made[depth], train, test)
    return _record(config, depth, name, reading, made[depth].tasks[test])

  records = _map_over_devices(work, jobs, progress)
  split = len(jobs) - len(config.unseen)
  return {
      "config": dataclasses.asdict(config),
      "networks": {
          str(depth): {
              "functions": len(np.unique(of_depth.tasks, axis=0)),
              "parameters": of_depth.rnn.size,
              "accuracy": of_depth.accuracy,
          }
          for depth, of_depth in made.items()
      },
      "arms": records[:split],
      "unseen": records[split:],
  }


def _map_over_devices(work, jobs, progress):
  """`work(job, device)` of all jobs, one at a time on each device."""
  devices = jax.local_devices()
  results: dict[int, Any] = {}

  def share(start):
    for i in range(start, len(jobs), len(devices)):
      results[i] = work(jobs[i], devices[start])
      stage.advance()

  with (
      progress.stage(
          "learn to interrogate", total=len(jobs), unit="trainings"
      ) as stage,
      concurrent.futures.ThreadPoolExecutor(len(devices)) as pool,
  ):
    list(pool.map(share, range(len(devices))))
  return [results[i] for i in range(len(jobs))]


def _unseen_networks(config):
  """Rows to train on and to test on; networks of the same w are in both."""
  rows = np.arange(config.networks)
  return rows[config.tests :], rows[: config.tests]


def _unseen_functions(config, words):
  """Rows to train on and to test on; an eighth of all w is in the test only."""
  generator = np.random.default_rng(config.seed)
  distinct, of_row = np.unique(words, axis=0, return_inverse=True)
  count = max(1, len(distinct) // 8)
  chosen = generator.choice(len(distinct), count, replace=False)
  held = np.isin(of_row.reshape(-1), chosen)
  return np.flatnonzero(~held), np.flatnonzero(held)


def _record(config, depth, name, reading, words):
  """Means over networks and seeds, with 95 % intervals over functions."""
  arm = ARMS[name]
  count = arm.parallel(config, depth)
  fixed = arm.encoder == "noninteractive"

  def estimate(values):
    interval = bootstrap.mean(
        values.mean(axis=0), words, resamples=config.resamples
    )
    return {**interval._asdict(), "seeds": values.mean(axis=1).tolist()}

  return {
      "arm": name,
      "encoder": arm.encoder,
      "depth": depth,
      "parallel": count,
      "queries": count * depth,
      "predicted": {
          "accuracy": rollouts.expected_accuracy(depth, count)
          if fixed
          else 1.0,
          "bits": rollouts.expected_bits(depth, count) if fixed else depth,
      },
      "accuracy": estimate(reading.right.astype(np.float64)),
      "bits": estimate(reading.bits),
  }
