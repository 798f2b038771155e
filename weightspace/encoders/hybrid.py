"""Hybrid: an equivariant encoder whose units carry their activations on probes.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:hybrid

Not in the paper. The network runs on M learned sequences of length L, the same
for every network. What each hidden unit and each output then does at each step
joins the unit's biases as further channels, which are reordered, and change
signs, as these do; so DWSNet's layers read structure and function together.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace import cells, fields
from weightspace.encoders import (
  Encoder,
  Inputs,
  Transcript,
  _equivariant,
  _fields,
  _modules,
)
from weightspace.keys import derive
from weightspace.rnn import OUTPUT, RNN


@dataclass(frozen=True)
class Config(_equivariant.Config):
  """Sizes: those of an equivariant network, and of the probes.

  Attributes:
    parallel: sequences that the network is run on, M.
    length: steps of each, L.
    low: smallest value of a real probe.
    high: largest value of a real probe.
  """

  parallel: int = 4
  length: int = 12
  low: float = -3.0
  high: float = 3.0

  def __post_init__(self):
    super().__post_init__()
    fields.check_integers(self, "parallel", "length")
    _modules.check_limits(self)


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Probes, activations, fields of weights and activations, DWSNet."""
  cell = cells.load(rnn.spec.cell)
  network = _equivariant.Network(config)
  shape = (config.length, config.parallel, rnn.spec.inputs)

  def run(logits, weights):
    """Probes, answers [L, M, V], and states of each layer [L, M, H]."""
    probes = _modules.squash(inputs.kind, logits, config.low, config.high)

    def step(state, x):
      state, answer = rnn.step(weights, state, x)
      return state, (answer, tuple(map(cell.output, state)))

    start = rnn.initial_state((config.parallel,))
    _, (answers, states) = jax.lax.scan(step, start, probes)
    return Transcript(probes, answers), states

  def read(logits, weights):
    """Fields of the weights, with activations as further channels."""
    fields = _fields.fields(rnn, weights, signed=config.signed)
    transcript, states = run(logits, weights)
    odd = config.signed and bool(cell.odd_gates)
    parity = _fields.ODD if odd else _fields.EVEN
    answers = jax.nn.softmax(transcript.answers)
    activations = {((OUTPUT, _fields.EVEN),): answers}
    for i, states_of_layer in enumerate(states):
      activations[((f"h{i}", parity),)] = states_of_layer
    for key, values in activations.items():
      channels = jnp.moveaxis(values, -1, 0).reshape(values.shape[-1], -1)
      own = [fields[key]] if key in fields else []
      fields[key] = jnp.concatenate([*own, channels], axis=-1)
    return fields

  def init(key):
    logits = jax.random.normal(derive(key, "probes"), shape, jnp.float32)
    blank = rnn.unflatten(jnp.zeros(rnn.size, jnp.float32))
    return {
        "probes": logits,
        "network": network.init(derive(key, "network"), read(logits, blank)),
    }

  def apply(params, weights, key=None):
    del key
    fields = read(jnp.asarray(params["probes"]), weights)
    return _modules.unit(network.apply(params["network"], fields))

  return Encoder(
      init=init,
      apply=apply,
      invariant=config.signed,
      transcript=lambda params, weights: run(
          jnp.asarray(params["probes"]), weights
      )[0],
  )
