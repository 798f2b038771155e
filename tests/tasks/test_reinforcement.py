"""Episodes and the gradients of policies, against plain references."""

import functools
import itertools
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import properties, tasks
from weightspace.keys import derive
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import _reinforcement as reinforcement
from weightspace.tasks import bandit, policy
from weightspace.tasks._environments import ENVIRONMENTS
from zoo_gen import trainer

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


def given_to_make(monkeypatch, family, fields):
  """What a family gives to `reinforcement.make`."""
  given = {}

  def make(world, **others):
    given.update(others, world=world)

  monkeypatch.setattr(reinforcement, "make", make)
  {"policy": policy, "bandit": bandit}[family].make(fields)
  return given


@pytest.mark.parametrize("discount, entropy", [(1.0, 0.3), (0.5, 0.0)])
def test_the_gradient_is_that_of_the_expected_return(discount, entropy):
  """Against all trajectories of two steps; each is read in the next."""
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
      first, second = log_probs[0, actions[0]], log_probs[1, actions[1]]
      last = pays[actions] - entropy * second
      returns = -entropy * first + discount * last, last
      chance = jnp.exp(first + second)
      chance, returns = jax.lax.stop_gradient((chance, returns))
      total += chance * (first * returns[0] + second * returns[1])
    return total

  def loss(weights):
    episodes = play(
        world, [0], rnn, jax.lax.stop_gradient(weights),
        steps=3, episodes=20_000,
    )  # fmt: skip
    batch = reinforcement.experience(episodes, discount, entropy)
    return trainer._make_loss(rnn)(weights, batch)

  estimate, exact = (
      rnn.flatten(jax.jit(jax.grad(f))(weights)) for f in (loss, expected)
  )
  cosine = -estimate @ exact
  cosine /= jnp.linalg.norm(estimate) * jnp.linalg.norm(exact)
  assert cosine > 0.99


def test_equal_returns_have_no_advantages():
  ones = jnp.ones((100, 32), jnp.float32)
  assert np.max(np.abs(reinforcement.advantages(ones, ones, 0.97))) < 1e-2


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


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_episodes_and_scores_are_those_of_gymnax(environment, monkeypatch):
  """Step by step in plain Python, with the parameters of the task."""
  steps, count = 14, 4
  config = policy.Config(
      environment=environment, steps=steps, noise=0, delay=0, hide_velocities=0
  )
  given = given_to_make(monkeypatch, "policy", config)
  known = ENVIRONMENTS[environment]
  high = [bounds[1] for bounds in known.ranges.values()]
  rnn, weights = network(len(known.scales), given["spec"].outputs, scale=9.0)
  episodes = play(
      given["world"], high, rnn, weights, steps=steps, episodes=count
  )
  gym = known.make()
  values = dict(zip(known.ranges, high))
  parameters = gym.default_params.replace(
      **values, **{name: f(values) for name, f in known.depends.items()}
  )
  step = jax.jit(gym.step_env)
  resets = jax.random.split(derive(KEY, "reset"), (count,))
  keys = jax.random.split(derive(KEY, "world"), (steps, count))
  scores, returns = [], []
  for b in range(count):
    with policy._lenient():
      _, state = gym.reset_env(resets[b], parameters)
    earned = []
    for t in range(steps):
      assert episodes.alive[t, b] == 1
      action = episodes.actions[t, b]
      with policy._lenient():
        seen = gym.get_obs(state=state, params=parameters, key=KEY)
        _, state, reward, over, _ = step(
            keys[t, b], state,
            known.forces[action] if known.forces else action, parameters,
        )  # fmt: skip
      np.testing.assert_allclose(
          episodes.inputs[t, b], seen / np.array(known.scales), atol=5e-3
      )
      np.testing.assert_allclose(episodes.rewards[t, b], reward, atol=1e-3)
      earned.append(float(reward))
      if over:
        break
    assert np.all(episodes.alive[t + 1 :, b] == 0)
    assert np.all(episodes.rewards[t + 1 :, b] == 0)
    returns.append(sum(earned))
    scores.append({
        "cartpole": len(earned) / steps,
        "pendulum": 1 + np.mean(earned) / np.pi**2,
    }.get(environment, earned[-1] > 0))
  metrics = given["measure"](episodes, episodes)
  np.testing.assert_allclose(metrics["accuracy"], np.mean(scores), atol=1e-3)
  np.testing.assert_allclose(metrics["return"], np.mean(returns), atol=1e-2)
  lasts = {"memory_chain": 13, "umbrella_chain": 12}.get(environment)
  assert lasts is None or np.all(np.sum(episodes.alive, axis=0) == lasts)


def test_a_bit_is_shown_at_the_start_alone(monkeypatch):
  config = policy.Config(environment="memory_chain", noise=0, steps=14)
  world = given_to_make(monkeypatch, "policy", config)["world"]
  rnn, weights = network(3, 2, scale=0.0)
  for delay in (0, 2):
    shown = play(world, [4, delay], rnn, weights, steps=14).inputs[..., 2]
    assert np.all(np.abs(shown[: delay + 1]) == 1)
    assert not np.any(shown[delay + 1 :])


