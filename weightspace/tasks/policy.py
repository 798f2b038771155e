"""Policies: networks that act in environments, trained by reinforcement.

All networks of a zoo act in one kind of environment. Each has its own: a task
is the parameters of that environment, such as gravity and the length of a pole,
and how well it is seen, by noise, a delay and whether velocities are hidden.
Where they are, an observation does not say the state, and memory pays.
"""

import contextlib
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.tasks import TaskFamily, TaskSpec
from weightspace.tasks import _reinforcement as reinforcement
from weightspace.tasks._environments import ENVIRONMENTS


@dataclass(frozen=True)
class Config:
  """Parameters that all networks of a zoo share.

  Attributes:
    environment: one of `ENVIRONMENTS`.
    steps: of an episode, at most.
    noise: the largest standard deviation of what is added to observations, in
      units of their scales; each network's is uniform from 0.
    delay: the most steps that observations come late; from 0, uniform. Until
      the second one comes, the first one is read.
    hide_velocities: share of networks that do not see velocities.
    discount: discount factor of training.
    entropy: entropy coefficient of training, reward per nat of -log p(action).
    eval_episodes: of each, own and other environments.
  """

  environment: str = "cartpole"
  steps: int = 100
  noise: float = 0.1
  delay: int = 2
  hide_velocities: float = 0.5
  discount: float = 0.97
  entropy: float = 0.02
  eval_episodes: int = 64

  def __post_init__(self):
    fields.check_choice("environment", self.environment, sorted(ENVIRONMENTS))
    fields.check_integers(self, "steps", "eval_episodes")
    fields.check_integers(self, "delay", least=0)
    fields.check_numbers(self, "noise", "entropy", least=0)
    fields.check_numbers(self, "hide_velocities", "discount", least=0, most=1)
    ranges = ENVIRONMENTS[self.environment].ranges
    chains = [high for _, high in ranges.values() if isinstance(high, int)]
    longest = max(chains, default=0) + 1
    if self.delay >= self.steps:
      raise UserError(
          f"delay must be less than the {self.steps} steps of an episode, got"
          f" {self.delay}"
      )
    if self.steps < longest:
      raise UserError(
          f"steps must be at least {longest}, got {self.steps}: an episode of"
          f" {self.environment} takes as long"
      )


def make(config: Config) -> TaskFamily:
  """The family of policies in one kind of environment.

  Raises:
    UserError: gymnax is not installed.
  """
  environment = ENVIRONMENTS[config.environment]
  ranges = dict(environment.ranges)
  if config.noise:
    ranges["noise"] = (0.0, float(config.noise))
  if config.delay:
    ranges["delay"] = (0, int(config.delay))
  if environment.velocities and config.hide_velocities:
    ranges["hide_velocities"] = (0, 1)
  names = tuple(ranges)
  low, high = np.array(list(ranges.values()), np.float32).T
  world, actions = _world(environment, config, ranges)

  def sample_task(key):
    def draw(name):
      least, most = ranges[name]
      key_ = derive(key, name)
      if name == "hide_velocities":
        share = jnp.float32(config.hide_velocities)
        return jax.random.bernoulli(key_, share)
      if isinstance(most, int):
        return jax.random.randint(key_, (), least, most + 1, jnp.int32)
      return jax.random.uniform(key_, (), jnp.float32, least, most)

    return jnp.stack([draw(name).astype(jnp.float32) for name in names])

  def elsewhere(task, tasks):
    """Other environments, seen as the own one is."""
    own = jnp.tile(task, (len(tasks), 1))
    first = len(environment.ranges)  # of the numbers that say how it is seen
    return jnp.concatenate([tasks[:, :first], own[:, first:]], axis=1)

  def score(episodes):
    state, _ = episodes.states
    lived = jnp.sum(episodes.alive, axis=0)
    total = jnp.sum(episodes.rewards, axis=0)
    scores = environment.score(total / lived, lived / config.steps, state)
    return jnp.mean(scores), jnp.mean(total)

  def measure(own, other):
    accuracy, returned = score(own)
    accuracy_elsewhere, _ = score(other)
    return {
        "accuracy": accuracy,
        "accuracy_elsewhere": accuracy_elsewhere,
        "return": returned,
    }

  return reinforcement.make(
      world,
      steps=config.steps,
      discount=config.discount,
      entropy=config.entropy,
      episodes=config.eval_episodes,
      spec=TaskSpec(
          inputs=len(environment.scales),
          outputs=actions,
          length=config.steps,
          kind="real",
          task_names=names,
          metric_names=("accuracy", "accuracy_elsewhere", "return"),
      ),
      sample_task=sample_task,
      measure=measure,
      elsewhere=elsewhere,
      novelty=lambda task: reinforcement.novelty(task, low, high),
      describe=lambda task: _describe(config.environment, names, task),
  )


