"""The same code for every network: the baseline that knows nothing.

An emulator trained with it learns the average network; a head, the average
property. What an encoder is worth is how far it gets below them.
"""

from dataclasses import dataclass

import jax

from weightspace.encoders import Encoder, Inputs
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Attributes: code: size of the code, Z."""

  code: int = 16


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An encoder without parameters."""
  del rnn, inputs
  return Encoder(
      init=lambda key: {},
      apply=lambda params, weights, key=None: jax.nn.one_hot(0, config.code),
      invariant=True,
  )
