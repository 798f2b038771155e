"""Watching: the network runs on real inputs, fixed ones, and an MLP reads it.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:watching,small,tiled_mnist

Not in the paper. The M inputs are drawn from what the zoo's training networks
read, and never change: no gradient passes through the network, so each network
runs once, before training. It is to networks that do not generate what
`listening` is to those that do.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace.encoders import Encoder, Inputs, Transcript, _modules
from weightspace.keys import derive
from weightspace.rnn import RNN


@dataclass(frozen=True)
class Config:
  """Sizes.

  Attributes:
    parallel: sequences that the network is run on, M.
    length: steps of each, L; 0 for the length of the zoo's sequences.
    every: answers are read at each so many steps, and at the last.
    hidden: units of each hidden layer of what reads them.
    layers: hidden layers; 0 reads by a linear map alone.
    noise: standard deviation of what is added to the features in training, so
      that the reader can learn no network by heart.
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
    _modules.check_sizes(self, "parallel", "every", "hidden", "code")
    for name in ("length", "layers", "noise"):
      if getattr(self, name) < 0:
        raise ValueError(
            f"{name} must not be negative, got {getattr(self, name)}"
        )


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Fixed inputs, the network's answers, an MLP of these.

  Raises:
    ValueError: no length is known.
  """
  length = config.length or inputs.length
  if not length:
    raise ValueError("length=0, and the family of tasks names none either")
  shape = (length, config.parallel, rnn.spec.inputs)
  times = jnp.arange(length - 1, -1, -config.every)[::-1]
  reader = _modules.MLP((config.hidden,) * config.layers + (config.code,))

  def init(key):
    fixed = jax.random.normal(derive(key, "inputs"), shape)
    token = inputs.kind == "token"
    fixed = jax.nn.softmax(4 * fixed) if token else jnp.tanh(fixed)
    size = len(times) * config.parallel * rnn.spec.outputs
    return {
        "fixed": fixed,
        "reader": reader.init(derive(key, "reader"), jnp.zeros(size)),
    }

  def start_from(params, examples):
    """Real inputs: the first M of `examples`, [n, T, I]."""
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
      noise = jax.random.normal(key, features.shape)
      features = features + config.noise * noise
    return _modules.unit(reader.apply(params["reader"], features))

  return Encoder(
      init=init,
      apply=lambda params, weights, key=None: read(
          params, observe(params, weights), key
      ),
      invariant=True,
      transcript=run,
      start_from=start_from,
      observe=observe,
      read=read,
  )