def _world(environment, config, ranges):
  """A `World`, and how many actions there are in it."""
  gym = environment.make()
  names = tuple(ranges)
  scales = jnp.array(environment.scales, jnp.float32)
  shown = np.ones(len(scales), np.float32)
  shown[list(environment.velocities)] = 0
  forces = jnp.array(environment.forces, jnp.float32)

  def number(task, name):
    return task[names.index(name)] if name in names else 0.0

  def parameters(task):
    values = {
        name: number(task, name).astype(
            jnp.int32 if isinstance(high, int) else jnp.float32
        )
        for name, (_, high) in environment.ranges.items()
    }
    values |= {name: f(values) for name, f in environment.depends.items()}
    return gym.default_params.replace(
        max_steps_in_episode=config.steps + 1, **values
    )

  def clean(observation):
    return observation.astype(jnp.float32) / scales

  def reset(key, task):
    with _lenient():
      observation, state = gym.reset_env(key, parameters(task))
    state = jax.tree.map(_pinned, state)
    # The last observations, newest first; before the first one, that one
    return state, jnp.tile(clean(observation), (config.delay + 1, 1))

  def observe(task, state, noise):
    _, history = state
    late = number(task, "delay").astype(jnp.int32) if config.delay else 0
    hidden = number(task, "hide_velocities") > 0.5
    seen = history[late] * jnp.where(hidden, shown, 1.0)
    return seen + noise * number(task, "noise")

  def step(key, task, state, action):
    state, history = state
    if environment.forces:
      action = forces[action]
    with _lenient():
      _, reached, reward, ended, _ = gym.step_env(
          key, state, action, parameters(task)
      )
      # Not step_env's observation: MemoryChain's is of the state before
      observation = gym.get_obs(
          state=reached, params=parameters(task), key=key
      )
    reached = jax.tree.map(
        lambda old, new: jnp.asarray(new).astype(old.dtype).reshape(old.shape),
        state, reached,
    )  # fmt: skip
    history = jnp.concatenate([clean(observation)[None], history[:-1]])
    reward = jnp.asarray(reward).astype(jnp.float32)
    return (reached, history), reward, jnp.asarray(ended)

  world = reinforcement.World(reset, observe, step)
  return world, len(forces) or gym.num_actions


def _pinned(leaf):
  """An array whose dtype does not follow what it is combined with."""
  leaf = jnp.asarray(leaf)
  real = jnp.issubdtype(leaf.dtype, jnp.floating)
  return leaf.astype(jnp.float32 if real else jnp.int32)


@contextlib.contextmanager
def _lenient():
  """Gymnax mixes dtypes and ranks."""
  with (
      jax.numpy_dtype_promotion("standard"),
      jax.numpy_rank_promotion("allow"),
  ):
    yield


def _describe(environment, names, task):
  return f"{environment} " + ", ".join(
      f"{name} {value:.3g}" for name, value in zip(names, map(float, task))
  )
