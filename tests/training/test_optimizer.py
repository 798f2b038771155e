import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from weightspace.training import optimizer as optimizer_lib

KEY = jax.random.key(0)
PARAMS = {"encoder": {"w": jnp.asarray([1.0, 2.0])}, "head": jnp.ones(())}


def test_each_module_is_clipped_by_its_own_norm():
  grads = {
      "encoder": {"w": jnp.asarray([3.0, 0.0]), "b": jnp.asarray(4.0)},
      "emulator": [jnp.asarray([0.03, 0.04])],
      "silent": jnp.zeros(3),
  }
  clipped, _ = optimizer_lib.clip_by_module(0.1).update(grads, None)
  expected = {
      "encoder": {"w": np.asarray([0.06, 0.0]), "b": np.asarray(0.08)},
      "emulator": [np.asarray([0.03, 0.04])],  # its norm, 0.05, is below
      "silent": np.zeros(3),
  }
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
      clipped,
      expected,
  )


@pytest.mark.parametrize(
    "warmup, decay, expected",
    [
        (0, 0, [1.0, 1.0, 1.0, 1.0]),
        (2, 0, [0.0, 0.5, 1.0, 1.0]),
        (0, 4, [1.0, 0.853553, 0.5, 0.146447]),
        (2, 4, [0.0, 0.5, 1.0, 0.5]),
    ],
)
def test_schedules(warmup, decay, expected):
  optimizer = optimizer_lib.make_optimizer(
      optimizer_lib.OptimizerConfig(
          learning_rate=1.0,
          weight_decay=0.0,
          warmup_steps=warmup,
          decay_steps=decay,
      )
  )
  params = {"a": jnp.ones(())}
  state = optimizer.init(params)
  for rate in expected:  # a constant gradient: Adam's update is the rate
    updates, state = optimizer.update({"a": jnp.ones(())}, state, params)
    np.testing.assert_allclose(updates["a"], -rate, rtol=1e-4, atol=1e-6)


def loss(params, key, step, data):
  """Not finite at the steps named in `data`, by its value or its gradient."""
  del key
  value = params["encoder"]["w"].sum() + params["head"]
  return jnp.where(data > 0, jnp.inf, 1.0) * value, {"one": jnp.float32(1)}


def infinite_gradient(params, key, step, data):
  del key
  return jnp.sqrt(params["head"] - data), {}


@pytest.mark.parametrize(
    "f, bad", [(loss, jnp.float32(1)), (infinite_gradient, jnp.float32(1))]
)
def test_a_step_that_is_not_finite_is_skipped_and_counted(f, bad):
  optimizer = optimizer_lib.make_optimizer(optimizer_lib.OptimizerConfig())
  step = jax.jit(optimizer_lib.make_step(f, optimizer))
  before = optimizer_lib.init_state(PARAMS, optimizer)
  after, metrics = step(before, KEY, bad)
  assert metrics["skipped"] == 1
  assert after.step == 1
  jax.tree.map(
      np.testing.assert_array_equal,
      (after.params, after.opt_state),
      (before.params, before.opt_state),
  )
  after, metrics = step(after, KEY, jnp.float32(0))
  assert metrics["skipped"] == 0
  assert not np.array_equal(after.params["head"], before.params["head"])


def test_means_leave_out_the_steps_that_were_skipped():
  def sometimes(params, key, step, data):
    del key
    bad = params["head"] > 1.5  # at the third step
    return jnp.where(bad, jnp.nan, -params["head"]), {"one": jnp.float32(1)}

  optimizer = optax.sgd(0.5)
  state = optimizer_lib.init_state({"head": jnp.ones(())}, optimizer)
  run = jax.jit(optimizer_lib.make_steps(sometimes, optimizer))
  sums = optimizer_lib.zero_sums(sometimes, optimizer, state, KEY, None)
  for count in (2, 3):
    state, sums = run(state, sums, KEY, None, np.int32(count))
  metrics = optimizer_lib.means(sums, np.int32(5))
  assert state.step == 5
  assert metrics["skipped"] == 3
  assert metrics["one"] == 1.0
  assert metrics["loss"] == -1.25  # of 1 and 1.5
  assert state.params["head"] == 2.0


def test_selection_keeps_the_lowest_and_never_nan():
  optimizer = optax.sgd(0.1)
  state = optimizer_lib.init_state({"w": jnp.zeros(())}, optimizer)
  for step, score in enumerate([jnp.nan, 3.0, 2.0, 2.0, jnp.nan, 5.0]):
    state = state._replace(
        step=jnp.int32(step), params={"w": jnp.float32(step)}
    )
    state = optimizer_lib.select(state, jnp.float32(score))
  assert (state.best_step, state.best_score) == (2, 2.0)
  assert state.best_params["w"] == 2.0


def test_a_module_may_have_a_learning_rate_of_its_own():
  """As if it alone were trained by an optimiser of that rate."""

  def trained(config, params):
    optimizer = optimizer_lib.make_optimizer(config)
    state = optimizer.init(params)
    for _ in range(3):
      grads = jax.tree.map(lambda x: 0.1 * x + 1, params)
      updates, state = optimizer.update(grads, state, params)
      params = optax.apply_updates(params, updates)
    return params

  params = {"encoder": jnp.arange(3.0), "emulator": jnp.arange(2.0) - 3}
  config = optimizer_lib.OptimizerConfig(learning_rate=0.01, warmup_steps=2)
  plain = trained(config, params)
  fast = trained(dataclasses.replace(config, learning_rate=0.03), params)
  mixed = trained(dataclasses.replace(config, emulator_ratio=3.0), params)
  np.testing.assert_array_equal(mixed["encoder"], plain["encoder"])
  np.testing.assert_allclose(
      mixed["emulator"][0], fast["emulator"][0], rtol=1e-3
  )
  with pytest.raises(ValueError, match="must be positive"):
    dataclasses.replace(config, emulator_ratio=0.0)
  heads = {"heads": params["encoder"]}
  alone = [
      trained(dataclasses.replace(config, emulator_ratio=r), heads)["heads"]
      for r in (1.0, 3.0)
  ]
  np.testing.assert_array_equal(*alone)


def test_what_is_fixed_is_not_decayed():
  optimizer = optimizer_lib.make_optimizer(optimizer_lib.OptimizerConfig())
  params = {"encoder": {"fixed": jnp.ones(3), "learned": jnp.ones(3)}}
  grads = jax.tree.map(jnp.zeros_like, params)
  updates, _ = optimizer.update(grads, optimizer.init(params), params)
  assert not np.any(updates["encoder"]["fixed"])
  assert np.all(updates["encoder"]["learned"] < 0)
