"""The Cell contract. Each public module here exports one `CELL`.

A cell is the *pointwise* part of a recurrent layer: what happens to the hidden
units once the two matrix products are done. The products themselves belong to
`weightspace.rnn`, which can therefore hoist them out of the time loop, in the
forward and in the backward pass, for every cell alike.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from weightspace import plugins


class Cell(NamedTuple):
  """One kind of recurrent layer, in torch's parametrisation.

  With `u = wx x + bx` and `v = wh h + bh`, both `[..., G, H]`, a step is
  `state = update(state, u, v)`, and the layer's output is `output(state)`.

  Attributes:
    gates: how many rows of weights each hidden unit has, G.
    odd_gates: the gates, by index in torch's order, whose pre-activation
      changes sign together with the unit. `update` must satisfy
      `update(s * state, s_g * u, s_g * v) = s * update(state, u, v)` for
      s in {-1, 1}^H and s_g equal to s at odd gates and to 1 at the others.
    initial_state: (shape `[..., H]`, dtype) -> state of zeros.
    output: (state) -> h `[..., H]`.
    update: (state, u, v) -> state; pointwise over units and batch axes.
  """

  gates: int
  odd_gates: tuple[int, ...]
  initial_state: Callable
  output: Callable
  update: Callable


def load(name: str) -> Cell:
  """The cell of that name; ValueError names the nearest one there is."""
  return plugins.load(__name__, name).CELL


def names() -> tuple[str, ...]:
  """The names of all cells."""
  return plugins.names(__name__)


def split_gates(a: jax.Array) -> list[jax.Array]:
  """The G gates `[..., H]` of `a` `[..., G, H]`.

  `lax.split` rather than indexing: its transpose is one concatenation, that of
  G slices is G paddings and a sum.
  """
  parts = jax.lax.split(a, (1,) * a.shape[-2], axis=a.ndim - 2)
  return [part.squeeze(-2) for part in parts]
