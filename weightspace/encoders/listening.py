"""Listening: the network samples sequences by itself, and nothing is asked.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:listening

Not in the paper. Draws are new at every step of training and fixed outside of
it, so that the reader of the sequences can learn no draw by heart. The
sequences are read as a set, by sums over time. No gradient passes through the
network, which makes this the cheapest encoder that runs it. It takes networks
that generate what they read.
"""

from dataclasses import dataclass

from weightspace.encoders import Encoder, Inputs, _modules, _sums
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes.

  Attributes:
    strings: sequences sampled from a network in training, M.
    eval_strings: outside of training, where more of them make codes steadier.
    fresh: whether draws are new at every step of training.
    length: steps of each, L; 0 for the length of the zoo's sequences.
    hidden: units of each hidden layer of what reads them.
    code: size of the code, Z.
  """

  strings: int = 8
  eval_strings: int = 32
  fresh: bool = True
  length: int = 0
  hidden: int = 128
  code: int = 16

  def __post_init__(self):
    _modules.check_sizes(self, "strings", "eval_strings", "hidden", "code")
    if self.length < 0:
      raise ValueError(f"length must not be negative, got {self.length}")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Samples, sums over time, a set of them, a code.

  Raises:
    ValueError: the networks generate nothing, or no length is known.
  """
  _sums.check_generates(rnn, inputs, "encoder 'listening'")
  length = config.length or inputs.length
  if not length:
    raise ValueError("length=0, and the family of tasks names none either")
  init, read, transcript = _sums.make_sample_reader(
      rnn, inputs, config, hidden=config.hidden, length=length,
      fresh=config.fresh,
  )  # fmt: skip

  return Encoder(
      init=init,
      apply=lambda params, weights, key=None: _modules.unit(
          read(params, weights, key)
      ),
      invariant=True,
      transcript=lambda params, weights: transcript(weights, None),
  )
