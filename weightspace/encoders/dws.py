"""Deep weight-space network: layers equivariant to the symmetry of an RNN.

After Navon et al. (2023) and Zhou et al. (2023), for recurrent networks: a
weight matrix is a tensor with a channel for each gate and an axis for each set
of units it connects. Reordering hidden units reorders the tensors along the
axes of that name, and a layer commutes with that, whatever the cell, the depth
and the widths: it is built from the names of the axes alone.

See `weightspace.encoders._equivariant` for the layers and their two bases.
"""

import jax.numpy as jnp

from weightspace.encoders import (
    Encoder,
    Inputs,
    _equivariant,
    _fields,
    _modules,
)
from weightspace.rnn import RNN

Config = _equivariant.Config


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Fields, equivariant layers, means, MLP."""
  del inputs  # the weights are read, the network is never run
  network = _equivariant.Network(config)

  def read(weights):
    return _fields.fields(rnn, weights, signed=config.signed)

  return Encoder(
      init=lambda key: network.init(
          key, read(rnn.unflatten(jnp.zeros(rnn.size, jnp.float32)))
      ),
      apply=lambda params, weights, key=None: _modules.unit(
          network.apply(params, read(weights))
      ),
      invariant=config.signed,
  )
