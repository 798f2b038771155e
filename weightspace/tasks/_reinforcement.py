"""What families have in common whose networks learn by reinforcement.

A network, the policy, reads an observation at each step and outputs the
log-probabilities of its actions, of which one is drawn. It is trained by policy
gradients on episodes of its own (REINFORCE: Williams 1992). The mean return of
the other episodes at that step is the baseline. Entropy is part of the reward,
as in maximum-entropy reinforcement learning.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from weightspace.keys import derive, make_key
from weightspace.tasks import Batch, Rollouts, TaskFamily


class World(NamedTuple):
  """What a policy acts in. Functions of one episode; `play` vmaps them.

  Attributes:
    reset: (key, task [D]) -> state, a pytree whose leaves keep their dtypes.
    observe: (task, state, noise [I], standard normal) -> [I] float32.
    step: (key, task, state, action [] int32) -> (state, reward [] float32,
      whether the episode is over [] bool).
  """

  reset: Callable
  observe: Callable
  step: Callable


class Episodes(NamedTuple):
  """B episodes of one policy, time first.

  Attributes:
    inputs: [T, B, I] float32, what it read.
    log_probs: [T, B, A] float32, of its actions.
    actions: [T, B] int32.
    rewards: [T, B] float32, 0 after the end.
    alive: [T, B] float32, 1 up to the step that ends the episode.
    states: of the world at the end, leaves [B, ...].
  """

  inputs: jax.Array
  log_probs: jax.Array
  actions: jax.Array
  rewards: jax.Array
  alive: jax.Array
  states: Any


def make(
    world: World,
    *,
    steps: int,
    discount: float,
    entropy: float,
    episodes: int,
    sample_task: Callable,
    measure: Callable,
    rewards: Callable = lambda played: played.rewards,
    elsewhere: Callable = lambda task, tasks: tasks,
    **functions: Any,
) -> TaskFamily:
  """A family of policies.

  Args:
    world: that they act in.
    steps: of an episode, T.
    discount: discount factor of training.
    entropy: entropy coefficient of training, reward per nat of -log p(action).
    episodes: that a network is measured on, of its own task and of others.
    sample_task: see `TaskFamily`.
    measure: (`Episodes` of the own task, of other tasks) -> metrics.
    rewards: (`Episodes`) -> [T, B], of which networks learn.
    elsewhere: (own task, tasks [B, D]) -> the other tasks. Every network gets
      the same tasks.
    **functions: the others of a `TaskFamily`, and its spec.
  """

  def act(key, tasks, rnn, weights):
    return play(key, world, tasks, rnn, weights, steps)

  def own(key, task, rnn, weights, count):
    return act(key, jnp.tile(task, (count, 1)), rnn, weights)

  def learn(key, task, rnn, weights, size):
    played = own(key, task, rnn, weights, size)
    played = played._replace(rewards=rewards(played))
    return experience(played, discount, entropy)

  def performance(key, task, rnn, weights):
    others = jax.vmap(sample_task)(jax.random.split(make_key(0), episodes))
    return measure(
        own(derive(key, "own"), task, rnn, weights, episodes),
        act(
            derive(key, "elsewhere"), elsewhere(task, others), rnn, weights
        ),
    )

  return TaskFamily(
      sample_task=sample_task,
      experience=learn,
      rollouts=lambda *arguments: rollouts(own(*arguments)),
      encode=encode,
      mask=mask,
      performance=performance,
      **functions,
  )


def play(
    key: jax.Array,
    world: World,
    tasks: jax.Array,
    rnn: Any,
    weights: Any,
    steps: int,
) -> Episodes:
  """Lets a policy act.

  Observations are rounded to float16 before the network reads them, so that
  what is stored of them is what was read.

  Args:
    key: for all that is random.
    world: to act in.
    tasks: [B, D], one for each episode.
    rnn: the shape of the network.
    weights: of one network.
    steps: T.
  """
  count = len(tasks)
  inputs, outputs = rnn.spec.inputs, rnn.spec.outputs

  def keys(purpose, *shape):
    return jax.random.split(derive(key, purpose), shape)

  draws = (
      keys("world", steps, count),
      jax.random.normal(
          derive(key, "noise"), (steps, count, inputs), jnp.float32
      ),
      jax.random.gumbel(
          derive(key, "actions"), (steps, count, outputs), jnp.float32
      ),
  )

  def act(key, task, state, action, alive):
    reached, reward, ended = world.step(key, task, state, action)
    # An episode that is over stays as it ended
    reached = jax.tree.map(
        lambda old, new: jnp.where(alive, new, old), state, reached
    )
    return reached, jnp.where(alive, reward, 0.0), alive & ~ended

  def step(carry, draws):
    memory, states, alive = carry
    world_keys, noise, gumbel = draws
    inputs = jax.vmap(world.observe)(tasks, states, noise)
    inputs = inputs.astype(jnp.float16).astype(jnp.float32)
    memory, logits = rnn.step(weights, memory, inputs)
    log_probs = jax.nn.log_softmax(logits)
    actions = jnp.argmax(log_probs + gumbel, axis=-1).astype(jnp.int32)
    states, rewards, goes_on = jax.vmap(act)(
        world_keys, tasks, states, actions, alive
    )
    lived = inputs, log_probs, actions, rewards, alive.astype(jnp.float32)
    return (memory, states, goes_on), lived

  start = (
      rnn.initial_state((count,)),
      jax.vmap(world.reset)(keys("reset", count), tasks),
      jnp.ones(count, bool),
  )
  (_, states, _), lived = jax.lax.scan(step, start, draws)
  return Episodes(*lived, states)


def experience(episodes: Episodes, discount: float, entropy: float) -> Batch:
  """Episodes as a batch for the loss of zoo training.

  The loss is the cross entropy of the actions that were taken, times their
  advantages. Its gradient estimates that of the negative discounted return, up
  to a positive factor; states count alike however late they are reached.

  Args:
    episodes: of the policy that is trained.
    discount: discount factor.
    entropy: entropy coefficient, reward per nat of -log p(action).
  """
  taken = jax.nn.one_hot(
      episodes.actions, episodes.log_probs.shape[-1], dtype=jnp.float32
  )
  surprise = -jnp.sum(taken * episodes.log_probs, axis=-1)
  rewards = episodes.rewards + entropy * episodes.alive * surprise
  return Batch(
      inputs=episodes.inputs,
      targets=episodes.actions,
      mask=episodes.alive,
      advantages=advantages(rewards, episodes.alive, discount),
  )


def advantages(
    rewards: jax.Array, alive: jax.Array, discount: float
) -> jax.Array:
  """By how much returns are above those of other episodes at the same step.

  Args:
    rewards: [T, B].
    alive: [T, B], 0 after an episode's end.
    discount: discount factor.

  Returns:
    [T, B], in standard deviations, or in thousandths of the returns where these
    are larger, so that rounding errors of equal returns stay small; 0 where no
    other episode has come so far.
  """

  def add(later, reward):
    now = reward + discount * later
    return now, now

  _, returns = jax.lax.scan(
      add, jnp.zeros_like(rewards[0]), rewards, reverse=True
  )
  count = jnp.sum(alive, axis=1, keepdims=True)
  mean = jnp.sum(returns * alive, axis=1, keepdims=True)
  mean = mean / jnp.maximum(count, 1.0)
  # An own return is part of the mean: what is left of it in the difference
  above = (returns - mean) * alive * count / jnp.maximum(count - 1.0, 1.0)

  def size(x):
    return jnp.sqrt(jnp.sum(jnp.square(x) * alive) / jnp.sum(alive))

  return above / (jnp.maximum(size(above), 1e-3 * size(returns)) + 1e-6)


def rollouts(episodes: Episodes) -> Rollouts:
  """What a zoo stores: what was read, and whether the episode went on.

  Returns:
    sequences [K, T, I + 1] and log-probabilities, float16.
  """
  sequences = jnp.concatenate(
      [episodes.inputs, episodes.alive[..., None]], axis=-1
  )
  return Rollouts(
      *(
          jnp.swapaxes(a, 0, 1).astype(jnp.float16)
          for a in (sequences, episodes.log_probs)
      )
  )


def encode(task: jax.Array, sequences: jax.Array) -> jax.Array:
  """What was read, [T, K, I] float32, of `rollouts`."""
  del task
  return jnp.swapaxes(sequences[..., :-1], 0, 1).astype(jnp.float32)


def mask(sequences: jax.Array) -> jax.Array:
  """1 up to the end of an episode, [T, K] float32, of `rollouts`."""
  return sequences[..., -1].T.astype(jnp.float32)


def novelty(task: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """How far a task is from the middle of all: 1 in the corners of the box."""
  return jnp.mean(jnp.square(2 * (task - low) / (high - low) - 1))
