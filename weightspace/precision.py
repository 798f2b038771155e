"""Matmul precision: how exactly products of float32 matrices are computed.

    float32        as exactly as float32 can
    tensorfloat32  with at least 10 bits of mantissa: so many on a GPU, three
                   products of bfloat16 on a TPU, float32 on a CPU
    bfloat16       inputs of bfloat16 and sums of float32: on a TPU, and on a
                   GPU since Ampere (XLA refuses it on older ones); float32 on a
                   CPU

A product has the precision of the context it was traced in, and so has its
gradient.
"""

import contextlib

import jax

from weightspace.errors import UserError

# What JAX calls them. What it calls "bfloat16" is whatever a backend does by
# default, on a GPU TF32; the algorithm is what its name says.
NAMES = {
    "float32": "highest",
    "tensorfloat32": "high",
    "bfloat16": "BF16_BF16_F32",
}


def check(name: str) -> None:
  """Refuses what is none of `NAMES`.

  Raises:
    ValueError: it is none.
  """
  if name not in NAMES:
    raise UserError(f"matmul_precision={name!r} is none of {', '.join(NAMES)}")


def products(name: str) -> contextlib.AbstractContextManager:
  """A context: matrix products traced in it are of one of `NAMES`."""
  return jax.default_matmul_precision(NAMES[name])


def current() -> str | None:
  """What JAX calls the precision of products traced here; None: its default."""
  return jax.config.jax_default_matmul_precision
