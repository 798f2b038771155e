"""Shared types, and the glossary of dimensions.

Dimensions in the shapes of all docstrings:

  N  networks             S  snapshots of one network    R  rows = N x S
  P  parameters of a net  K  rollouts of a row           B  examples in a batch
  T  time steps           I  inputs   V  outputs         H  hidden units
  G  gates of a cell      Z  size of a code              M  parallel probes
  L  length of a probe    D  numbers that define a task

`weights` belong to the networks under study, `params` to the models that are
trained on them.
"""

from typing import Any, NamedTuple

import jax

Key = jax.Array  # a typed PRNG key, `jax.random.key`
Params = Any  # parameters of an encoder, emulator or head: a pytree


class Layer(NamedTuple):
  """Weights of one recurrent layer: torch's, with a separate gate axis.

  Gates are in torch's order, so `wx.reshape(G * H, I)` is torch's `weight_ih`,
  and leaves are in the order of torch's `parameters()`.
  """

  wx: Any  # [G, H, I] input -> hidden
  wh: Any  # [G, H, H] hidden -> hidden
  bx: Any  # [G, H]
  bh: Any  # [G, H]


class Linear(NamedTuple):
  """Weights of the linear readout."""

  w: Any  # [V, H]
  b: Any  # [V]


class Weights(NamedTuple):
  """Weights of one RNN; its leaves are in torch's `parameters()` order."""

  layers: tuple[Layer, ...]
  readout: Linear
