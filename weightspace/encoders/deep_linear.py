"""Deep linear probes: many short inputs from a linear generator, and no core.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:deep_linear

ProbeGen (Kahana et al., 2024) for recurrent networks. Linear layers without
nonlinearities between them map M learned vectors to M sequences of length L,
and so share structure between probes. An MLP reads all outputs at once.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace import fields
from weightspace.encoders import Encoder, Inputs, Transcript, _modules
from weightspace.keys import derive
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes.

  Attributes:
    probes: number of probe sequences, M.
    length: steps of each sequence, L.
    latent: size of a probe's latent vector.
    width: width of the generator's layers.
    depth: number of linear layers of the generator.
    hidden: units of each of the reader's two hidden layers.
    low: minimum of a real probe.
    high: maximum of a real probe.
    code: size of the code, Z.
  """

  probes: int = 64
  length: int = 12
  latent: int = 32
  width: int = 64
  depth: int = 3
  hidden: int = 256
  low: float = -3.0
  high: float = 3.0
  code: int = 16

  def __post_init__(self):
    fields.check_integers(
        self, "probes", "length", "latent", "width", "depth", "hidden", "code"
    )
    _modules.check_limits(self)


class _Generator(nn.Module):
  """Maps latent vectors `[M, latent]` to logits of probes `[M, outputs]`."""

  config: Config
  outputs: int

  @nn.compact
  def __call__(self, x):
    for _ in range(self.config.depth - 1):
      x = nn.Dense(self.config.width, use_bias=False)(x)
    return nn.Dense(self.outputs)(x)


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An MLP of the network's outputs on generated probes."""
  m, size = config.probes, rnn.spec.inputs
  generator = _Generator(config, config.length * size)
  reader = _modules.MLP((config.hidden, config.hidden, config.code))

  def init(key):
    latent = jax.random.normal(
        derive(key, "latent"), (m, config.latent), jnp.float32
    )
    answers = jnp.zeros(config.length * m * rnn.spec.outputs, jnp.float32)
    return {
        "latent": latent,
        "generator": generator.init(derive(key, "generator"), latent),
        "reader": reader.init(derive(key, "reader"), answers),
    }

  def run(params, weights):
    logits = generator.apply(params["generator"], params["latent"])
    logits = jnp.swapaxes(logits.reshape(m, config.length, size), 0, 1)
    probes = _modules.squash(inputs.kind, logits, config.low, config.high)
    return Transcript(probes, rnn.unroll(weights, probes))

  def apply(params, weights, key=None):
    del key
    answers = jax.nn.softmax(run(params, weights).answers)
    return _modules.unit(reader.apply(params["reader"], answers.ravel()))

  return Encoder(init=init, apply=apply, invariant=True, transcript=run)
