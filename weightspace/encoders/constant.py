"""The constant encoder: the same code for every network, a baseline.

An emulator trained with it learns the average network, and a head the average
property. An encoder is worth its improvement over this baseline.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace import fields
from weightspace.encoders import Encoder, Inputs
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes.

  Attributes:
    code: size of the code, Z.
  """

  code: int = 16

  def __post_init__(self):
    fields.check_integers(self, "code")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An encoder without parameters."""
  del rnn, inputs
  return Encoder(
      init=lambda key: {},
      apply=lambda params, weights, key=None: jax.nn.one_hot(
          0, config.code, dtype=jnp.float32
      ),
      invariant=True,
  )
