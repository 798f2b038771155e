"""All networks read once: whether they fit one another and the inputs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from weightspace.errors import UserError
from weightspace.interop.tensors import listed
from weightspace.progress import Progress
from weightspace.rnn import RNNSpec
from weightspace.zoo.collecting import networks as networks_lib
from weightspace.zoo.collecting.inputs import OUTPUTS, Inputs
from weightspace.zoo.collecting.networks import Parts


class Row(NamedTuple):
  """A network after some step of its training."""

  model: Any  # see `networks.load`
  where: str  # for messages
  net_id: int
  step: int


class Scanned(NamedTuple):
  """What was seen of the networks, row by row."""

  shapes: list[RNNSpec]
  sha256: list[str]
  finite: np.ndarray  # [R] bool


def check_inputs(inputs: Inputs, networks: int, rows: int) -> None:
  """Checks that there are inputs, and perhaps outputs, of as many as that."""
  if inputs.each not in (None, networks):
    raise UserError(
        f"{inputs.name}: inputs have shape {list(inputs.inputs.shape)}, so they"
        f" are of {inputs.each} networks, but there are {networks}; without"
        " that axis they are for all networks"
    )
  outputs = inputs.outputs
  if outputs is None:
    return
  if outputs.dtype.kind != "f" or outputs.ndim != 4 or (
      len(outputs) > rows or outputs.shape[1:3] != inputs.shape
  ):
    raise UserError(
        f"{inputs.name}: {OUTPUTS} have shape {list(outputs.shape)} and dtype"
        f" {outputs.dtype}, expected logits [n, K, T, V] of the first n of"
        f" {rows} rows of the table (files, without one) with K, T ="
        f" {inputs.shape}"
    )


def scan(
    rows: Sequence[Row], parts: Parts, inputs: Inputs, progress: Progress
) -> Scanned:
  """Reads every network once, and keeps none.

  Raises:
    UserError: one is not supported, or networks do not fit one another or the
      inputs; by name.
  """
  shapes, digests, finite = [], [], []
  first_shape: dict[int, int] = {}
  with progress.stage(
      "check networks", total=len(rows), unit="files"
  ) as stage:
    for i, row in enumerate(rows):
      one = networks_lib.load(
          row.model, parts, row.where, _verify_with(inputs, i, row.net_id)
      )
      shapes.append(one.rnn)
      digests.append(one.sha256)
      finite.append(bool(np.isfinite(one.weights).all()))
      _check_alike(rows, shapes, first_shape.setdefault(row.net_id, i))
      if i == 0:
        _check_reads(row, one.rnn, inputs)
      stage.advance()
  if not any(finite):
    raise UserError(
        f"no network has finite weights, such as {rows[0].where}: there is"
        " nothing to learn from"
    )
  diverged = [row.where for row, sound in zip(rows, finite) if not sound]
  if diverged:
    logging.warning(
        "%d of %d networks have weights that are not finite; they are kept,"
        " but are in no split: %s", len(diverged), len(rows), listed(diverged),
    )  # fmt: skip
  if inputs.outputs is None:
    logging.warning(
        "%s has no %s: nothing was compared with what the models themselves"
        " answer, see docs/your_networks.md", inputs.name, OUTPUTS,
    )  # fmt: skip
  return Scanned(shapes, digests, np.array(finite))


def _verify_with(inputs, i, net_id):
  if inputs.outputs is None or i >= len(inputs.outputs):
    return None
  read, lengths = (array[0] for array in inputs.of(np.array([net_id])))
  steps = lengths.min()  # what comes after padding is not compared
  return read[:, :steps], inputs.outputs[i][:, :steps]


def _check_alike(rows, shapes, first):
  """The newest of the shapes beside those of the same network and of all."""
  row, shape = rows[len(shapes) - 1], shapes[-1]
  if shape != shapes[first]:
    raise UserError(
        f"{row.where} and {rows[first].where} are snapshots of one network, but"
        f" have the shapes {shape} and {shapes[first]}"
    )
  sizes = [(s.inputs, s.outputs) for s in (shape, shapes[0])]
  if sizes[0] != sizes[1]:
    raise UserError(
        f"{row.where} has {sizes[0][0]} inputs and {sizes[0][1]} outputs, but"
        f" {rows[0].where} has {sizes[1][0]} and {sizes[1][1]}; all networks of"
        " a zoo read and answer the same"
    )


def _check_reads(row, shape, inputs):
  """Whether networks of that shape can read the inputs and answer."""
  if shape.outputs < 2:
    raise UserError(
        f"{row.where} has one output; networks must have one for each class"
        " that they choose from, at least two, because their answers are"
        " compared as distributions (of two classes, the logits 0 and x say"
        " the same as a sigmoid of x)"
    )
  array, size = inputs.inputs, shape.inputs
  if inputs.kind == "real" and array.shape[-1] != size:
    raise UserError(
        f"{inputs.name}: inputs have shape {list(array.shape)}, so their last"
        f" axis is {array.shape[-1]}, but {row.where} has {size} inputs"
    )
  if inputs.kind == "token":
    every, lengths = inputs.inputs, inputs.lengths
    if inputs.each is not None and lengths.ndim == 1:
      lengths = lengths[None]
    there = np.arange(inputs.shape[1]) < lengths[..., None]
    most = np.max(every, initial=0, where=there)
    if most >= size:
      raise UserError(
          f"{inputs.name}: tokens go up to {most}, but {row.where} reads"
          f" tokens 0 to {size - 1}"
      )
