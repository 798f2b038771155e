"""Layers equivariant to the symmetry of an RNN, built from names of axes.

A layer is linear, then a nonlinearity. Its linear part adds to each tensor
what the others show, pooled over the axes they do not share. That
goes by way of the axes: everything pooled down to an axis is gathered there,
mixed by one matrix and handed on to every tensor that has it. So the work
grows with the number of tensors, not with that of their pairs.

Two bases:

  paper    a matrix gives its own entries, its means over rows, over columns
           and over both; and receives the same.
  maximal  a matrix whose axes are the same, hidden to hidden, gives its
           transpose and its diagonal too, and receives on the diagonal apart.
           These are all 15 equivariant linear maps of an n x n matrix to
           another (Maron et al., 2019), and so for every pair of tensors.

Signs (`symmetry="signed"`). A change of sign of hidden units multiplies a
tensor, along each hidden axis, by the signs or by nothing: its parity there is
odd or even. Channels are kept apart by parity, one parity for each axis, and
are equivariant if every operation keeps parities right:

  - linear maps join equal parities only, and never pool over an odd axis,
    since what is invariant there and linear is 0;
  - pooling over an odd axis is a product with an odd vector of that axis,
    `mean_j x[i, j] v[j]`: twice odd is even;
  - odd channels are multiplied by gates made of absolute values, and even
    channels receive absolute values of the odd ones at the same place.

Together they see more than absolute values of the weights would: whether two
paths through the network agree in sign.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace import fields
from weightspace.encoders import _modules
from weightspace.encoders._fields import (
  EVEN,
  ODD,
  Fields,
  all_even,
  is_even,
  is_hidden,
  is_square,
  pool,
  receivers,
)

BASES = ("paper", "maximal")
SYMMETRIES = ("permutation", "signed")


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    channels: of each tensor and parity.
    layers: equivariant ones.
    hidden: units of the hidden layer of the MLP that writes the code.
    basis: one of `BASES`.
    symmetry: one of `SYMMETRIES`.
    code: size of the code, Z.
  """

  channels: int = 48
  layers: int = 4
  hidden: int = 128
  basis: str = "paper"
  symmetry: str = "permutation"
  code: int = 16

  def __post_init__(self):
    fields.check_integers(self, "channels", "layers", "hidden", "code")
    fields.check_choice("basis", self.basis, BASES)
    fields.check_choice("symmetry", self.symmetry, SYMMETRIES)

  @property
  def signed(self) -> bool:
    """Whether the code is invariant to changes of sign too."""
    return self.symmetry == "signed"


class Lift(nn.Module):
  """Channels of the weights -> channels of the layers.

  Input and output units are no symmetry: what unit j of them is connected
  with is multiplied by a learned embedding of j, which tells it from others
  and keeps parities as they are. A tensor whose channels are all odd somewhere
  gets even ones, made of absolute values.
  """

  channels: int

  @nn.compact
  def __call__(self, fields: Fields) -> Fields:
    lifted = {}
    for key, x in fields.items():
      y = nn.Dense(self.channels, use_bias=False)(x)
      for place, (name, _) in enumerate(key):
        if not is_hidden(name):
          embedding = self.param(
              f"{name}_{len(lifted)}",
              nn.initializers.normal(1.0),
              (x.shape[place], self.channels),
          )
          shape = [1] * y.ndim
          shape[place], shape[-1] = embedding.shape
          y = y * (1 + embedding.reshape(shape))
      lifted[key] = y
    for key in fields:
      even = tuple((name, EVEN) for name, _ in key)
      if even not in lifted:
        lifted[even] = _absolute(lifted, even, self.channels)
    return lifted


