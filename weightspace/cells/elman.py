"""Elman's simple recurrent network, equal to `torch.nn.RNN` with tanh."""

import jax.numpy as jnp

from weightspace.cells import Cell


def _update(h, gates):
  del h  # the gates already depend on it through the recurrent weights
  return gates.squeeze(-2)


CELL = Cell(
    gates=1,
    odd_gates=(0,),
    initial_state=jnp.zeros,
    output=lambda h: h,
    combine=jnp.add,
    activate=jnp.tanh,
    slope=lambda gates: 1 - gates**2,
    update=_update,
)
