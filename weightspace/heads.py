"""Heads: from a code to a property."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from weightspace.properties import Property, Scope


@dataclass(frozen=True)
class Config:
  """Sizes of a head.

  Attributes:
    hidden: units of each hidden layer.
    layers: how many hidden layers; 0 is a linear head.
  """

  hidden: int = 128
  layers: int = 2


class Head(NamedTuple):
  """Functions over codes.

  Attributes:
    init: (key) -> params.
    apply: (params, codes [..., Z]) -> outputs [..., *shape of the property].
    loss: (outputs [..., *shape], targets [..., n]) -> [...]: cross-entropy or
      squared error, summed over the n.
  """

  init: Callable
  apply: Callable
  loss: Callable


class _MLP(nn.Module):
  config: Config
  outputs: int

  @nn.compact
  def __call__(self, x):
    for _ in range(self.config.layers):
      x = nn.relu(nn.Dense(self.config.hidden)(x))
    return nn.Dense(self.outputs)(x)


def make(
    config: Config, property_: Property, scope: Scope, code: int
) -> Head:
  """A head that predicts a property from codes of size `code`."""
  shape = property_.shape(scope)
  size = 1
  for n in shape:
    size *= n
  mlp = _MLP(config, size)

  def apply(params, codes):
    return mlp.apply(params, codes).reshape(*codes.shape[:-1], *shape)

  def loss(outputs, targets):
    if property_.kind == "classification":
      each = optax.softmax_cross_entropy(
          outputs, jax.nn.one_hot(targets, shape[-1])
      )
    else:
      each = (outputs - targets) ** 2
    return jnp.sum(each, axis=-1)

  return Head(lambda key: mlp.init(key, jnp.zeros(code)), apply, loss)
