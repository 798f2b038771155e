"""Watching: a code from the network's outputs on fixed real inputs.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:watching,small,tiled_mnist

Not in the paper. The M inputs are drawn from those of the zoo's training
networks and are not trained. No gradient passes through the network, so each
network runs once, before training. It is the counterpart of `listening` for
networks that are not autoregressive.
"""

from dataclasses import dataclass

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
    parallel: number of input sequences, M.
    length: steps of each sequence, L; 0 for the length of the zoo's.
    every: stride over time of the outputs that are read; the last output is
      always read.
    hidden: units of each hidden layer of the reader.
    layers: hidden layers of the reader; 0 for a linear map.
    noise: standard deviation of Gaussian noise on the features in training, as
      regularisation.
    code: size of the code, Z.
  """

  parallel: int = 64
  length: int = 0
  every: int = 4
  hidden: int = 256
  layers: int = 0
  noise: float = 0.3
  code: int = 16

  def __post_init__(self):
    fields.check_integers(self, "parallel", "every", "hidden", "code")
    fields.check_integers(self, "length", "layers", least=0)
    fields.check_numbers(self, "noise", least=0)


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """An MLP of the network's outputs on fixed inputs.

  The features are square roots of output probabilities, whose Euclidean
  distance is Hellinger's.

  Raises:
    ValueError: neither `config` nor `inputs` gives a length.
  """
  length = _modules.sequence_length(config, inputs)
  shape = (length, config.parallel, rnn.spec.inputs)
  times = jnp.arange(length - 1, -1, -config.every, dtype=jnp.int32)[::-1]
  reader = _modules.MLP((config.hidden,) * config.layers + (config.code,))

  def init(key):
    fixed = jax.random.normal(derive(key, "inputs"), shape, jnp.float32)
    token = inputs.kind == "token"
    fixed = jax.nn.softmax(4 * fixed) if token else jnp.tanh(fixed)
    size = len(times) * config.parallel * rnn.spec.outputs
    return {
        "fixed": fixed,
        "reader": reader.init(
            derive(key, "reader"), jnp.zeros(size, jnp.float32)
        ),
    }

  def start_from(params, examples):
    """Uses the first M of real `examples` [n, T, I] as inputs."""
    examples = _modules.fit_examples(examples, config.parallel, length)
    return params | {"fixed": examples}

  def run(params, weights):
    fixed = jax.lax.stop_gradient(jnp.asarray(params["fixed"]))
    return Transcript(fixed, rnn.unroll(weights, fixed))

  def observe(params, weights):
    weights = jax.lax.stop_gradient(weights)
    answers = jax.nn.softmax(run(params, weights).answers[times])
    return jnp.sqrt(answers).ravel()

  def read(params, features, key=None):
    if key is not None and config.noise:
      noise = jax.random.normal(key, features.shape, jnp.float32)
      features = features + config.noise * noise
    return _modules.unit(reader.apply(params["reader"], features))

  def apply(params, weights, key=None):
    return read(params, observe(params, weights), key)

  return Encoder(
      init=init,
      apply=apply,
      invariant=True,
      transcript=run,
      start_from=start_from,
      observe=observe,
      read=read,
  )