class Layer(nn.Module):
  """An equivariant layer; fields keep their keys and get `channels`."""

  channels: int
  basis: str

  @nn.compact
  def __call__(self, fields: Fields) -> Fields:
    linear = jax.lax.optimization_barrier(self._linear(fields))
    out = {key: self._activate(key, linear) for key in fields}
    return jax.lax.optimization_barrier(out)

  def _linear(self, fields):
    """Fields after the linear part of the layer."""
    maximal = self.basis == "maximal"
    pools, scalars = pool(fields, maximal)
    self._contract(fields, pools)
    received = {}
    for axis, consumers in receivers(fields, maximal).items():
      if axis in pools:
        x = jnp.concatenate(pools[axis], axis=-1)
        dense = nn.Dense(len(consumers) * self.channels, use_bias=False)
        parts = jnp.split(dense(x), len(consumers), axis=-1)
        received |= dict(zip(consumers, parts))
    even = [key for key in fields if all_even(key)]
    diagonal = [
        key for key in fields if maximal and is_square(key) and is_even(key)
    ]
    parts = nn.Dense((len(even) + len(diagonal)) * self.channels)(
        jnp.concatenate(scalars)
    )
    parts = jnp.split(parts, len(even) + len(diagonal))
    scalar = dict(zip(even, parts))
    on_diagonal = dict(zip(diagonal, parts[len(even) :]))
    return {
        key: self._receive(
            key, x, received, scalar.get(key), on_diagonal.get(key)
        )
        for key, x in fields.items()
    }

  def _receive(self, key, x, received, scalar, on_diagonal):
    """What the field `key` is after the linear part."""
    y = 0.0 if scalar is None else jax.lax.broadcast_to_rank(scalar, x.ndim)
    if len(key) == 1:
      return y + received[key, "own"]
    own = [x]
    if self.basis == "maximal" and key == key[::-1]:
      own.append(x.swapaxes(0, 1))
    y += nn.Dense(self.channels, use_bias=False)(jnp.concatenate(own, -1))
    if (key, "rows") in received:
      y += received[key, "rows"][:, None]
    if (key, "columns") in received:
      y += received[key, "columns"][None]
    if (key, "diagonal") in received:
      diagonal = received[key, "diagonal"]
      if on_diagonal is not None:
        diagonal += on_diagonal[None]
      y += jnp.eye(x.shape[0], dtype=jnp.float32)[..., None] * diagonal[None]
    return y

  def _contract(self, fields, pools):
    """Pools matrices over odd axes, by products with odd vectors of these."""
    vectors = {}
    for axis, parts in list(pools.items()):
      if axis[1] == ODD:
        x = jnp.concatenate(parts, axis=-1)
        vectors[axis] = nn.Dense(self.channels, use_bias=False)(x)
    for key, x in fields.items():
      if len(key) == 2:
        for kept, pooled in (0, 1), (1, 0):
          if key[pooled] in vectors:
            v = jnp.expand_dims(vectors[key[pooled]], kept)
            pools.setdefault(key[kept], []).append(jnp.mean(x * v, pooled))

  def _activate(self, key, fields):
    x = fields[key]
    if not all_even(key):
      return x * nn.sigmoid(nn.Dense(self.channels)(jnp.abs(x)))
    return nn.relu(x + _absolute(fields, key, self.channels))


def _absolute(fields, even, channels):
  """Even channels made of absolute values of all fields on the same axes.

  Called inside a module; 0 where there are no odd fields.
  """
  names = [name for name, _ in even]
  odd = [
      jnp.abs(x)
      for key, x in fields.items()
      if key != even and [name for name, _ in key] == names
  ]
  if not odd:
    return 0.0
  return nn.Dense(channels, use_bias=False)(jnp.concatenate(odd, axis=-1))


class Network(nn.Module):
  """Fields -> code: equivariant layers, means of what is even, an MLP."""

  config: Config

  @nn.compact
  def __call__(self, fields: Fields) -> jax.Array:
    config = self.config
    fields = Lift(config.channels)(fields)
    for _ in range(config.layers):
      fields = Layer(config.channels, config.basis)(fields)
    even = {key: x for key, x in fields.items() if all_even(key)}
    _, means = pool(even, config.basis == "maximal")
    return _modules.MLP((config.hidden, config.code))(jnp.concatenate(means))
