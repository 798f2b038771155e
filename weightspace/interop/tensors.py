"""Named arrays in a safetensors file, and float32 arrays of strangers' ones."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """The arrays in a safetensors file, whoever wrote it.

  Nothing is unpickled, and no more memory is taken than the file has bytes.

  Raises:
    OSError: there is no such file, or it cannot be read.
    ValueError: it is not a safetensors file, is cut short, or holds dtypes
      that NumPy does not know.
  """
  import safetensors.numpy

  path = Path(path)
  with path.open("rb"):  # a folder, or what may not be read, says so itself
    pass
  try:
    return safetensors.numpy.load_file(path)
  except OSError:
    raise
  except Exception as error:  # of several kinds, for damage of several kinds
    raise ValueError(
        f"{path} cannot be read as a safetensors file"
        f" ({type(error).__name__}: {error})"
    ) from error


def serialize(arrays: Mapping[str, Any]) -> bytes:
  """The bytes of a safetensors file of these arrays."""
  import safetensors.numpy

  # The library writes the memory of an array as it lies, whatever its strides
  return safetensors.numpy.save({
      name: np.array(array, order="C", copy=True)
      for name, array in arrays.items()
  })


def write(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
  """Writes a safetensors file; one that is there is replaced.

  Args:
    path: of the file.
    arrays: of any memory layout.
  """
  path = Path(path)
  scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    scratch.write_bytes(serialize(arrays))
    scratch.replace(path)
  finally:
    scratch.unlink(missing_ok=True)


def named(tree: Any) -> dict[str, Any]:
  """The leaves of a pytree by their path: "decoder/params/Dense_0/bias".

  Raises:
    ValueError: two leaves have the same path.
  """
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  found = {
      jax.tree_util.keystr(path, simple=True, separator="/") or "leaf": leaf
      for path, leaf in leaves
  }
  if len(found) < len(leaves):
    raise ValueError(f"two leaves of {list(found)} have one path")
  return found


def float32(name: str, array: Any) -> np.ndarray:
  """A copy of an array or a torch tensor as float32, without loss.

  Args:
    name: for the error message.
    array: floating point; wider ones only where each number fits float32.

  Raises:
    ValueError: it is no array of real numbers, or would lose digits.
  """
  try:
    array = _as_numpy(array)
  except Exception as error:  # whatever a tensor on no device raises
    raise ValueError(f"{name} cannot be read as an array: {error}") from error
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise ValueError(
        f"{name} has dtype {array.dtype}, expected floating point numbers"
    )
  with np.errstate(all="ignore"):
    found = array.astype(np.float32, order="C")
    exact = array.dtype.itemsize <= 4 or np.array_equal(
        found.astype(array.dtype), array, equal_nan=True
    )
  if not exact:
    raise ValueError(
        f"{name} is {array.dtype} and would lose digits as float32, which"
        " networks are here; convert it yourself first (torch: model.float())"
    )
  return found


def listed(names: Iterable[Any]) -> str:
  """Names for an error message, the first few of them."""
  names = [repr(str(name)) for name in names]
  more = f" and {len(names) - 8} more" if len(names) > 8 else ""
  return (", ".join(names[:8]) + more) or "none"


def _as_numpy(array):
  if hasattr(array, "detach"):  # a torch tensor, which torch need not tell
    array = array.detach().cpu()
    if array.dtype.is_floating_point and array.dtype.itemsize < 4:
      array = array.float()  # NumPy has no bfloat16
    array = array.numpy()
  return np.asarray(array)
