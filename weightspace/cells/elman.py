"""Elman's simple recurrent network, as `torch.nn.RNN` (tanh) computes it."""

import jax.numpy as jnp

from weightspace.cells import Cell, split_gates


def _update(h, u, v):
  del h  # an Elman unit remembers through its recurrent weights alone
  (a,) = split_gates(u + v)
  return jnp.tanh(a)


CELL = Cell(
    gates=1,
    odd_gates=(0,),
    initial_state=jnp.zeros,
    output=lambda h: h,
    update=_update,
)
