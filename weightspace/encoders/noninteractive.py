"""Non-interactive probing (section 4.2): the same probes for every network.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:noninteractive
"""

from weightspace.encoders import Encoder, Inputs, _interrogation
from weightspace.errors import UserError
from weightspace.rnn import RNN

Config = _interrogation.Config


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An interrogation whose probes are decoded from learned vectors.

  There is one vector for each step, of the size of the core's output, from
  which interactive probing decodes. The two differ in nothing else.

  Raises:
    ValueError: `start` is "samples", which makes probes depend on outputs.
  """
  if config.start == "samples":
    raise UserError(
        "start='samples' makes probes depend on the network: use encoder"
        " 'interactive', or 'listening', which has no probes"
    )
  queries = _interrogation.step_queries(config, feedback=False)
  return _interrogation.make(config, rnn, inputs, queries)
