"""Dialogue: listens to sequences that the network samples, and asks as well.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:dialogue

Not in the paper. The code is the sum of what `listening` reads from samples
and of what an interactive interrogation reads from answers to its own probes,
scaled to length 1. It says what asking adds to listening.
"""

from dataclasses import dataclass

import jax

from weightspace.encoders import (
    Encoder,
    Inputs,
    _interrogation,
    _modules,
    _sums,
)
from weightspace.keys import derive
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config(_interrogation.Config):
  """As of an interrogation, which asks; and of what it listens to.

  Attributes:
    start: what probes start as: by default samples of the network.
    strings: sequences sampled from a network in training.
    eval_strings: outside of training.
  """

  start: str = "samples"
  strings: int = 8
  eval_strings: int = 32

  def __post_init__(self):
    super().__post_init__()
    _modules.check_sizes(self, "strings", "eval_strings")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """A reader of samples beside an interrogation.

  Raises:
    ValueError: the networks generate nothing.
  """
  _sums.check_generates(rnn, inputs, "encoder 'dialogue'")
  asking = _interrogation.make(config, rnn, inputs)
  init_reader, read, _ = _sums.make_sample_reader(
      rnn, inputs, config, hidden=config.reader,
      length=inputs.length or config.length,
  )  # fmt: skip

  def init(key):
    return {
        "asking": asking.init(derive(key, "asking")),
        "reader": init_reader(derive(key, "reader")),
    }

  def apply(params, weights, key=None):
    asked, heard = (None, None) if key is None else jax.random.split(key)
    listened = read(params["reader"], weights, heard)
    return _modules.unit(
        listened + asking.apply(params["asking"], weights, asked)
    )

  start_from = None
  if asking.start_from is not None:

    def start_from(params, examples):
      started = asking.start_from(params["asking"], examples)
      return params | {"asking": started}

  return Encoder(
      init=init,
      apply=apply,
      invariant=True,
      transcript=lambda params, weights: asking.transcript(
          params["asking"], weights
      ),
      start_from=start_from,
  )
