"""Gated recurrent unit, equal to `torch.nn.GRU`."""

import jax
import jax.numpy as jnp

from weightspace.cells import Cell, split_gates


def _combine(u, v):
  # In gate n, r multiplies v only, so u and v stay separate
  return jnp.concatenate(
      [u[..., :2, :] + v[..., :2, :], u[..., 2:, :], v[..., 2:, :]], axis=-2
  )


def _activate(a):
  return jnp.concatenate(
      [jax.nn.sigmoid(a[..., :2, :]), a[..., 2:, :]], axis=-2
  )


def _slope(gates):
  r_and_z = gates[..., :2, :]
  return jnp.concatenate(
      [r_and_z * (1 - r_and_z), jnp.ones_like(gates[..., 2:, :])], axis=-2
  )


def _update(h, gates):
  r, z, u_n, v_n = split_gates(gates)
  n = jnp.tanh(u_n + r * v_n)
  return n + z * (h - n)


CELL = Cell(
    gates=3,  # r, z, n
    odd_gates=(2,),
    initial_state=jnp.zeros,
    output=lambda h: h,
    combine=_combine,
    activate=_activate,
    slope=_slope,
    update=_update,
)
