"""The Encoder contract: the weights of one network -> a short code.

Each public module here exports a frozen dataclass `Config` and
`make(config, rnn, inputs) -> Encoder`. Mechanistic encoders look at the
weights; functionalist ones run the network and look at its answers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from weightspace import plugins
from weightspace.errors import UserError
from weightspace.rnn import RNN


class Inputs(NamedTuple):
  """What networks read; a `weightspace.tasks.TaskSpec` says the same.

  Attributes:
    kind: "token" or "real".
    first: the token that sequences begin with which a network generates; None
      where networks do not generate.
    length: steps of a sequence, T; 0 where it is not known.
  """

  kind: str
  first: int | None = None
  length: int = 0


class Transcript(NamedTuple):
  """What a network read and what it answered."""

  probes: jax.Array  # [L, M, I] tokens, soft or one-hot, or bounded reals
  answers: jax.Array  # [L, M, V] logits, up to a constant at each step


class Encoder(NamedTuple):
  """Functions of one network; callers vmap over `weights`.

  Attributes:
    init: (key) -> params.
    apply: (params, weights, key=None) -> code [Z] float32 of length 1. In
      training a key is given, new at each step; an encoder that draws nothing
      ignores it. Without one the code is the same each time.
    invariant: a claim that tests check: the symmetry group of the weights
      leaves the code as it is. Where False, training augments with
      `symmetry.augment`.
    transcript: (params, weights) -> `Transcript`; None for encoders that do
      not run the network.
    start_from: (params, examples [n, T, I]) -> params whose probes are real
      input sequences; None for encoders that start without.
    observe: (params, weights) -> features [F]; of encoders that run or read a
      network in a way that nothing learned changes, which training then does
      once for each network. It reads no params but those under "fixed", which
      no optimiser changes.
    read: (params, features, key=None) -> code: `apply` is `read` of what
      `observe` gives. None as `observe`.
  """

  init: Callable
  apply: Callable
  invariant: bool
  transcript: Callable | None = None
  start_from: Callable | None = None
  observe: Callable | None = None
  read: Callable | None = None


def make(
    name: str, fields: Mapping[str, Any] | Any, rnn: RNN, inputs: Any
) -> Encoder:
  """The encoder of that name, configured by plain values.

  Args:
    name: of a module in this package.
    fields: its `Config`, or plain values of that one's fields.
    rnn: the shape of the networks to encode.
    inputs: what the networks read: an `Inputs`, or a `TaskSpec`.

  Raises:
    ValueError: no such encoder or no such field, with the nearest name.
  """
  inputs = Inputs(inputs.kind, inputs.first, inputs.length)
  if inputs.kind not in ("token", "real"):
    raise UserError(f"kind must be 'token' or 'real', got {inputs.kind!r}")
  module = plugins.load(__name__, name)
  if not isinstance(fields, module.Config):
    fields = plugins.configure(module.Config, fields, f"encoder {name!r}")
  return module.make(fields, rnn, inputs)


def names() -> tuple[str, ...]:
  """The names of all encoders."""
  return plugins.names(__name__)
