"""Validation of untrusted input; errors name the field."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError
from weightspace.interop import tensors
from weightspace.io import files

MOST = 10_000  # for a size that the number of params does not bound
DEEPEST = 256  # layers of anything: they are traced one by one


class Arrays:
  """The tensors of a file; each must be taken once, by shape and dtype.

  Attributes:
    deepest: bound on numbers of layers.
    largest: bound on all other sizes.
  """

  def __init__(self, path: Path, record: Any):
    """Reads the file.

    Args:
      path: of the file.
      record: {"bytes", "sha256"}, which it must match.
    """
    require_fields("tensors", record, ("bytes", "sha256"))
    size, digest = path.stat().st_size, record["sha256"]
    if size != record["bytes"] or files.sha256(path) != digest:
      raise UserError(
          f"{path} is damaged: its size or"
          " checksum differ; get the folder again"
      )
    self._path, self._left = path, tensors.read(path)
    self.deepest = min(DEEPEST, len(self._left))
    self.largest = max(MOST, sum(a.size for a in self._left.values()))

  def take(
      self, name: str, shape: tuple[int | None, ...], dtype: Any = "float32"
  ) -> np.ndarray:
    """The array of that name; `shape` may hold None for any size."""
    if name not in self._left:
      raise UserError(f"{self._path} lacks {name}")
    array = self._left.pop(name)
    fits = len(array.shape) == len(shape) and all(
        w in (None, n) for n, w in zip(array.shape, shape)
    )
    if not fits or array.dtype != dtype:
      raise UserError(
          f"{self._path}: {name} is {array.dtype}{list(array.shape)}, expected"
          f" {np.dtype(dtype)}{['any' if n is None else n for n in shape]}"
      )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
      raise UserError(f"{self._path}: {name} is not finite everywhere")
    return array

  def take_tree(self, prefix: str, template: Any) -> Any:
    """A pytree of arrays like those of the template."""
    leaves = [
        jnp.asarray(self.take(name, leaf.shape, leaf.dtype))
        for name, leaf in prefixed(prefix, tensors.named(template)).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)

  def check_all_taken(self) -> None:
    """ValueError where one was not taken."""
    if self._left:
      raise UserError(
          f"{self._path} holds tensors that are not the encoder's:"
          f" {tensors.listed(self._left)}"
      )


def prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
  """The same arrays by longer names."""
  return {f"{prefix}/{name}": array for name, array in arrays.items()}


def require(holds: bool, name: str, value: Any, expected: Any) -> None:
  """ValueError unless something holds of the value of that name."""
  if not holds:
    raise UserError(f"{name} is {str(value)[:80]!r}, expected {expected}")


def require_integer(name: str, value: Any, low: int, high: int) -> int:
  """The value, an integer from `low` to `high`, or else a ValueError."""
  fits = type(value) is int and low <= value <= high
  require(fits, name, value, f"an integer from {low} to {high}")
  return value


def require_number(name: str, value: Any) -> float:
  """The value, a finite number, or else a ValueError."""
  number = type(value) is int and abs(value) < 2**63
  number = number or (type(value) is float and math.isfinite(value))
  require(number, name, value, "a finite number")
  return float(value)


def require_fields(what: str, value: Any, names: Iterable[str]) -> None:
  """ValueError unless an object has fields of these names and no others."""
  require(isinstance(value, dict), what, value, "an object")
  if set(value) != set(names):
    raise UserError(
        f"{what} has the fields {tensors.listed(value)}, expected"
        f" {tensors.listed(names)}"
    )
