"""The emulator: given a code, it predicts the outputs of the network behind it.

A recurrent network that reads what the network under study read; a linear
projection of the code is added to the embedding of its inputs: of the first
one only (section 4.1), or of all. Given the code at every step, it learns to
count in a third of the steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from weightspace import cells, fields
from weightspace.keys import derive
from weightspace.rnn import RNNSpec, fold_embedding, make_rnn
from weightspace.types import Linear

CONDITIONING = ("first", "every")


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    cell: a module in `weightspace.cells`.
    hidden: units of each layer.
    layers: how many.
    conditioning: the steps at which it is given the code: "first", the
      paper's, or "every".
  """

  cell: str = "lstm"
  hidden: int = 256
  layers: int = 2
  conditioning: str = "first"

  def __post_init__(self):
    cells.load(self.cell)
    fields.check_integers(self, "hidden", "layers")
    fields.check_choice("conditioning", self.conditioning, CONDITIONING)


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
    given = jnp.broadcast_to(codes, (*inputs.shape[:-1], code))
    if config.conditioning == "first":
      given = given.at[1:].set(0.0)
    xs = jnp.concatenate([inputs, given], axis=-1)
    embedding = jnp.concatenate([params["embedding"], params["code"]]).T
    layers = fold_embedding(
        params["rnn"].layers,
        Linear(embedding, jnp.zeros(config.hidden, jnp.float32)),
    )
    weights = params["rnn"]._replace(layers=layers)
    return jax.nn.log_softmax(rnn.unroll(weights, xs))

  def initial_state(batch=()):
    return jnp.bool_(True), rnn.initial_state(batch)

  def step(params, codes, state, x):
    first, state = state
    given = codes @ params["code"]
    if config.conditioning == "first":
      given = jnp.where(first, given, 0.0)
    state, logits = rnn.step(
        params["rnn"], state, x @ params["embedding"] + given
    )
    return (jnp.bool_(False), state), jax.nn.log_softmax(logits)

  return Emulator(init, apply, initial_state, step)


def _linear(key, rows, columns):
  """LeCun's initialisation of a matrix; the layer above has the bias."""
  scale = jnp.float32(rows) ** -0.5
  return jax.random.normal(key, (rows, columns), jnp.float32) * scale
