"""Gated recurrent unit, as `torch.nn.GRU` computes it."""

import jax
import jax.numpy as jnp

from weightspace.cells import Cell, split_gates


def _update(h, u, v):
  u_r, u_z, u_n = split_gates(u)
  v_r, v_z, v_n = split_gates(v)
  r = jax.nn.sigmoid(u_r + v_r)
  z = jax.nn.sigmoid(u_z + v_z)
  n = jnp.tanh(u_n + r * v_n)
  return n + z * (h - n)


CELL = Cell(
    gates=3,  # r, z, n
    odd_gates=(2,),
    initial_state=jnp.zeros,
    output=lambda h: h,
    update=_update,
)
