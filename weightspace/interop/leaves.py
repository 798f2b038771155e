"""Comparison of a network's weights with its architecture."""

from typing import Any

import jax

from weightspace.errors import UserError
from weightspace.interop import tensors
from weightspace.rnn import RNN
from weightspace.types import Weights


def checked(
    rnn: RNN, weights: Any, *, batch: tuple[int, ...] = ()
) -> Weights:
  """Copies weights to float32 NumPy arrays of the architecture's shapes.

  Args:
    rnn: the architecture.
    weights: floating-point arrays that float32 represents exactly.
    batch: leading axes of every leaf; by default none, for one network.

  Raises:
    ValueError: the number of layers, a shape or a dtype differs; the message
      names the leaf.
  """
  spec = rnn.spec
  described = (
      f"{spec.cell} of {', '.join(map(str, spec.hidden))} units with"
      f" {spec.inputs} inputs and {spec.outputs} outputs"
  )
  structure = jax.tree.structure(rnn.shapes, is_leaf=_is_shape)
  if jax.tree.structure(weights) != structure:
    raise UserError(
        f"expected the weights of a network, {described}, got"
        f" {len(getattr(weights, 'layers', ()))} layers in a"
        f" {type(weights).__name__}"
    )
  shapes = jax.tree.leaves(rnn.shapes, is_leaf=_is_shape)
  result = []
  for (name, leaf), shape in zip(tensors.named(weights).items(), shapes):
    array = tensors.float32(name, leaf)
    if array.shape != (*batch, *shape):
      one = len(array.shape) == len(shape) + 1 and not batch
      hint = "; it looks like a batch: take one network of it" * (
          one and array.shape[1:] == shape
      )
      raise UserError(
          f"{name} has shape {array.shape[len(batch):]}, expected {shape} of"
          f" {described}{hint}"
      )
    result.append(array)
  return jax.tree.unflatten(structure, result)


def _is_shape(x):
  return type(x) is tuple and not any(isinstance(item, tuple) for item in x)
