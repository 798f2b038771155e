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

from weightspace import cells
from weightspace.encoders import (
    Encoder,
    Inputs,
    Transcript,
    _equivariant,
    _modules,
)
from weightspace.keys import derive
from weightspace.rnn import OUTPUT, RNN


@dataclass(frozen=True)
class Config:
  """Sizes.

  Attributes:
    channels: of each tensor and parity.
    layers: equivariant ones.
    hidden: units of the hidden layer of the MLP that writes the code.
    basis: "paper" or "maximal"; see `_equivariant`.
    symmetry: "permutation" or "signed"; see there.
    parallel: sequences that the network is run on, M.
    length: steps of each, L.
    low: smallest value of a real probe.
    high: largest value of a real probe.
    code: size of the code, Z.
  """

  channels: int = 48
  layers: int = 4
  hidden: int = 128
  basis: str = "paper"
  symmetry: str = "permutation"
  parallel: int = 4
  length: int = 12
  low: float = -3.0
  high: float = 3.0
  code: int = 16

  def __post_init__(self):
    _modules.check_sizes(
        self, "channels", "layers", "hidden", "parallel", "length", "code"
    )
    _modules.check_choice("basis", self.basis, _equivariant.BASES)
    _modules.check_choice("symmetry", self.symmetry, _equivariant.SYMMETRIES)
    _modules.check_limits(self)


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Probes, activations, fields of weights and activations, DWSNet."""
  cell = cells.load(rnn.spec.cell)
  signed = config.symmetry == "signed"
  network = _equivariant.Network(
      config.channels, config.layers, config.hidden, config.basis, config.code
  )
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
    found = _equivariant.fields(rnn, weights, signed=signed)
    transcript, states = run(logits, weights)
    odd = signed and bool(cell.odd_gates)
    parity = _equivariant.ODD if odd else _equivariant.EVEN
    answers = jax.nn.softmax(transcript.answers)
    carried = {((OUTPUT, _equivariant.EVEN),): answers}
    for i, states_of_layer in enumerate(states):
      carried[((f"h{i}", parity),)] = states_of_layer
    for key, values in carried.items():
      channels = jnp.moveaxis(values, -1, 0).reshape(values.shape[-1], -1)
      own = [found[key]] if key in found else []
      found[key] = jnp.concatenate([*own, channels], axis=-1)
    return found

  def init(key):
    logits = jax.random.normal(derive(key, "probes"), shape)
    blank = rnn.unflatten(jnp.zeros(rnn.size))
    return {
        "probes": logits,
        "network": network.init(derive(key, "network"), read(logits, blank)),
    }

  def apply(params, weights, key=None):
    del key
    found = read(jnp.asarray(params["probes"]), weights)
    return _modules.unit(network.apply(params["network"], found))

  return Encoder(
      init=init,
      apply=apply,
      invariant=signed,
      transcript=lambda params, weights: run(
          jnp.asarray(params["probes"]), weights
      )[0],
  )
