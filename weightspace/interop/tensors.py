"""Safetensors files, and validated conversion of arrays to float32."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError

_STORED = "biufV"  # kinds of dtypes; V is that of bfloat16


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads a safetensors file, which may be untrusted.

  It unpickles nothing and allocates no more memory than the file's size.

  Returns:
    {name: array}, sorted by name.

  Raises:
    OSError: there is no such file, or it cannot be read.
    ValueError: it is not a safetensors file, is truncated, or has dtypes that
      NumPy does not support.
  """
  import safetensors.numpy

  path = Path(path)
  with path.open("rb") as file:  # raises OSError for folders, unreadable files
    if not file.read(1):
      raise UserError(f"{path} is empty; save it again")
  try:
    # The format orders tensors by dtype, which says nothing of the modules
    return dict(sorted(safetensors.numpy.load_file(path).items()))
  except OSError:
    raise
  except Exception as error:  # the library raises several types
    raise UserError(
        f"{path} cannot be read as a safetensors file"
        f" ({type(error).__name__}: {error})"
    ) from error


def serialize(arrays: Mapping[str, Any]) -> bytes:
  """Serializes named arrays in safetensors format.

  Raises:
    ValueError: a name is not a string, or the format lacks an array's dtype.
  """
  import safetensors.numpy

  for name, array in arrays.items():
    if not isinstance(name, str):
      raise UserError(f"names of arrays are strings, got {name!r}")
    if np.asarray(array).dtype.kind not in _STORED:
      raise UserError(
          f"{name} has dtype {np.asarray(array).dtype}; safetensors stores"
          " booleans, integers and floating-point numbers"
      )
  # The library ignores strides, so arrays must be contiguous
  return safetensors.numpy.save({
      name: np.array(array, order="C", copy=True)
      for name, array in arrays.items()
  })


def write(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
  """Writes a safetensors file atomically, replacing an existing one.

  Args:
    path: of the file.
    arrays: by name; of any memory layout.

  Raises:
    ValueError: as of `serialize`; the file is then left as it was.
  """
  path = Path(path)
  scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    scratch.write_bytes(serialize(arrays))
    scratch.replace(path)
  finally:
    scratch.unlink(missing_ok=True)


def named(tree: Any) -> dict[str, Any]:
  """Names the leaves of a pytree by path: "decoder/params/Dense_0/bias".

  Raises:
    ValueError: two leaves have the same path.
  """
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  arrays = {
      jax.tree_util.keystr(path, simple=True, separator="/") or "leaf": leaf
      for path, leaf in leaves
  }
  if len(arrays) < len(leaves):
    raise UserError(f"two leaves of {list(arrays)} have the same path")
  return arrays


def float32(name: str, array: Any) -> np.ndarray:
  """Copies an array or a torch tensor to float32, exactly.

  Args:
    name: for error messages.
    array: floating point; wider types are allowed if float32 represents every
      number exactly.

  Raises:
    ValueError: it is not a floating-point array, or would lose precision.
  """
  try:
    array = as_numpy(array)
  except Exception as error:  # such as a tensor on the meta device
    raise UserError(f"{name} cannot be read as an array: {error}") from error
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise UserError(
        f"{name} has dtype {array.dtype}, expected floating-point numbers"
    )
  with np.errstate(all="ignore"):
    converted = array.astype(np.float32, order="C")
    exact = array.dtype.itemsize <= 4 or np.array_equal(
        converted.astype(array.dtype), array, equal_nan=True
    )
  if not exact:
    raise UserError(
        f"{name} is {array.dtype} and would lose digits as float32; convert it"
        " to float32 first (torch: model.float())"
    )
  return converted


def listed(names: Iterable[Any]) -> str:
  """Formats names for an error message, at most eight of them."""
  names = [repr(str(name)) for name in names]
  more = f" and {len(names) - 8} more" if len(names) > 8 else ""
  return (", ".join(names[:8]) + more) or "none"


def as_numpy(array: Any) -> np.ndarray:
  """An array or a torch tensor as a NumPy array; bfloat16 becomes float32."""
  if hasattr(array, "detach"):  # a torch tensor; torch is not imported
    array = array.detach().cpu()
    if array.dtype.is_floating_point and array.dtype.itemsize < 4:
      array = array.float()  # NumPy has no bfloat16
    array = array.numpy()
  return np.asarray(array)
