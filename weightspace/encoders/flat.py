"""Flattened weights: all of them, in one vector, read by an MLP.

Nothing in it knows that hidden units can be reordered; training shows it, by
augmentation with the symmetry group.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from weightspace import fields
from weightspace.encoders import Encoder, Inputs, _modules
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    hidden: units of each hidden layer of the MLP.
    layers: how many of them.
    code: size of the code, Z.
  """

  hidden: int = 128
  layers: int = 3
  code: int = 16

  def __post_init__(self):
    fields.check_integers(self, "hidden", "layers", "code")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An MLP of the vector that `rnn.flatten` makes."""
  del inputs  # the weights are read, the network is never run
  mlp = _modules.MLP((config.hidden,) * config.layers + (config.code,))
  return Encoder(
      init=lambda key: mlp.init(key, jnp.zeros(rnn.size, jnp.float32)),
      apply=lambda params, weights, key=None: _modules.unit(
          mlp.apply(params, rnn.flatten(weights))
      ),
      invariant=False,
  )
