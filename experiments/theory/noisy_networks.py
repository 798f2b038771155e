"""Networks of secret paths to learn from: built by hand, then made noisy.

They are built in closed form, get noise on their weights, are optionally tuned
by gradient descent, and are moved by a random element of their symmetry group.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.theory.config import Config
from weightspace import parallel, symmetry, tasks
from weightspace.keys import derive, make_key
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.theory import networks
from zoo_gen.trainer import Recipe, make_trainer, make_traits


class Networks(NamedTuple):
  """Networks of secret paths of one depth."""

  family: TaskFamily
  rnn: RNN
  tasks: np.ndarray  # [N, d] int32, w of each
  vectors: np.ndarray  # [N, P] float32
  accuracy: dict[str, float]  # strict, at each stage of their making


def make_networks(config: Config, depth: int) -> Networks:
  """Builds the networks of one depth; adds noise, tunes and augments them."""
  family = tasks.make("secret_path", {"depth": depth})
  rnn = networks.make(config.cell, depth, config.hidden)
  root = make_key(config.seed)
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
    noise = jax.random.normal(
        derive(root, "noise", net_id), clean.shape, jnp.float32
    )
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
