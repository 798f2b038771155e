"""Interactive probing (section 4.2): each probe depends on all answers so far.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive
"""

from weightspace.encoders import Encoder, _interrogation
from weightspace.rnn import RNN

Config = _interrogation.Config


def make(config: Config, rnn: RNN, kind: str) -> Encoder:
  """An interrogation whose probes are decoded from the core's output."""
  return _interrogation.make(
      config,
      rnn,
      kind,
      init_source=lambda key: {},
      source=lambda params, heard, t: heard,
  )
