"""Deep weight-space network: layers equivariant to the symmetry of an RNN.

After Navon et al. (2023) and Zhou et al. (2023), for recurrent networks: a
weight matrix is a tensor with a channel for each gate and an axis for each set
of units it connects. Reordering hidden units reorders the tensors along the
axes of that name, and a layer commutes with that, whatever the cell, the depth
and the widths: it is built from the names of the axes alone.

See `weightspace.encoders._equivariant` for the layers and their two bases.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from weightspace.encoders import Encoder, Inputs, _equivariant, _modules
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    channels: of each tensor and parity.
    layers: equivariant ones.
    hidden: units of the hidden layer of the MLP that writes the code.
    basis: "paper" or "maximal"; see `_equivariant`.
    symmetry: "permutation" or "signed"; see there.
    code: size of the code, Z.
  """

  channels: int = 48
  layers: int = 4
  hidden: int = 128
  basis: str = "paper"
  symmetry: str = "permutation"
  code: int = 16

  def __post_init__(self):
    _modules.check_sizes(self, "channels", "layers", "hidden", "code")
    _modules.check_choice("basis", self.basis, _equivariant.BASES)
    _modules.check_choice("symmetry", self.symmetry, _equivariant.SYMMETRIES)


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Fields, equivariant layers, means, MLP."""
  del inputs  # the weights are read, the network is never run
  network = _equivariant.Network(
      config.channels, config.layers, config.hidden, config.basis, config.code
  )
  signed = config.symmetry == "signed"

  def read(weights):
    return _equivariant.fields(rnn, weights, signed=signed)

  return Encoder(
      init=lambda key: network.init(
          key, read(rnn.unflatten(jnp.zeros(rnn.size)))
      ),
      apply=lambda params, weights, key=None: _modules.unit(
          network.apply(params, read(weights))
      ),
      invariant=signed,
  )
