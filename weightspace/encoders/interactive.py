"""Interactive probing (section 4.2): each probe depends on all answers so far.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace.encoders import Encoder, Inputs, _interrogation
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config(_interrogation.Config):
  """As of every interrogation; the defaults are the paper's.

  Attributes:
    step_codes: whether a learned code of each step is added to what probes are
      decoded from. With it, interactive probing can do all that non-interactive
      probing can.
  """

  step_codes: bool = False


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An interrogation whose probes are decoded from the core's output."""
  if not config.step_codes:
    return _interrogation.make(config, rnn, inputs)
  return _interrogation.make(
      config,
      rnn,
      inputs,
      init_source=lambda key: jax.random.normal(
          key, (config.length, config.hidden)
      ),
      source=lambda codes, heard, t: heard + jnp.asarray(codes)[t],
  )
