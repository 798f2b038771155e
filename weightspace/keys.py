"""Randomness: every draw has a key derived from (seed, purpose, indices)."""

import zlib

import jax

from weightspace.types import Key


def derive(key: Key, purpose: str, *indices) -> Key:
  """A key for one purpose and any number of integer indices.

  Args:
    key: the parent, usually `jax.random.key(seed)`.
    purpose: what it is for; different words give independent keys.
    *indices: integers, traced or not: network id, step, ...

  Returns:
    The same key whenever and wherever it is asked for, so that a resumed run
    needs no saved key.
  """
  key = jax.random.fold_in(key, zlib.crc32(purpose.encode()))
  for index in indices:
    key = jax.random.fold_in(key, index)
  return key
