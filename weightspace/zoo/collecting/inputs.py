"""What networks read: an archive of sequences, for all or for each."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.io import npz

INPUTS, LENGTHS, OUTPUTS = "inputs", "lengths", "outputs"


class Inputs(NamedTuple):
  """Sequences of inputs.

  Attributes:
    name: of their file, for messages.
    inputs: [K, T] integer tokens or [K, T, I] reals for all networks, or with a
      first axis N for each.
    lengths: [K] or [N, K] integers; of all steps where there are none.
    outputs: [n, K, T, V] logits of the models of the first n rows, to compare
      with; or None.
  """

  name: str
  inputs: np.ndarray
  lengths: np.ndarray
  outputs: np.ndarray | None

  @property
  def kind(self) -> str:
    """Of the inputs: "token" or "real"."""
    return "token" if self.inputs.dtype.kind in "iu" else "real"

  @property
  def each(self) -> int | None:
    """The number of networks, N, that have sequences of their own, or None."""
    axes = 3 if self.kind == "token" else 4
    return len(self.inputs) if self.inputs.ndim == axes else None

  @property
  def shape(self) -> tuple[int, int]:
    """Sequences that a network reads, K, and their steps, T."""
    first = 0 if self.each is None else 1
    return self.inputs.shape[first : first + 2]

  def of(self, networks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [n, K, ...] and lengths [n, K] of networks, by their numbers."""
    if self.each is not None:
      chosen = self.inputs[networks]
    else:
      chosen = np.broadcast_to(
          self.inputs, (len(networks), *self.inputs.shape)
      )
    lengths = self.lengths
    if lengths.ndim == 2:
      return chosen, lengths[networks]
    return chosen, np.broadcast_to(lengths, (len(networks), *lengths.shape))


def read(inputs: str | os.PathLike | Mapping[str, np.ndarray]) -> Inputs:
  """Reads inputs from an `.npz` file, or takes arrays by name.

  Raises:
    UserError: arrays of other names, shapes or dtypes; numbers that are not
      finite; lengths outside of 1 to T.
    OSError: the file cannot be read.
  """
  name = "inputs"
  if isinstance(inputs, str | os.PathLike):
    name, inputs = str(inputs), _archive(Path(inputs))
  arrays = {key: np.asarray(inputs[key]) for key in inputs}
  unknown = sorted(arrays.keys() - {INPUTS, LENGTHS, OUTPUTS})
  if INPUTS not in arrays or unknown:
    raise UserError(
        f"{name} has the arrays {', '.join(sorted(arrays))}, expected"
        f" {INPUTS!r} and perhaps {LENGTHS!r} and {OUTPUTS!r}"
    )
  array = arrays[INPUTS]
  allowed = {"i": (2, 3), "u": (2, 3), "f": (3, 4)}.get(array.dtype.kind, ())
  if array.ndim not in allowed or 0 in array.shape:
    raise UserError(
        f"{name}: inputs have shape {list(array.shape)} and dtype"
        f" {array.dtype}, expected integer tokens [K, T] or floating-point"
        " numbers [K, T, I]: K sequences of T steps for all networks; or with a"
        " first axis of N networks for sequences of their own"
    )
  if array.dtype.kind == "f":
    with np.errstate(over="ignore"):
      array = array.astype(np.float32)
  read_ = Inputs(name, array, np.zeros(0, np.int64), arrays.get(OUTPUTS))
  count, steps = read_.shape
  lengths = _lengths(read_, arrays.get(LENGTHS, np.full(count, steps)))
  read_ = read_._replace(lengths=lengths)
  _check_values(read_)
  return read_


def _archive(path):
  if path.is_file() and not zipfile.is_zipfile(path):
    raise UserError(
        f"{path} is no .npz archive; save one with numpy.savez(FILE,"
        " inputs=...)"
    )
  return npz.read(path)


def _lengths(read_, lengths):
  count, steps = read_.shape
  shapes = [(count,)] + [(read_.each, count)] * (read_.each is not None)
  if lengths.shape not in shapes or lengths.dtype.kind not in "iu":
    raise UserError(
        f"{read_.name}: lengths have shape {list(lengths.shape)} and dtype"
        f" {lengths.dtype}, expected integers"
        f" {' or '.join(str(list(shape)) for shape in shapes)}"
    )
  if lengths.min() < 1 or lengths.max() > steps:
    raise UserError(
        f"{read_.name}: lengths go from {lengths.min()} to {lengths.max()},"
        f" expected 1 to {steps}, the steps of the inputs"
    )
  return lengths.astype(np.int64)


def _check_values(read_):
  """ValueError where what is read, so not padding, is no number or token."""
  wrong = (
      read_.inputs < 0 if read_.kind == "token"
      else ~np.isfinite(read_.inputs).all(-1)
  )  # fmt: skip
  lengths = read_.lengths
  if read_.each is not None and lengths.ndim == 1:
    lengths = lengths[None]
  wrong &= np.arange(read_.shape[1]) < lengths[..., None]
  if wrong.any():
    place = tuple(np.argwhere(wrong)[0].tolist())
    raise UserError(
        f"{read_.name}: inputs{list(place)} is {read_.inputs[place]}, expected"
        f" {'tokens from 0' if read_.kind == 'token' else 'finite numbers'} in"
        f" all steps of a sequence; {LENGTHS!r} says where padding begins"
    )
