"""Learning to interrogate secret paths: networks, encoders, what they read.

The networks are built by hand, disturbed, if asked for tuned by gradient
descent, and moved by a random element of their symmetry group. Probing
encoders, with a head for the d bits of w, are trained on some of them from end
to end and tested on others.
"""

import concurrent.futures
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import encoders, heads, parallel, properties, symmetry, tasks
from weightspace.evaluation import bootstrap
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.theory import networks, rollouts
from weightspace.training.fit import fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.training.progress import Progress
from zoo_gen.trainer import Recipe, make_trainer, make_traits


@dataclass(frozen=True)
class Config:
  """Sizes of the study; `experiments/configs/theory.py` holds them too.

  Attributes:
    arms: names of those in `ARMS` that are compared.
    unseen: those that are tried on words which no training network had, too.
    depths: d, bits of w.
    budget: queries of an interrogation, M x L; L = d, so M = budget // d.
    networks: of each depth; their w are drawn uniformly.
    tests: of these networks, kept for the test.
    cell: of the networks.
    hidden: their units.
    gain: they are built with: high enough that answers are all but discrete,
      as the theory has them, low enough that gradients of probes pass.
    contrast: they are built with.
    noise: standard deviation of what is added to all their weights.
    tune_steps: of gradient descent on each disturbed network. Networks that
      were tuned say more than the theory grants them: their answers are real
      numbers, and those off the path differ with w.
    tune_rate: learning rate of these.
    steps: of training an encoder and its head.
    batch: networks a step.
    learning_rate: falling to 0 along a cosine.
    units: of the encoder's core, its decoder and the head.
    code: size of the code.
    seeds: trainings of each encoder, from different initial params.
    resamples: of the bootstrap.
    seed: of all that is random.
  """

  arms: tuple[str, ...] = (
      "interactive, echoing", "interactive",
      "non-interactive", "non-interactive, one string",
  )  # fmt: skip
  unseen: tuple[str, ...] = ("interactive, echoing", "non-interactive")
  depths: tuple[int, ...] = (3, 4, 6, 8)
  budget: int = 24
  networks: int = 2048
  tests: int = 512
  cell: str = "lstm"
  hidden: int = 16
  gain: float = 3.0
  contrast: float = 8.0
  noise: float = 0.1
  tune_steps: int = 0
  tune_rate: float = 3e-3
  steps: int = 500
  batch: int = 64
  learning_rate: float = 5e-3
  units: int = 64
  code: int = 16
  seeds: int = 3
  resamples: int = 1000
  seed: int = 0

  def __post_init__(self):
    unknown = sorted({*self.arms, *self.unseen} - {*ARMS})
    if unknown:
      raise ValueError(f"no arms {unknown}; there are: {', '.join(ARMS)}")


class Arm(NamedTuple):
  """A way of interrogating that is compared with others.

  Attributes:
    encoder: name of the encoder.
    fields: of its config.
    whole_budget: whether M = budget // d sequences are probed, or one.
  """

  encoder: str
  fields: Mapping[str, Any]
  whole_budget: bool = True

  def parallel(self, config: Config, depth: int) -> int:
    """M."""
    return config.budget // depth if self.whole_budget else 1


ARMS = {
    "interactive, echoing": Arm("interactive", {"start": "samples"}),
    "interactive": Arm("interactive", {}),
    "non-interactive": Arm("noninteractive", {}),
    "non-interactive, one string": Arm("noninteractive", {}, False),
}


class Networks(NamedTuple):
  """Networks of secret paths of one depth."""

  family: TaskFamily
  rnn: RNN
  tasks: np.ndarray  # [N, d] int32, w of each
  vectors: np.ndarray  # [N, P] float32
  accuracy: dict[str, float]  # strict, at each stage of their making


def make_networks(config: Config, depth: int) -> Networks:
  """Builds, disturbs, tunes and moves the networks of one depth."""
  family = tasks.make("secret_path", {"depth": depth})
  rnn = networks.make(config.cell, depth, config.hidden)
  root = jax.random.key(config.seed)
  recipe = Recipe(
      snapshot_steps=(config.tune_steps,),
      learning_rates=(config.tune_rate,) * 3,
  )
  traits = make_traits(recipe, family, seed=config.seed)

  def build(net_id):
    word, _ = traits(net_id)
    clean = rnn.flatten(
        networks.build(
            rnn, word, gain=config.gain, contrast=config.contrast
        )
    )
    noise = jax.random.normal(derive(root, "noise", net_id), clean.shape)
    return word, clean, clean + config.noise * noise

  def move(net_id, vector):
    key = derive(root, "symmetry", net_id)
    return rnn.flatten(symmetry.augment(key, rnn, rnn.unflatten(vector)))

  def accuracy(net_id, word, vector):
    key = derive(root, "accuracy", net_id)
    weights = rnn.unflatten(vector)
    return family.performance(key, word, rnn, weights)["accuracy"]

  net_ids = jnp.arange(config.networks, dtype=jnp.int32)
  words, clean, vectors = jax.jit(jax.vmap(build))(net_ids)
  stages = {"built": clean, "disturbed": vectors}
  if config.tune_steps:
    vectors = stages["tuned"] = _tune(config, recipe, family, rnn, vectors)
  vectors = stages["moved"] = jax.jit(jax.vmap(move))(net_ids, vectors)
  measure = jax.jit(jax.vmap(accuracy))
  return Networks(
      family,
      rnn,
      np.asarray(words),
      np.asarray(vectors),
      {
          name: float(np.mean(measure(net_ids, words, stage)))
          for name, stage in stages.items()
      },
  )


