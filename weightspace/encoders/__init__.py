"""The Encoder contract: the weights of one network -> a short code.

Each public module here exports a frozen dataclass `Config` and
`make(config, rnn, kind) -> Encoder`. Mechanistic encoders look at the weights;
functionalist ones run the network and look at its answers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from weightspace import plugins
from weightspace.rnn import RNN


class Transcript(NamedTuple):
  """An interrogation: what was asked and what the network answered."""

  probes: jax.Array  # [L, M, I] soft tokens or bounded reals
  answers: jax.Array  # [L, M, V] the network's outputs: logits


class Encoder(NamedTuple):
  """Functions of one network; callers vmap over `weights`.

  Attributes:
    init: (key) -> params.
    apply: (params, weights) -> code [Z] float32 of length 1.
    invariant: a claim that tests check: the symmetry group of the weights
      leaves the code as it is. Where False, training augments with
      `symmetry.augment`.
    transcript: (params, weights) -> `Transcript`; None for encoders that do
      not interrogate.
    at_once: how many networks are best encoded at a time on a core in
      training, so that what is computed of them stays in its cache; what is
      needed for the gradient is then computed again. None for all.
    apply_batch: (params, weights of B networks) -> codes [B, Z]; of encoders
      whose kernels take them all, where `kernels.serve_in_halves`, or None.
  """

  init: Callable
  apply: Callable
  invariant: bool
  transcript: Callable | None = None
  at_once: int | None = None
  apply_batch: Callable | None = None


def make(
    name: str, fields: Mapping[str, Any], rnn: RNN, kind: str
) -> Encoder:
  """The encoder of that name, configured by plain values.

  Args:
    name: of a module in this package.
    fields: of its `Config`.
    rnn: the shape of the networks to encode.
    kind: what the networks read, "token" or "real".

  Raises:
    ValueError: no such encoder or no such field, with the nearest name.
  """
  if kind not in ("token", "real"):
    raise ValueError(f"kind must be 'token' or 'real', got {kind!r}")
  module = plugins.load(__name__, name)
  config = plugins.configure(module.Config, fields, f"encoder {name!r}")
  return module.make(config, rnn, kind)


def names() -> tuple[str, ...]:
  """The names of all encoders."""
  return plugins.names(__name__)
