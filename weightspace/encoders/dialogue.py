"""Dialogue: a code from the network's own samples and from interactive probes.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:dialogue

Not in the paper. The code is the normalised sum of that of `listening` and
that of interactive probing. It measures what probes add to samples.
"""

from dataclasses import dataclass

import jax

from weightspace import fields
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
  """The fields of an interrogation, and those of sampling.

  Attributes:
    start: how probes are initialised; by default as samples of the network.
    strings: sequences sampled from a network in training.
    eval_strings: sequences in evaluation.
  """

  start: str = "samples"
  strings: int = 8
  eval_strings: int = 32

  def __post_init__(self):
    super().__post_init__()
    fields.check_integers(self, "strings", "eval_strings")


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """The sum of a reader of samples and an interrogation.

  Raises:
    ValueError: the networks are not autoregressive.
  """
  _sums.check_generates(rnn, inputs, "encoder 'dialogue'")
  probing = _interrogation.make(config, rnn, inputs)
  reader = _sums.make_sample_reader(
      rnn, inputs, config, hidden=config.reader,
      length=inputs.length or config.length,
  )  # fmt: skip

  def init(key):  # params are saved under these names
    return {
        "asking": probing.init(derive(key, "asking")),
        "reader": reader.init(derive(key, "reader")),
    }

  def apply(params, weights, key=None):
    probe_key, sample_key = (
        (None, None) if key is None else jax.random.split(key)
    )
    return _modules.unit(
        reader.apply(params["reader"], weights, sample_key)
        + probing.apply(params["asking"], weights, probe_key)
    )

  def transcript(params, weights):
    return probing.transcript(params["asking"], weights)

  def start_from(params, examples):
    return params | {"asking": probing.start_from(params["asking"], examples)}

  return Encoder(
      init=init,
      apply=apply,
      invariant=True,
      transcript=transcript,
      start_from=start_from if probing.start_from else None,
  )
