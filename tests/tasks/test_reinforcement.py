"""Episodes and the gradients of policies, against plain references."""

import functools
import itertools
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import tasks
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import _reinforcement as reinforcement
from weightspace.tasks import bandit, policy
from weightspace.tasks._environments import ENVIRONMENTS

KEY = jax.random.key(0)


def network(inputs, outputs, scale=1.0):
  rnn = make_rnn(RNNSpec("elman", (4,), inputs, outputs))
  weights = jax.jit(rnn.init)(jax.random.key(1))
  return rnn, jax.tree.map(lambda leaf: scale * leaf, weights)


def play(world, task, rnn, weights, *, steps, episodes=3):
  tiled = jnp.tile(jnp.asarray(task, jnp.float32), (episodes, 1))
  run = functools.partial(reinforcement.play, rnn=rnn, steps=steps)
  return jax.jit(lambda weights: run(KEY, world, tiled, weights=weights))(
      weights
  )


def world_of(environment, **config):
  config = policy.Config(environment=environment, **config)
  known = ENVIRONMENTS[environment]
  ranges = {**known.ranges, "noise": (0, 1), "delay": (0, 2), "hidden": (0, 1)}
  return policy._world(known, config, ranges)


def test_the_gradient_is_that_of_the_expected_return():
  """Against all courses of two steps; each step is read in the next."""
  pays = jnp.array([[1.0, 0.0], [0.2, 2.0]])  # [first action, second]

  def step(key, task, state, action):
    time, first = state
    reward = jnp.where(time == 0, 0.0, pays[first, action])
    return (time + 1, jnp.where(time == 0, action, first)), reward, time == 1

  world = reinforcement.World(
      reset=lambda key, task: (jnp.int32(0), jnp.int32(0)),
      observe=lambda task, state, noise: jnp.stack(state).astype(jnp.float32),
      step=step,
  )
  rnn, weights = network(2, 2, scale=2.0)

  def expected(weights):
    total = 0.0
    for actions in itertools.product((0, 1), repeat=2):
      inputs = jnp.array([[0, 0], [1, actions[0]]], jnp.float32)
      log_probs = jax.nn.log_softmax(rnn.unroll(weights, inputs))
      chance = log_probs[0, actions[0]] + log_probs[1, actions[1]]
      total += jnp.exp(chance) * pays[actions]
    return total

  def loss(weights):
    episodes = play(
        world, [0], rnn, jax.lax.stop_gradient(weights),
        steps=3, episodes=20_000,
    )  # fmt: skip
    batch = reinforcement.experience(episodes, 1.0, 0.0)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
    taken = jnp.take_along_axis(log_probs, batch.targets[..., None], 2)[..., 0]
    return jnp.mean(taken * batch.advantages * batch.mask)

  estimate, exact = (
      rnn.flatten(jax.jit(jax.grad(f))(weights)) for f in (loss, expected)
  )
  cosine = estimate @ exact
  cosine /= jnp.linalg.norm(estimate) * jnp.linalg.norm(exact)
  assert cosine > 0.99


def test_advantages_leave_one_out():
  generator = np.random.default_rng(0)
  rewards = generator.normal(size=(4, 5)).astype(np.float32)
  alive = np.ones((4, 5), np.float32)
  alive[2:, 1:] = 0  # one episode is alone at the end
  rewards *= alive
  returns = np.zeros((5, 5))
  for t in range(3, -1, -1):
    returns[t] = rewards[t] + 0.5 * returns[t + 1]
  expected = np.zeros((4, 5))
  for t, b in itertools.product(range(4), range(5)):
    others = [c for c in range(5) if alive[t, c] and c != b]
    if alive[t, b] and others:
      expected[t, b] = returns[t, b] - np.mean(returns[t, others])
  expected /= np.sqrt(np.sum(expected**2) / np.sum(alive))
  actual = reinforcement.advantages(jnp.array(rewards), jnp.array(alive), 0.5)
  np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("environment", ["cartpole", "memory_chain"])
def test_episodes_are_those_of_gymnax(environment):
  """Step by step in plain Python, with the parameters of the task."""
  world, actions = world_of(environment, steps=14)
  known = ENVIRONMENTS[environment]
  high = [bounds[1] for bounds in known.ranges.values()]
  rnn, weights = network(len(known.scales), actions)
  episodes = play(world, [*high, 0, 0, 0], rnn, weights, steps=14, episodes=2)
  gym = known.make()
  values = dict(zip(known.ranges, high))
  parameters = gym.default_params.replace(
      **values, **{name: f(values) for name, f in known.depends.items()}
  )
  scales = np.array(known.scales)
  step = jax.jit(gym.step_env)
  for b in range(2):
    first = np.asarray(episodes.inputs[0, b]) * scales
    with policy._lenient():
      _, state = gym.reset_env(KEY, parameters)
    if environment == "cartpole":
      state = state.replace(
          **dict(zip(("x", "x_dot", "theta", "theta_dot"), first))
      )
    else:
      state = state.replace(context=np.array([first[2] > 0], np.int32))
    for t in range(14):
      assert episodes.alive[t, b] == 1
      with policy._lenient():
        observed, state, reward, over, _ = step(
            KEY, state, episodes.actions[t, b], parameters
        )
      np.testing.assert_allclose(episodes.rewards[t, b], reward, atol=1e-3)
      if over or t == 13:
        break
      np.testing.assert_allclose(
          episodes.inputs[t + 1, b], observed / scales, atol=5e-3
      )
    assert np.all(episodes.alive[t + 1 :, b] == 0)
    assert np.all(episodes.rewards[t + 1 :, b] == 0)
  assert environment == "cartpole" or t == 12


