"""Cores that are done help those that are not: nothing comes out otherwise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import test_block, test_field
from weightspace import kernels, parallel
from weightspace.encoders import _block, _field

NETWORKS = 10  # a device


@pytest.fixture
def spread():
  """`spread(f)(wait, args)`: f of each device's part of arrays.

  Before f, a device does something else, `wait` times its number.
  """
  mesh = parallel.mesh(parallel.DATA)
  assert mesh.size > 1
  layout = jax.sharding.PartitionSpec(parallel.DATA)
  shared = jax.sharding.PartitionSpec()

  def spread(f):
    def late(wait, args):
      rounds = wait * jax.lax.axis_index(parallel.DATA)
      idle = jax.lax.fori_loop(
          0, rounds, lambda _, a: jnp.tanh(a), jnp.ones(100_000)
      )
      late = idle[0] > 2  # never, which the compiler does not know
      args = jax.tree.map(lambda a: jnp.where(late, jnp.nan, a), args)
      results = f(*args)
      return jax.tree.map(lambda a: a[None], results)

    return jax.jit(jax.shard_map(
        late, mesh=mesh, in_specs=(shared, layout), out_specs=layout,
        check_vma=False,
    ))  # fmt: skip

  spread.devices = mesh.size
  return spread


def check(spread, f, *args):
  """As alone, a few times and until some have helped others."""
  parts = [
      jax.tree.map(lambda a, i=i: a[i * NETWORKS :][:NETWORKS], args)
      for i in range(spread.devices)
  ]
  alone = [jax.jit(f)(*part) for part in parts]
  together = spread(f)
  before = kernels._library().TimesHelped()
  for rounds in range(100):
    # Nobody can help who is done before the others begin
    found = together(np.int32(rounds % 20), args)
    for i, wanted in enumerate(alone):
      jax.tree.map(
          lambda a, b, i=i: np.testing.assert_array_equal(a[i], b),
          found,
          wanted,
      )
    if rounds > 3 and kernels._library().TimesHelped() > before:
      return
  raise AssertionError("nobody helped anybody")


@test_field.needs_kernels
def test_matrices_of_channels(spread):
  networks = (NETWORKS * spread.devices,)
  args = test_field.make(32, 32, 48, 48, networks=networks)
  f = jax.vmap(functools.partial(test_field.run, _field.update, "float32"))
  check(spread, f, *args)


@test_block.needs_halves
def test_blocks_of_a_transformer(spread):
  sizes = _block.Sizes(2, 64, 40)
  params, x = test_block.make(NETWORKS * spread.devices, 40, 32, sizes)
  precise = test_block.PRECISE[0]
  f = functools.partial(test_block.run, sizes, precise, params)
  check(spread, f, x)


@test_block.needs_halves
def test_no_networks_have_no_gradient():
  sizes = _block.Sizes(2, 64, 40)
  params, x = test_block.make(1, 40, 32, sizes)
  _, (of_params, _) = jax.jit(test_block.run, static_argnums=(0, 1))(
      sizes, test_block.PRECISE[0], params, x[:0]
  )
  assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_params))


def gradient_after_meeting(devices, a, b):
  """Of a function of both, one of them also used in another way."""

  def f(tree):
    a, b = kernels.meet(devices, tree)
    return jnp.sum(jnp.sin(a)) + jnp.sum(a[:2] * b) + jnp.sum(tree[0])

  return jax.grad(f)((a, b))


@test_field.needs_kernels
def test_devices_meet(spread):
  a, b = test_field.make(NETWORKS * spread.devices, 1, 1, 2)[:2]
  b = jnp.tile(b, (NETWORKS * spread.devices, 1, 1))
  f = jax.vmap(functools.partial(gradient_after_meeting, spread.devices))
  found = spread(f)(np.int32(40), (a, b))
  wanted = jax.vmap(functools.partial(gradient_after_meeting, 1))(a, b)
  jax.tree.map(
      lambda a, b: np.testing.assert_array_equal(a.reshape(b.shape), b),
      found,
      wanted,
  )


@test_field.needs_kernels
def test_nobody_waits_for_ever():
  a, b = jnp.ones((3, 2)), jnp.ones((2, 2))
  alone = jax.jit(functools.partial(gradient_after_meeting, 2))(a, b)
  wanted = gradient_after_meeting(1, a, b)
  jax.tree.map(np.testing.assert_array_equal, alone, wanted)
