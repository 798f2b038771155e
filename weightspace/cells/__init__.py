"""The Cell contract. Each public module here exports one `CELL`.

A cell is the *pointwise* part of a recurrent layer: the computation after its
two matrix products. The products are in `weightspace.recurrence`, which hoists
them out of the time loop in the forward and the backward pass, for every cell.
The forward pass saves the states and gates of each step only, since the
derivatives of the gates are functions of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from weightspace import plugins


class Cell(NamedTuple):
  """One kind of recurrent layer, in torch's parametrisation.

  With `u = wx x + bx` and `v = wh h + bh`, both `[..., G, H]`, a step is
  `state = update(state, activate(combine(u, v)))`, and the layer's output is
  `output(state)`. All functions are elementwise over hidden units and batch.

  Attributes:
    gates: rows of weights per hidden unit, G.
    odd_gates: indices, in torch's order, of the gates whose pre-activation
      changes sign with the unit. A step must satisfy
      `step(s * state, s_g * u, s_g * v) = s * step(state, u, v)` for
      s in {-1, 1}^H and s_g equal to s at odd gates and to 1 at the others.
    initial_state: (shape `[..., H]`, dtype) -> state of zeros.
    output: (state) -> h `[..., H]`.
    combine: (u, v) -> pre-activations `[..., S, H]`; linear. Most cells add u
      and v, so that S = G; a cell that treats them separately needs S > G.
    activate: (pre-activations) -> gates `[..., S, H]`; elementwise.
    slope: (gates) -> the derivative of `activate`, from its result.
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
    """The next state, given the projections u and v `[..., G, H]`."""
    return self.update(state, self.activate(self.combine(u, v)))


def load(name: str) -> Cell:
  """Loads a cell by name.

  Raises:
    ValueError: there is no such cell; the message suggests the nearest name.
  """
  return plugins.load(__name__, name).CELL


def names() -> tuple[str, ...]:
  """The names of all cells."""
  return plugins.names(__name__)


def split_gates(a: jax.Array) -> list[jax.Array]:
  """Splits `a` `[..., S, H]` into S arrays `[..., H]`.

  `lax.split` transposes to one concatenation; S slices would transpose to S
  paddings and a sum.
  """
  *batch, slots, hidden = a.shape
  flat = a.reshape(*batch, slots * hidden)
  return jax.lax.split(flat, (hidden,) * slots, axis=len(batch))
