"""Non-interactive probing (section 4.2): the same probes for every network.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:noninteractive
"""

import jax
import jax.numpy as jnp

from weightspace.encoders import Encoder, Inputs, _interrogation
from weightspace.rnn import RNN

Config = _interrogation.Config


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An interrogation whose probes are decoded from learned codes.

  One code for each step, of the size of what interactive probing decodes
  from, the core's output; so the two differ in nothing else.

  Raises:
    ValueError: probes start as samples, which depend on answers.
  """
  if config.start == "samples":
    raise ValueError(
        "start='samples' makes probes depend on answers: that is encoder"
        " 'interactive', or 'listening' where nothing is asked"
    )
  return _interrogation.make(
      config,
      rnn,
      inputs,
      init_source=lambda key: jax.random.normal(
          key, (config.length, config.hidden)
      ),
      source=lambda codes, heard, t: jnp.asarray(codes)[t],
  )
