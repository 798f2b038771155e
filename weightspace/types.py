"""Types that everything shares, and the glossary of dimensions.

Dimensions, as they are written in shapes throughout:

  N  networks             S  snapshots of one network    R  rows = N x S
  P  parameters of a net  K  rollouts kept of a row      B  examples in a batch
  T  time steps           I  inputs   V  outputs         H  hidden units
  G  gates of a cell      Z  size of a code              M  parallel probes
  L  length of a probe    D  numbers that name a task

`weights` are the network under study, `params` are our own model's.
"""

from typing import Any, NamedTuple

import jax

Key = jax.Array  # a typed PRNG key, `jax.random.key`
Params = Any  # parameters of an encoder, emulator or head: a pytree


class Layer(NamedTuple):
  """Weights of one recurrent layer, torch's, with the gate axis apart.

  The gates are in torch's order, so `wx.reshape(G * H, I)` is torch's
  `weight_ih` and the tree's leaves are in the order of torch's
  `parameters()`.
  """

  wx: Any  # [G, H, I] input -> hidden
  wh: Any  # [G, H, H] hidden -> hidden
  bx: Any  # [G, H]
  bh: Any  # [G, H]


class Linear(NamedTuple):
  """Weights of the read-out."""

  w: Any  # [V, H]
  b: Any  # [V]


class Weights(NamedTuple):
  """Weights of one RNN; its leaves are in torch's `parameters()` order."""

  layers: tuple[Layer, ...]
  readout: Linear
