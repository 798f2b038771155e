"""Listening: a code from sequences that the network samples, without probes.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:listening

Not in the paper. It needs autoregressive networks. Training samples new
sequences at each step, which prevents overfitting to particular samples;
evaluation uses constant noise. Sequences are read as a set, by sums over time.
No gradient passes through the network, so this is the cheapest encoder that
runs it.
"""

from dataclasses import dataclass

from weightspace import fields
from weightspace.encoders import Encoder, Inputs, _modules, _sums
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes.

  Attributes:
    strings: sequences sampled from a network in training, M.
    eval_strings: sequences in evaluation; more of them reduce the variance of
      the code.
    fresh: whether training samples new sequences at each step.
    length: steps of each sequence, L; 0 for the length of the zoo's.
    hidden: units of each hidden layer of the reader.
    code: size of the code, Z.
  """

  strings: int = 8
  eval_strings: int = 32
  fresh: bool = True
  length: int = 0
  hidden: int = 128
  code: int = 16

  def __post_init__(self):
    fields.check_integers(self, "strings", "eval_strings", "hidden", "code")
    fields.check_integers(self, "length", least=0)
    fields.check_bools(self, "fresh")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An encoder that reads a network's own samples.

  Raises:
    ValueError: the networks are not autoregressive, or neither `config` nor
      `inputs` gives a length.
  """
  _sums.check_generates(rnn, inputs, "encoder 'listening'")
  reader = _sums.make_sample_reader(
      rnn, inputs, config, hidden=config.hidden,
      length=_modules.sequence_length(config, inputs), fresh=config.fresh,
  )  # fmt: skip

  def apply(params, weights, key=None):
    return _modules.unit(reader.apply(params, weights, key))

  return Encoder(
      init=reader.init,
      apply=apply,
      invariant=True,
      transcript=lambda params, weights: reader.transcript(weights, None),
  )
