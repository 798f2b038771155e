"""JAX's process-wide settings that change numbers: here they are pinned.

They come from variables such as JAX_ENABLE_X64 and from programs that use this
library. Launchers pin them for the whole process. Functions that a program
calls pin them while they run, so that it gets the same numbers with settings of
its own.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax

# Each is JAX's default
PINNED = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_default_matmul_precision": None,
    "jax_softmax_custom_jvp": False,
}
# These have no context manager
_OF_PROCESS = {
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_accurate_erf_inv": False,
    "jax_allow_f16_reductions": True,
    "jax_use_hlo_logistic_lowering": None,
    "jax_disable_most_optimizations": False,
    "jax_optimization_level": "UNKNOWN",
    "jax_compiler_enable_remat_pass": True,
    "jax_disable_jit": False,
}


def pin() -> None:
  """Pins all settings of this process. Sets global state: for launchers."""
  for name, value in (PINNED | _OF_PROCESS).items():
    if name in jax.config.values and jax.config.values[name] != value:
      jax.config.update(name, value)


@contextlib.contextmanager
def pinned() -> Iterator[None]:
  """Pins those of `PINNED` in this thread; a decorator, too."""
  with contextlib.ExitStack() as stack:
    for name, value in PINNED.items():
      if _value(name) != value:
        setting = getattr(jax, name.removeprefix("jax_"))
        stack.enter_context(setting(value))
    yield


def _value(name: str) -> Any:
  """What a setting is in this thread."""
  return getattr(jax.config, name)
