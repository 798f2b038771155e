"""The Cell contract. Each public module here exports one `CELL`.

A cell is the *pointwise* part of a recurrent layer: what happens to the hidden
units once the two matrix products are done. The products themselves belong to
`weightspace.rnn`, which can therefore hoist them out of the time loop, in the
forward and in the backward pass, for every cell alike. It stores the states
and the gates of each step, no more: slopes of the gates follow from them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from weightspace import plugins


class Cell(NamedTuple):
  """One kind of recurrent layer, in torch's parametrisation.

  With `u = wx x + bx` and `v = wh h + bh`, both `[..., G, H]`, a step is
  `state = update(state, activate(combine(u, v)))`, and the layer's output is
  `output(state)`. All functions act on each hidden unit and each element of
  the batch by itself.

  Attributes:
    gates: how many rows of weights each hidden unit has, G.
    odd_gates: the gates, by index in torch's order, whose pre-activation
      changes sign together with the unit. A step must satisfy
      `step(s * state, s_g * u, s_g * v) = s * step(state, u, v)` for
      s in {-1, 1}^H and s_g equal to s at odd gates and to 1 at the others.
    initial_state: (shape `[..., H]`, dtype) -> state of zeros.
    output: (state) -> h `[..., H]`.
    combine: (u, v) -> pre-activations `[..., S, H]`; linear. Most cells add;
      one that treats u and v apart needs more slots S than gates G.
    activate: (pre-activations) -> gates `[..., S, H]`; elementwise.
    slope: (gates) -> the derivative of `activate`, told from its result.
    update: (state, gates) -> state.
  """

  gates: int
  odd_gates: tuple[int, ...]
  initial_state: Callable
  output: Callable
  combine: Callable
  activate: Callable
  slope: Callable
  update: Callable

  def step(self, state, u: jax.Array, v: jax.Array):
    """The state after `state`, given the projections u and v `[..., G, H]`."""
    return self.update(state, self.activate(self.combine(u, v)))


def load(name: str) -> Cell:
  """The cell of that name; ValueError names the nearest one there is."""
  return plugins.load(__name__, name).CELL


def names() -> tuple[str, ...]:
  """The names of all cells."""
  return plugins.names(__name__)


def split_gates(a: jax.Array) -> list[jax.Array]:
  """The slots `[..., H]` of `a` `[..., S, H]`.

  `lax.split` rather than indexing: its transpose is one concatenation, that of
  S slices is S paddings and a sum.
  """
  *batch, slots, hidden = a.shape
  flat = a.reshape(*batch, slots * hidden)
  return jax.lax.split(flat, (hidden,) * slots, axis=len(batch))