def _tune(config, recipe, family, rnn, vectors):
  trainer = make_trainer(
      recipe,
      family,
      rnn,
      seed=config.seed,
      rollouts=1,
      mesh=parallel.mesh(parallel.NETWORKS),
  )
  count = len(vectors)
  # As many as fit the mesh: some are tuned twice
  net_ids = jnp.arange(trainer.round_up(count), dtype=jnp.int32) % count
  state = trainer.init(net_ids)._replace(vectors=vectors[net_ids])
  state = trainer.segment(
      state, net_ids, jnp.int32(0), jnp.int32(config.tune_steps)
  )
  return jax.device_put(state.vectors[:count], jax.local_devices()[0])


class Reading(NamedTuple):
  """What trained encoders read of networks that they did not see.

  Attributes:
    right: [seeds, tests] bool, whether all of w was told.
    bits: [seeds, tests] float64, d minus the surprise at w in bits. Its mean
      is a lower bound on the bits of w that the code tells.
  """

  right: np.ndarray
  bits: np.ndarray


def learn(
    config: Config, arm: Arm, found: Networks, train: np.ndarray, test
) -> Reading:
  """Trains encoder and head on some networks, for each seed, tests on others.

  Args:
    config: sizes.
    arm: what to train.
    found: all networks.
    train: [n] row numbers.
    test: [m] row numbers.
  """
  depth = found.tasks.shape[1]
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
      arm.encoder, fields, found.rnn, found.family.spec
  )
  head = heads.make(
      heads.Config("mlp", hidden=config.units, layers=1),
      properties.load("task"),
      properties.Scope(found.family.spec, (config.tune_steps,)),
      config.code,
  )

  def init(key):
    return {
        "encoder": encoder.init(derive(key, "encoder")),
        "head": head.init(derive(key, "head")),
    }

  def logits(params, vectors):
    codes = jax.vmap(
        lambda v: encoder.apply(params["encoder"], found.rnn.unflatten(v))
    )(vectors)
    return head.apply(params["head"], codes)

  def loss(params, key, step, data):
    del step
    vectors, words = data

    def of_seed(params, key):
      rows = jax.random.randint(key, (config.batch,), 0, len(vectors))
      outputs = logits(params, vectors[rows])
      return jnp.mean(head.loss(outputs, words[rows]))

    keys = jax.random.split(key, config.seeds)
    return jnp.sum(jax.vmap(of_seed)(params, keys)), {}

  @jax.jit
  def measure(params, vectors, words):
    outputs = jax.vmap(logits, (0, None))(params, vectors)
    right = jnp.all(jnp.argmax(outputs, axis=-1) == words, axis=-1)
    return right, head.loss(outputs, jnp.broadcast_to(words, outputs.shape[:3]))

  key = jax.random.key(config.seed)
  result = fit(
      loss,
      make_optimizer(
          OptimizerConfig(
              learning_rate=config.learning_rate,
              weight_decay=0.0,
              clip=0.0,  # it would tie the seeds together
              warmup_steps=min(50, config.steps // 4),
              decay_steps=config.steps,
          )
      ),
      jax.jit(jax.vmap(init))(
          jax.random.split(derive(key, "init"), config.seeds)
      ),
      (jnp.asarray(found.vectors[train]), jnp.asarray(found.tasks[train])),
      key=derive(key, "fit"),
      steps=config.steps,
      chunk=config.steps,
  )
  right, surprise = measure(
      result.state.params, found.vectors[test], found.tasks[test]
  )
  bits = depth - np.asarray(surprise, np.float64) / np.log(2)
  return Reading(np.asarray(right), bits)


def study(config: Config, *, progress: Progress) -> dict[str, Any]:
  """All arms on all depths, and the deepest with functions held out.

  Returns:
    JSON values: "config", "networks" by depth, "arms": a list of what
    `_record` returns, "unseen": the same for functions that no training
    network computes.
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

  records = _side_by_side(work, jobs, progress)
  split = len(jobs) - len(config.unseen)
  return {
      "config": dataclasses.asdict(config),
      "networks": {
          str(depth): {
              "functions": len(np.unique(found.tasks, axis=0)),
              "parameters": found.rnn.size,
              "accuracy": found.accuracy,
          }
          for depth, found in made.items()
      },
      "arms": records[:split],
      "unseen": records[split:],
  }


def _side_by_side(work, jobs, progress):
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
  """Rows to train on, and rows of other networks, often of the same w."""
  rows = np.arange(config.networks)
  return rows[config.tests :], rows[: config.tests]


def _unseen_functions(config, words):
  """Rows to train on, and rows of the networks of other w: an eighth."""
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
    found = bootstrap.mean(
        values.mean(axis=0), words, resamples=config.resamples
    )
    return {**found._asdict(), "seeds": values.mean(axis=1).tolist()}

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
