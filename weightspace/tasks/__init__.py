"""The TaskFamily contract: what the networks of a zoo are trained to do.

Each public module here exports a frozen dataclass `Config` and
`make(config) -> TaskFamily`. What differs between networks is a *task*, an
array; what changes the graph is the config. All functions are for one network
and one task; callers vmap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from weightspace import plugins


@dataclass(frozen=True)
class TaskSpec:
  """What is the same for every task of a family.

  Attributes:
    inputs: size of what the network reads at a step, I.
    outputs: size of what it answers, V: logits of a categorical distribution.
    length: steps of a sequence, T.
    kind: "token" (inputs are one-hot) or "real".
    task_names: what the D numbers of a task mean, in order.
    metric_names: the scalars that `performance` returns.
    symbols: how to print tokens, one string each; empty for real inputs.
    classes: smallest and largest value of each task number where tasks are
      integers, else None.
    first: the token that a generated sequence begins with, of networks that
      are trained to predict the next token of what they read; else None.
  """

  inputs: int
  outputs: int
  length: int
  kind: str
  task_names: tuple[str, ...]
  metric_names: tuple[str, ...]
  symbols: tuple[str, ...] = ()
  classes: tuple[int, int] | None = None
  first: int | None = None


class Batch(NamedTuple):
  """Training examples, time first."""

  inputs: jax.Array  # [T, B, I] float32, what the network reads
  targets: jax.Array  # [T, B] int32, the right answers
  mask: jax.Array  # [T, B] float32, 1 where the answer counts


class Rollouts(NamedTuple):
  """What a network was seen to do, as the zoo stores it.

  Attributes:
    sequences: [K, ...] what identifies each sequence; for tokens
      `[K, T + 1]` int8, of which the network read the first T.
    log_probs: [K, T, V] float16, log-softmax of its outputs.
  """

  sequences: jax.Array
  log_probs: jax.Array


class TaskFamily(NamedTuple):
  """A family of tasks.

  Attributes:
    spec: what all tasks share.
    sample_task: (key) -> task [D].
    sample_batch: (key, task, size) -> `Batch`.
    rollouts: (key, task, rnn, weights, count) -> `Rollouts`.
    encode: (task, sequences [K, ...]) -> inputs [T, K, I] float32, what the
      network reads on stored sequences.
    mask: (sequences [K, ...]) -> [T, K] float32, 0 on padding.
    performance: (key, task, rnn, weights) -> dict of float32 scalars, named
      by `spec.metric_names`; the first one is the headline, "accuracy".
    novelty: (task) -> scalar; the tasks that score highest become the
      out-of-distribution split.
    describe: (task, as numpy) -> str, the task in words or symbols.
    decode: (sequences [K, T + 1] that a network generated) -> task [D]: what
      a plain reader without anything learned makes of them; None where there
      is no such reader.
    data: arrays that all tasks share, such as images; a pytree, empty where
      tasks make all there is.
    bind: (data) -> the same family on these arrays. What is compiled takes
      `data` as an argument and binds it there; closed over, it would be
      copied into each program.
    recorded: fields of the config that are known once the family is made,
      such as the checksum of its data; a zoo records them.
  """

  spec: TaskSpec
  sample_task: Callable
  sample_batch: Callable
  rollouts: Callable
  encode: Callable
  mask: Callable
  performance: Callable
  novelty: Callable
  describe: Callable
  decode: Callable | None = None
  data: Any = ()
  bind: Callable | None = None
  recorded: Mapping[str, Any] = MappingProxyType({})

  def bound(self, data) -> "TaskFamily":
    """The family on these arrays, of the shapes of `self.data`."""
    return self.bind(data) if self.bind else self


def make(name: str, fields: Mapping[str, Any]) -> TaskFamily:
  """The family of that name, configured by plain values.

  Raises:
    ValueError: no such family or no such field, with the nearest name.
  """
  module = plugins.load(__name__, name)
  config = plugins.configure(module.Config, fields, f"task family {name!r}")
  return module.make(config)


def names() -> tuple[str, ...]:
  """The names of all task families."""
  return plugins.names(__name__)
