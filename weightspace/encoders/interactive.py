"""Interactive probing (section 4.2): probes depend on all earlier outputs.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive
"""

from dataclasses import dataclass

from weightspace import fields
from weightspace.encoders import Encoder, Inputs, _interrogation
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config(_interrogation.Config):
  """The fields of an interrogation, and one more; the paper's by default.

  Attributes:
    step_codes: whether to add a learned vector for each step to the core's
      output. This makes the encoder at least as expressive as non-interactive
      probing.
  """

  step_codes: bool = False

  def __post_init__(self):
    super().__post_init__()
    fields.check_bools(self, "step_codes")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An interrogation whose probes are decoded from the core's output.

  Raises:
    ValueError: `start` is "samples" and the networks are not autoregressive.
  """
  queries = _interrogation.FEEDBACK
  if config.step_codes:
    queries = _interrogation.step_queries(config, feedback=True)
  return _interrogation.make(config, rnn, inputs, queries)
