"""The TaskFamily contract: the tasks that the networks of a zoo are trained on.

Each public module here exports a frozen dataclass `Config` and
`make(config) -> TaskFamily`. A *task* is an array, which differs between
networks; the config is static. All functions take one network and one task;
callers vmap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from weightspace import plugins


@dataclass(frozen=True)
class TaskSpec:
  """Properties that all tasks of a family share.

  Attributes:
    inputs: size of an input, I.
    outputs: size of an output, V: logits of a categorical distribution.
    length: steps of a sequence, T.
    kind: "token" for one-hot inputs, or "real".
    task_names: names of the D numbers of a task, in order.
    metric_names: names of the scalars that `performance` returns.
    symbols: how to print each token; empty for real inputs.
    classes: minimum and maximum of each task number for integer tasks, else
      None.
    first: first token of generated sequences for autoregressive networks,
      which predict the next token; else None.
    categories: (column, values) of columns that hold codes of values instead of
      numbers: code i stands for value i, -1 for none.
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
  categories: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Batch(NamedTuple):
  """Training examples, time first."""

  inputs: jax.Array  # [T, B, I] float32
  targets: jax.Array  # [T, B] int32, the correct classes
  mask: jax.Array  # [T, B] float32, 1 where the loss counts
  advantages: jax.Array | None = None  # [T, B] float32, factors of the loss


class Rollouts(NamedTuple):
  """Sequences and a network's outputs on them, as the zoo stores them.

  Attributes:
    sequences: [K, ...], from which `encode` recovers the inputs; for tokens
      [K, T + 1] int8, of which the network reads the first T. The last one is
      -1 where the network did not write the sequence itself; else an audit
      asks whether it could have.
    log_probs: [K, T, V] float16, log-softmax of the outputs.
  """

  sequences: jax.Array
  log_probs: jax.Array


class TaskFamily(NamedTuple):
  """A family of tasks.

  Attributes:
    spec: the `TaskSpec`.
    sample_task: (key) -> task [D].
    rollouts: (key, task, rnn, weights, count) -> `Rollouts`.
    encode: (task, sequences [K, ...]) -> inputs [T, K, I] float32 of stored
      sequences.
    mask: (sequences [K, ...]) -> [T, K] float32, 0 on padding.
    performance: (key, task, rnn, weights) -> dict of float32 scalars, named
      by `spec.metric_names`; the main metric is the first, "accuracy".
    novelty: (task) -> scalar; the tasks with the highest scores form the
      out-of-distribution split.
    describe: (task, NumPy) -> str, for people.
    sample_batch: (key, task, size) -> `Batch`. A family has this or
      `experience`.
    experience: (key, task, rnn, weights, size) -> `Batch` of what the network
      itself does, for reinforcement: its loss has the gradient of the policy.
    decode: (sequences [K, T + 1] that a network generated) -> task [D], by an
      algorithm without learned parameters; None if there is none.
    interrogate: (rnn, weights) -> task [D], by an algorithm without learned
      parameters that runs the network on inputs of its own choice; None if
      there is none.
    data: arrays that all tasks share, such as images: a pytree, which may be
      empty.
    bind: (data) -> the same family with these arrays. Compiled functions take
      `data` as an argument and bind it; as a constant, it would be copied into
      each program.
    recorded: fields of the config that `make` computes, such as the checksum
      of the data. The zoo records them.
  """

  spec: TaskSpec
  sample_task: Callable
  rollouts: Callable
  encode: Callable
  mask: Callable
  performance: Callable
  novelty: Callable
  describe: Callable
  sample_batch: Callable | None = None
  experience: Callable | None = None
  decode: Callable | None = None
  interrogate: Callable | None = None
  data: Any = ()
  bind: Callable | None = None
  recorded: Mapping[str, Any] = MappingProxyType({})

  def batch(self, key, task, rnn, weights, size) -> Batch:
    """What a network with these weights is trained on next."""
    if self.experience is not None:
      return self.experience(key, task, rnn, weights, size)
    return self.sample_batch(key, task, size)

  def bound(self, data) -> "TaskFamily":
    """The family with these arrays, of the shapes of `self.data`."""
    return self.bind(data) if self.bind else self


def make(name: str, fields: Mapping[str, Any]) -> TaskFamily:
  """Builds a task family by name.

  Args:
    name: of a module in this package.
    fields: of its `Config`.

  Raises:
    ValueError: there is no such family or field; the message suggests the
      nearest name.
  """
  module = plugins.load(__name__, name)
  config = plugins.configure(module.Config, fields, f"task family {name!r}")
  return module.make(config)


def names() -> tuple[str, ...]:
  """The names of all task families."""
  return plugins.names(__name__)