def test_what_is_seen_is_late_and_without_velocities(monkeypatch):
  """A network without weights acts alike, whatever it sees."""
  given = given_to_make(
      monkeypatch, "policy", policy.Config(steps=8, noise=1.0)
  )
  rnn, weights = network(4, 2, scale=0.0)
  middle = [np.mean(b) for b in ENVIRONMENTS["cartpole"].ranges.values()]

  def inputs(*seen):
    task = [*middle, *seen]
    return play(given["world"], task, rnn, weights, steps=8).inputs

  plain, late, hidden = inputs(0, 0, 0), inputs(0, 2, 0), inputs(0, 0, 1)
  np.testing.assert_array_equal(late[2:], plain[:-2])
  np.testing.assert_array_equal(late[:2], np.stack([plain[0]] * 2))
  np.testing.assert_array_equal(hidden[..., 1::2], 0 * plain[..., 1::2])
  np.testing.assert_array_equal(hidden[..., ::2], plain[..., ::2])
  noise = np.asarray(inputs(0.1, 0, 0) - plain)
  assert 0.07 < np.std(noise) < 0.13
  # Elsewhere the environment is another, and is seen alike
  task, others = jnp.array([*middle, 0.05, 2, 1]), jnp.ones((5, 8))
  elsewhere = given["elsewhere"](task, others)
  np.testing.assert_array_equal(elsewhere[:, :5], others[:, :5])
  np.testing.assert_array_equal(elsewhere[:, 5:], np.tile(task[5:], (5, 1)))


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
  fields = {
      "environment": "pendulum", "noise": 0.0, "delay": 0,
      "hide_velocities": 0.0,
  }  # fmt: skip
  family = tasks.make("policy", fields)
  sampled = jax.vmap(family.sample_task)(jax.random.split(KEY, 20))
  score = jax.jit(jax.vmap(
      lambda task: family.performance(KEY, task, rnn, {})["accuracy"]
  ))(sampled)  # fmt: skip
  assert np.median(score) > 0.84


@pytest.mark.parametrize("reads", [0, 1])
def test_what_is_read_of_a_life(reads):
  rnn, weights = network(4, 3, scale=2.0)
  task = jnp.array([0.0, 1.0, 0.0, 0.0, 3.0, reads])
  lives = play(bandit._world(3), task, rnn, weights, steps=8, episodes=50)
  assert np.argmax(np.mean(lives.states[0], axis=0)) == 2
  read = np.asarray(lives.inputs)
  assert not np.any(read[0])
  # The arm that was pulled, and whether that paid
  np.testing.assert_array_equal(
      np.argmax(read[1:, :, :3], axis=-1), lives.actions[:-1]
  )
  expected = (2 * lives.rewards[:-1] - 1) * reads
  np.testing.assert_array_equal(read[1:, :, 3], expected)


def test_regret_is_counted_by_hand(monkeypatch):
  """Two lives of eight pulls, of which all but the last two miss the best."""
  given = given_to_make(
      monkeypatch, "bandit", bandit.Config(arms=2, pulls=8, eval_lives=2)
  )
  pays = jnp.array([[0.2, 0.9], [0.5, 0.1]])
  actions = jnp.array([[0, 1]] * 6 + [[1, 0]] * 2)
  rewards = jnp.ones((8, 2)).at[0].set(0.0)

  def lives(actions):
    return reinforcement.Episodes(
        jnp.zeros((8, 2, 3)), jnp.zeros((8, 2, 2)), actions, rewards,
        jnp.ones((8, 2)), (pays, None),
    )  # fmt: skip

  metrics = given["measure"](lives(actions), lives(1 - actions))
  missed = (0.7 + 0.4) / 2
  np.testing.assert_allclose(metrics["regret_early"], missed, atol=1e-6)
  np.testing.assert_allclose(metrics["regret_late"], 0.0, atol=1e-6)
  np.testing.assert_allclose(metrics["regret"], missed * 6 / 8, atol=1e-6)
  np.testing.assert_allclose(metrics["accuracy"], 2 / 8, atol=1e-6)
  np.testing.assert_allclose(metrics["accuracy_elsewhere"], 6 / 8, atol=1e-6)
  np.testing.assert_allclose(metrics["reward"], 7 / 8)
  blind = jnp.array([0.0, 1.0, 0.0, 1.0, 0.0])
  others = given["elsewhere"](blind, jnp.ones((4, 5)))
  np.testing.assert_array_equal(others, [[1, 1, 1, 1, 0]] * 4)


def test_arms_that_all_pay_leave_nothing_to_regret():
  fields = {"level": (90.0, 91.0), "pulls": 4, "eval_lives": 4}
  family = tasks.make("bandit", fields)
  rnn, weights = network(4, 3)
  task = family.sample_task(KEY)
  assert family.performance(KEY, task, rnn, weights)["accuracy"] == 1


def test_the_parameters_of_a_zoo_may_be_constant():
  """Of numbers with scales of their own; one does not vary."""
  generator = np.random.default_rng(0)
  targets = generator.normal(size=(50, 3)) * [100, 1, 0] + [0, 0, 7]
  outputs = targets + [[100, 0, 3]] * generator.normal(size=(50, 3))
  metrics = properties.load("parameters").metrics(outputs, targets)
  each = [1 - np.mean((o - t) ** 2) / np.var(t)
          for o, t in zip(outputs.T[:2], targets.T[:2])]  # fmt: skip
  assert metrics["r2"] == pytest.approx(np.mean(each))
  assert metrics["kendall_tau"] > 0.5


@pytest.mark.parametrize("family, fields, message", [
    ("policy", {"environment": "chess"}, "environment must be one of cartpole"),
    ("policy", {"environment": "memory_chain", "steps": 12}, "at least 13"),
    ("policy", {"hide_velocities": 1.5}, "hide_velocities must be at most 1"),
    ("policy", {"delay": -1}, "delay must not be negative"),
    ("policy", {"delay": 9, "steps": 9}, "delay must be less than the 9 steps"),
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
