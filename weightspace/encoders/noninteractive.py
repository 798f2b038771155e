"""Non-interactive probing (section 4.2): the same probes for every network.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:noninteractive
"""

import jax
import jax.numpy as jnp

from weightspace.encoders import Encoder, _interrogation
from weightspace.rnn import RNN

Config = _interrogation.Config


def make(config: Config, rnn: RNN, kind: str) -> Encoder:
  """An interrogation whose probes are decoded from learned codes.

  One code for each step, of the size of what interactive probing decodes
  from, the core's output; so the two differ in nothing else.

  Raises:
    ValueError: `echo` is not 0, which makes probes depend on answers.
  """
  if config.echo:
    raise ValueError(
        f"echo={config.echo} makes probes depend on answers: that is encoder"
        " 'interactive'"
    )

  def init_source(key):
    return jax.random.normal(key, (config.length, config.hidden))

  return _interrogation.make(
      config,
      rnn,
      kind,
      init_source=init_source,
      source=lambda codes, heard, t: jnp.asarray(codes)[t],
  )
