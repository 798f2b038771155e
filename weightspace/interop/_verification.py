"""Comparison of a network with outputs of the model that it was read from."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError
from weightspace.interop import Network, _parts, tensors

TOLERANCE = 1e-4


def first(
    search: _parts.Search,
    build: Callable[[_parts.Parts], Network],
    readout: str | None,
    embedding: str | None,
    *,
    all_named: bool,
    verify_with: Any,
    tolerance: float,
) -> Network:
  """The first reading that can be built and, if these are given, has outputs.

  Args:
    search: the network.
    build: (parts) -> the network of one reading of the model.
    readout: as of `_parts.find`.
    embedding: as of `_parts.find`.
    all_named: as of `_parts.find`.
    verify_with: as of `check`, or None.
    tolerance: as of `check`.

  Raises:
    UserError: there is none; says what is wrong with the first.
  """
  readings = _parts.find(
      search, readout, embedding, all_named=all_named,
      several=verify_with is not None,
  )  # fmt: skip
  errors = []
  for parts in readings:
    try:
      network = build(parts)
      if verify_with is not None:
        check(network, verify_with, tolerance, search.names.verify_with)
      return network
    except UserError as error:
      errors.append(error)
  raise errors[0]


def check(
    network: Network, verify_with: Any, tolerance: float, name: str
) -> None:
  """Compares outputs of the network with those of the user's own model.

  Args:
    network: as it was read.
    verify_with: (inputs, outputs) of the model, from states of zeros. Inputs
      are `[T, N, I]`, `[N, T, I]` or `[T, I]`, or integer tokens of one axis
      less; outputs are those of all steps, in the same layout, or of the last
      step.
    tolerance: the largest difference that is allowed, in units of the largest
      output, or of 1 if that is more.
    name: what messages call the argument.

  Raises:
    ValueError: the outputs differ, and by how much; or the arrays have other
      shapes or dtypes.
  """
  try:
    inputs, outputs = map(tensors.as_numpy, verify_with)
  except (TypeError, ValueError) as error:
    raise UserError(
        f"{name} must be the inputs and outputs of the model: {error}"
    ) from error
  spec = network.rnn.spec
  xs = _read(inputs, spec.inputs, name)
  if not jnp.issubdtype(outputs.dtype, jnp.floating):
    raise UserError(f"{name}: outputs have dtype {outputs.dtype}")
  outputs = outputs.astype(np.float32)
  if not outputs.size or not np.isfinite(outputs).all():
    raise UserError(f"{name}: outputs are not finite numbers")
  unroll = jax.jit(network.rnn.unroll)
  differences = []
  for batch_first in (False, True)[: xs.ndim - 1]:
    steps = np.swapaxes(xs, 0, 1) if batch_first else xs
    if len(steps) < 2:  # one step does not depend on the recurrent weights
      continue
    every = (*steps.shape[:-1], spec.outputs)
    shapes = {every, every[1:]}
    if batch_first:
      shapes = {(every[1], every[0], every[2]), every[1:]}
    if outputs.shape not in shapes:
      continue
    with jax.default_matmul_precision("highest"):
      ys = np.asarray(unroll(network.weights, jnp.asarray(steps)))
    if outputs.shape == every[1:]:
      ys = ys[-1]
    elif batch_first:
      ys = np.swapaxes(ys, 0, 1)
    differences.append(float(np.max(np.abs(ys - outputs))))
  if not differences:
    raise UserError(
        f"{name}: inputs {inputs.shape} and outputs {outputs.shape} do not"
        f" belong together; expected at least two steps of {spec.inputs} inputs"
        f" and, at every step or the last one, {spec.outputs} outputs"
    )
  difference = min(differences)
  limit = tolerance * max(1.0, float(np.max(np.abs(outputs))))
  if not difference <= limit:  # NaN too
    raise UserError(
        f"{name}: outputs of the model and of the network that was read differ"
        f" by {difference:.3g}, at most {limit:.3g} is allowed. The model"
        " computes something that its weights do not show, such as a"
        " nonlinearity, a normalisation or another initial state"
    )


def _read(inputs, size, name):
  """Inputs as float32 `[..., size]`, tokens one-hot."""
  if np.issubdtype(inputs.dtype, np.integer):
    if inputs.ndim not in (1, 2) or not inputs.size:
      raise UserError(
          f"{name}: tokens have shape {inputs.shape}, expected one or two axes"
      )
    if inputs.min() < 0 or inputs.max() >= size:
      raise UserError(
          f"{name}: tokens go from {inputs.min()} to {inputs.max()}, expected 0"
          f" to {size - 1}"
      )
    return np.eye(size, dtype=np.float32)[inputs]
  if not jnp.issubdtype(inputs.dtype, jnp.floating):
    raise UserError(f"{name}: inputs have dtype {inputs.dtype}")
  if inputs.ndim not in (2, 3) or inputs.shape[-1] != size:
    raise UserError(
        f"{name}: inputs have shape {inputs.shape}, expected [steps, {size}] or"
        f" a batch of these, or integer tokens"
    )
  return inputs.astype(np.float32)
