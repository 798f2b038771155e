"""How exactly products of float32 matrices are computed.

    float32        as exactly as float32 can
    tensorfloat32  at least as exactly as 10 bits of mantissa: those on a GPU,
                   three products of bfloat16 on a TPU and on a CPU that has
                   tiles of them (AMX), float32 on any other CPU
    bfloat16       inputs of bfloat16 and sums of float32: on a TPU, on a GPU
                   since Ampere (XLA refuses it on older ones), and on a CPU
                   that multiplies bfloat16 (AMX or AVX512_BF16), but for
                   products that are thinner than a tile; on any other CPU
                   float32

A product is as exact as was asked for where it was traced, and so is its
gradient.
"""

import contextlib

import jax

# What JAX calls them. What it calls "bfloat16" is whatever a backend does by
# default, on a GPU TF32; the algorithm is what its name says.
NAMES = {
    "float32": "highest",
    "tensorfloat32": "high",
    "bfloat16": "BF16_BF16_F32",
}
# In which kernels may have two bfloat16 numbers for one of float32, or one
_TWO_HALVES = ("high", "tensorfloat32", "bfloat16_3x")
_ONE_HALF = (NAMES["bfloat16"],)


def check(name: str) -> None:
  """Refuses what is none of `NAMES`.

  Raises:
    ValueError: it is none.
  """
  if name not in NAMES:
    raise ValueError(f"matmul_precision={name!r} is none of {', '.join(NAMES)}")


def products(name: str) -> contextlib.AbstractContextManager:
  """A context: matrix products traced in it are of one of `NAMES`."""
  return jax.default_matmul_precision(NAMES[name])


def current() -> str | None:
  """What JAX calls the precision of products traced here; None: its default."""
  return jax.config.jax_default_matmul_precision


def halves(precision: str | None) -> int:
  """How many bfloat16 numbers stand for one of float32 in kernels; 0: none.

  Args:
    precision: of `current`.
  """
  if precision in _ONE_HALF:
    return 1
  return 2 if precision in _TWO_HALVES else 0
