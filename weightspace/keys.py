"""PRNG keys: every draw has a key derived from (seed, purpose, indices)."""

import zlib

import jax

from weightspace.types import Key


def derive(key: Key, purpose: str, *indices) -> Key:
  """Derives a key for one purpose and any number of integer indices.

  It depends on its arguments only, so a resumed run needs no saved key.

  Args:
    key: the parent, usually `jax.random.key(seed)`.
    purpose: different strings give independent keys.
    *indices: integers, traced or not, such as a network id or a step.

  Returns:
    A typed PRNG key.
  """
  key = jax.random.fold_in(key, zlib.crc32(purpose.encode()))
  for index in indices:
    key = jax.random.fold_in(key, index)
  return key
