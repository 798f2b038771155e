"""Kernels in C++ for CPU, where XLA spends its time on small operations.

The C++ compiler of the machine builds them for its processor when they are
first needed, and a cache keeps them. Where there is none, `available` says so.

Environment variables: `WEIGHTSPACE_KERNELS=0` does without; `CXX` names the
compiler, by default `c++`; `WEIGHTSPACE_CACHE` the folder they are kept in, by
default `~/.cache/weightspace`.
"""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import precision
from weightspace.kernels import _build

_TARGETS = (
    "GenerateStrings",
    "LayerForward", "LayerBackward", "LayerWeights", "LayerInputs",
    "LinearForward", "LinearBackward", "MatrixProduct",
    "BlockForward", "BlockBackward", "FieldForward", "FieldBackward",
    "Meet",
)  # fmt: skip


def available() -> bool:
  """Whether there are kernels; builds them if need be.

  There are none where an accelerator is what arrays are on by default.
  """
  return _library() is not None


def name() -> str:
  """Which kernels serve on CPU: what they were built of, or "none".

  Others round differently, so that networks trained with them have other bits.
  """
  library = _library()
  return "none" if library is None else pathlib.Path(library._name).stem


@functools.cache
def _library():
  if jax.default_backend() != "cpu":
    return None
  library = _build.load()
  if library is not None:
    for target in _TARGETS:
      jax.ffi.register_ffi_target(
          f"weightspace.{target}",
          jax.ffi.pycapsule(getattr(library, target)),
          platform="cpu",
      )
  return library


def serve(*trees) -> bool:
  """Whether there are kernels for these arrays on CPU."""
  leaves = jax.tree.leaves(trees)
  return all(a.dtype == jnp.float32 for a in leaves) and available()


def serve_in_halves(*trees) -> bool:
  """Whether kernels may and can have these arrays' numbers in halves.

  They may in products that are traced here, and can where the processor
  multiplies bfloat16: in tiles (AMX), or one half alone in vectors
  (AVX512_BF16).
  """
  count = precision.halves(precision.current())
  return count > 0 and serve(*trees) and count <= _library().MostHalves()


def floats(*shape: int) -> jax.ShapeDtypeStruct:
  """A float32 array of that shape, as a result of `call`."""
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def call(
    name, results, *args, attributes=None, vmap_method="expand_dims", **options
):
  """Results of the kernel `name`, of that shape, as `jax.ffi.ffi_call`.

  Attributes that are integers are int64 there.
  """
  attributes = {
      key: np.int64(value) if isinstance(value, (int, np.integer)) else value
      for key, value in (attributes or {}).items()
  }
  # More networks are one more axis, of size 1 in what serves all of them
  return jax.ffi.ffi_call(
      f"weightspace.{name}", results, vmap_method=vmap_method, **options
  )(*args, **attributes)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def meet(devices: int, tree: Any) -> Any:
  """`tree`, whose gradient waits for other devices that have one to make.

  Until all have come, or for a tenth of a second nobody needs help, a device
  helps those that lag behind with the networks that their kernels have not
  begun. It changes nothing but time.

  Args:
    devices: how many of this process do this.
    tree: float32 arrays.
  """
  del devices
  return tree


def _meet_backward(devices, _, gradient):
  leaves, tree = jax.tree.flatten(gradient)
  if devices == 1 or not serve(leaves):
    return (gradient,)

  def kernel(*leaves):
    return call(
        "Meet",
        [floats(*leaf.shape) for leaf in leaves],
        *leaves,
        attributes={"devices": devices},
        vmap_method="broadcast_all",
        input_output_aliases={i: i for i in range(len(leaves))},
    )

  leaves = jax.lax.platform_dependent(
      *leaves, cpu=kernel, default=lambda *leaves: list(leaves)
  )
  return (tree.unflatten(leaves),)


meet.defvjp(lambda devices, tree: (tree, None), _meet_backward)