def test_what_is_seen_is_late_and_without_velocities():
  """A network without weights acts alike, whatever it sees."""
  world, _ = world_of("cartpole", steps=8, delay=2)
  rnn, weights = network(4, 2, scale=0.0)
  middle = [np.mean(b) for b in ENVIRONMENTS["cartpole"].ranges.values()]

  def inputs(*seen):
    return play(world, [*middle, *seen], rnn, weights, steps=8).inputs

  plain, late, hidden = inputs(0, 0, 0), inputs(0, 2, 0), inputs(0, 0, 1)
  np.testing.assert_array_equal(late[2:], plain[:-2])
  np.testing.assert_array_equal(late[:2], np.stack([plain[0]] * 2))
  np.testing.assert_array_equal(hidden[..., 1::2], 0 * plain[..., 1::2])
  np.testing.assert_array_equal(hidden[..., ::2], plain[..., ::2])
  noise = np.asarray(inputs(0.1, 0, 0) - plain)
  assert 0.07 < np.std(noise) < 0.13


def test_a_known_policy_swings_a_pendulum_up():
  """By its energy; it sees all, and knows the middle of all parameters."""
  known = ENVIRONMENTS["pendulum"]
  gravity, mass, length = (np.mean(bounds) for bounds in known.ranges.values())

  def step(weights, hidden, seen):
    cosine, sine, speed = seen[:, 0], seen[:, 1], 8 * seen[:, 2]
    angle = jnp.arctan2(sine, cosine)
    # 0 where it stands upright
    energy = speed**2 / 2 + 1.5 * gravity / length * (cosine - 1)
    hold = -(25 * angle + 6 * speed) * mass * length**2 / 3
    torque = jnp.where(
        jnp.abs(angle) < 0.6, hold, -2 * jnp.sign(energy) * jnp.sign(speed)
    )
    forces = jnp.array(known.forces)[None]
    return hidden, -100 * jnp.abs(torque[:, None] - forces)

  rnn = types.SimpleNamespace(
      spec=RNNSpec("elman", (1,), 3, 5), initial_state=lambda batch: (),
      step=step,
  )  # fmt: skip
  fields = {"environment": "pendulum", "noise": 0.0, "delay": 0, "hidden": 0.0}
  family = tasks.make("policy", fields)
  sampled = jax.vmap(family.sample_task)(jax.random.split(KEY, 20))
  score = jax.jit(jax.vmap(
      lambda task: family.performance(KEY, task, rnn, {})["accuracy"]
  ))(sampled)  # fmt: skip
  assert np.median(score) > 0.84


@pytest.mark.parametrize("reads", [0, 1])
def test_regret_is_counted_by_hand(reads):
  family = tasks.make("bandit", {"arms": 3, "pulls": 8, "eval_lives": 50})
  rnn, weights = network(4, 3, scale=2.0)
  task = jnp.array([0.0, 1.0, 1.0, 2.0, reads])
  lives = play(bandit._world(3), task, rnn, weights, steps=8, episodes=50)
  pays = np.asarray(lives.states[0])
  assert np.argmax(np.mean(pays, axis=0)) == 2
  pulled = np.take_along_axis(pays.T, np.asarray(lives.actions), 0)
  regret = np.max(pays, axis=1) - pulled
  actual, share = bandit._regret(lives)
  np.testing.assert_allclose(actual, regret, atol=1e-6)
  worst = np.mean(np.max(pays, axis=1) - np.min(pays, axis=1))
  np.testing.assert_allclose(share, 1 - np.mean(regret) / worst, atol=1e-6)
  # What is read: the arm that was pulled, and whether that paid
  read = np.asarray(lives.inputs)
  assert not np.any(read[0])
  np.testing.assert_array_equal(
      np.argmax(read[1:, :, :3], axis=-1), lives.actions[:-1]
  )
  expected = (2 * lives.rewards[:-1] - 1) * reads
  np.testing.assert_array_equal(read[1:, :, 3], expected)
  metrics = jax.jit(lambda w: family.performance(KEY, task, rnn, w))(weights)
  assert metrics["regret"] == pytest.approx(np.mean(regret), abs=0.1)


@pytest.mark.parametrize("family, fields, message", [
    ("policy", {"environment": "chess"}, "environment must be one of cartpole"),
    ("policy", {"environment": "memory_chain", "steps": 12}, "at least 13"),
    ("policy", {"hidden": 1.5}, "hidden must be at most 1"),
    ("policy", {"delay": -1}, "delay must not be negative"),
    ("bandit", {"arms": 1}, "arms must be at least 2"),
    ("bandit", {"lift": (1.0, 1.0)}, "lift must increase"),
    ("bandit", {"level": 1.0}, "level must be two numbers"),
])  # fmt: skip
def test_configs_that_cannot_be_are_refused(family, fields, message):
  with pytest.raises(ValueError, match=message):
    tasks.make(family, fields)


def test_it_says_that_gymnax_is_missing(monkeypatch):
  monkeypatch.setitem(
      sys.modules,
      "gymnax.environments.classic_control.cartpole",
      None,
  )
  with pytest.raises(ValueError, match=r"pip install 'weightspace\[rl\]'"):
    tasks.make("policy", {})
