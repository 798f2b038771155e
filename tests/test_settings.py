"""No process-wide setting of JAX changes what is computed."""

import contextlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import weightspace
from weightspace import settings, symmetry, tasks
from weightspace.errors import UserError
from weightspace.keys import make_key
from weightspace.rnn import RNNSpec, make_rnn

OTHERS = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_default_matmul_precision": "bfloat16",
    "jax_softmax_custom_jvp": True,
    "jax_numpy_rank_promotion": "raise",
}


def _set(names):
  stack = contextlib.ExitStack()
  for name in names:
    setting = getattr(jax, name.removeprefix("jax_"))
    stack.enter_context(setting(OTHERS[name]))
  return stack


@pytest.mark.parametrize("names", [*([n] for n in OTHERS), [*OTHERS]], ids=str)
def test_an_encoder_computes_the_same(names):
  encoder = weightspace.load_encoder("formal_languages")
  rnn = make_rnn(encoder.zoo.rnn)
  vector = np.random.default_rng(0).normal(0, 0.2, rnn.size)
  weights = rnn.unflatten(vector.astype(np.float32))
  expected = encoder.examine(weights, rnn)
  with _set(names):
    encoder = weightspace.load_encoder("formal_languages")
    examined = encoder.examine(weights, rnn)
    assert np.array_equal(encoder.embed(weights), expected.code)
  assert np.array_equal(examined.code, expected.code)
  assert examined.task == expected.task
  assert examined.task_probability == expected.task_probability
  assert [n.net_id for n in examined.nearest] == [
      n.net_id for n in expected.nearest
  ]


def test_pinned_settings_are_those_of_jax():
  with _set(OTHERS):
    with settings.pinned():
      assert jnp.zeros(1).dtype == jnp.float32
      for name, value in settings.PINNED.items():
        assert getattr(jax.config, name) == value
    assert jnp.zeros(1).dtype == jnp.float64


def test_launchers_pin_what_the_environment_says():
  env = {
      "JAX_ENABLE_X64": "1", "JAX_DEFAULT_PRNG_IMPL": "rbg",
      "JAX_THREEFRY_PARTITIONABLE": "0", "JAX_RANDOM_SEED_OFFSET": "3",
      "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
      "JAX_SOFTMAX_CUSTOM_JVP": "1",
      "JAX_HIGH_DYNAMIC_RANGE_GUMBEL": "1",
  }  # fmt: skip
  code = (
      "from weightspace import launch\n"
      "def main():\n"
      "  import jax\n"
      "  from weightspace.keys import make_key\n"
      "  print(jax.random.uniform(make_key(7), (3,), 'float32').tolist())\n"
      "launch.run(main)"
  )
  done = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True, check=False,
      env=os.environ | env,
  )  # fmt: skip
  drawn = jax.random.uniform(make_key(7), (3,), "float32").tolist()
  assert done.stdout == f"{drawn}\n", done.stderr


def test_keys_carry_their_implementation():
  assert (make_key(3) == jax.random.key(3)).all()
  with jax.default_prng_impl("rbg"), jax.enable_x64(True):
    assert str(jax.random.key_impl(make_key(3))) == "threefry2x32"
    assert (make_key(3) == jax.random.key(3, impl="threefry2x32")).all()
  with (
      jax.threefry_partitionable(False),
      pytest.raises(UserError, match="unset JAX_THREEFRY_PARTITIONABLE"),
  ):
    make_key(3)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 1.5, True, "3"])
def test_seeds_that_are_not_distinguished_are_refused(seed):
  with pytest.raises(UserError, match="seed must be an integer from 0"):
    make_key(seed)


# Of recorded networks nothing is drawn
@pytest.mark.parametrize("name", sorted({*tasks.names()} - {"recorded"}))
def test_draws_have_the_same_dtypes_with_x64(name):
  fields = {"digits": "none"} if name == "tiled_mnist" else {}

  def draw():
    family = tasks.make(name, fields)
    rnn = make_rnn(
        RNNSpec("gru", (4,), family.spec.inputs, family.spec.outputs)
    )
    key = make_key(0)
    weights = rnn.init(key)
    element = symmetry.sample(key, rnn)
    return family.sample_task(key), symmetry.act(rnn, element, weights)

  expected = draw()
  with jax.enable_x64(True):
    drawn = draw()
  for a, b in zip(jax.tree.leaves(drawn), jax.tree.leaves(expected)):
    assert a.dtype == b.dtype
    assert np.array_equal(a, b)
