"""Keys: the same for the same purpose, different for different ones."""

import itertools

import jax
import numpy as np

from weightspace.keys import derive


def _bits(key):
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_the_same_key_whenever_asked():
  key = jax.random.key(3)
  once = derive(key, "batch", 7, 2)
  assert _bits(once) == _bits(derive(key, "batch", 7, 2))
  traced = jax.jit(lambda i, j: derive(key, "batch", i, j))(7, 2)
  assert _bits(once) == _bits(traced)
  vmapped = jax.vmap(lambda i: derive(key, "batch", i, 2))(np.arange(9))
  assert _bits(once) == _bits(vmapped[7])


def test_different_seeds_purposes_and_indices_differ():
  derived = [
      derive(jax.random.key(seed), purpose, *indices)
      for seed, purpose, indices in itertools.product(
          (0, 1), ("batch", "init"), ((), (0,), (1,), (0, 1), (1, 0))
      )
  ]
  assert len({_bits(key) for key in derived}) == len(derived)


def test_does_not_depend_on_pythons_hashing():
  """The bits a seed has given once, on any machine and in any process."""
  key = derive(jax.random.key(0), "init", 5)
  assert _bits(key) == (2344322131, 883516848)
