"""The emulator: told a code once, it must speak like the network behind it.

A recurrent network that reads what the network under study read; a linear
projection of the code is added to the embedding of the first input only
(section 4.1), so the code has to hold all that is worth knowing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from weightspace.keys import derive
from weightspace.rnn import RNNSpec, make_rnn, read_directly
from weightspace.types import Linear


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    cell: a module in `weightspace.cells`.
    hidden: units of each layer.
    layers: how many.
  """

  cell: str = "lstm"
  hidden: int = 256
  layers: int = 2


class Emulator(NamedTuple):
  """Functions over a batch; the code of a network may serve many sequences.

  Attributes:
    init: (key) -> params.
    apply: (params, codes [*batch, Z], inputs [T, *batch, I]) -> log-softmax
      of the outputs [T, *batch, V] float32.
    initial_state: (batch shape) -> the state before the first step.
    step: (params, codes [*batch, Z], state, x [*batch, I]) -> (state,
      log-softmax [*batch, V]): one step of `apply`, for those who decide what
      is read next by what was answered.
  """

  init: Callable
  apply: Callable
  initial_state: Callable
  step: Callable


def make(config: Config, *, code: int, inputs: int, outputs: int) -> Emulator:
  """An emulator of networks of those input and output sizes.

  Args:
    config: its own size.
    code: size of a code, Z.
    inputs: size of what the networks read, I.
    outputs: size of what they answer, V.
  """
  rnn = make_rnn(
      RNNSpec(
          config.cell, (config.hidden,) * config.layers, config.hidden, outputs
      )
  )

  def init(key):
    return {
        "embedding": _linear(derive(key, "embedding"), inputs, config.hidden),
        "code": _linear(derive(key, "code"), code, config.hidden),
        "rnn": rnn.init(derive(key, "rnn")),
    }

  def apply(params, codes, inputs):
    told = jnp.zeros((*inputs.shape[:-1], code)).at[0].set(codes)
    xs = jnp.concatenate([inputs, told], axis=-1)
    embedding = jnp.concatenate([params["embedding"], params["code"]]).T
    layers = read_directly(
        params["rnn"].layers, Linear(embedding, jnp.zeros(config.hidden))
    )
    weights = params["rnn"]._replace(layers=layers)
    return jax.nn.log_softmax(rnn.unroll(weights, xs))

  def initial_state(batch=()):
    return jnp.bool_(True), rnn.initial_state(batch)

  def step(params, codes, state, x):
    first, state = state
    told = jnp.where(first, codes @ params["code"], 0.0)
    state, logits = rnn.step(
        params["rnn"], state, x @ params["embedding"] + told
    )
    return (jnp.bool_(False), state), jax.nn.log_softmax(logits)

  return Emulator(init, apply, initial_state, step)


def _linear(key, rows, columns):
  """LeCun's initialisation of a matrix; the layer above has the bias."""
  return jax.random.normal(key, (rows, columns)) * jnp.float32(rows) ** -0.5
