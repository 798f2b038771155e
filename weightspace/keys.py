"""PRNG keys: every draw has a key derived from (seed, purpose, indices)."""

import zlib

import jax

from weightspace.errors import UserError
from weightspace.fields import check_seed
from weightspace.types import Key

_PRNG = "threefry2x32"  # whatever JAX's default is set to


def make_key(seed: int) -> Key:
  """The key of a seed, the same whatever JAX's settings are.

  Raises:
    UserError: it is no integer from 0 to 2**32 - 1; or settings of JAX are such
      that any key would give other numbers.
  """
  for name, value in (
      ("jax_threefry_partitionable", True),
      ("jax_random_seed_offset", 0),
  ):
    if getattr(jax.config, name) != value:
      raise UserError(
          f"{name} is {getattr(jax.config, name)}, which changes all random"
          f" numbers: unset {name.upper()}, or call"
          f" jax.config.update({name!r}, {value})"
      )
  return jax.random.key(check_seed(seed), impl=_PRNG)


def derive(key: Key, purpose: str, *indices) -> Key:
  """Derives a key for one purpose and any number of integer indices.

  It depends on its arguments only, so a resumed run needs no saved key.

  Args:
    key: the parent, usually `make_key(seed)`.
    purpose: different strings give independent keys.
    *indices: integers, traced or not, such as a network id or a step.

  Returns:
    A typed PRNG key.
  """
  key = jax.random.fold_in(key, zlib.crc32(purpose.encode()))
  for index in indices:
    key = jax.random.fold_in(key, index)
  return key
