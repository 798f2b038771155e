"""Networks that others trained, on tasks that only a table describes.

`weightspace.zoo.from_networks` makes zoos of this family. Nothing can be
sampled of its tasks: what networks read and answered is recorded, and so is
what is known of them, in columns. The *task*, by which rows are split, is the
values of the split columns, or else the number of the network.

Sequences store their lengths. Tokens are [K, T + 1] integers, with -1 from a
sequence's end on; the last one is -1 where the sequence was given, and what the
network wrote last where the network wrote it. Reals are [K, T, I] float32, with
NaN from a sequence's end on. Networks read zeros there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.tasks import Rollouts, TaskFamily, TaskSpec

NETWORK = "network"  # the split by network, whose number is then its task
HELD_OUT = ("random", "highest")
PADDING = -1


@dataclass(frozen=True)
class Config:
  """What the networks of a zoo read, answer and are split by.

  Attributes:
    inputs: size of an input, I; of tokens, how many there are.
    outputs: classes that networks choose from at each step, V.
    length: steps of the longest sequence, T.
    kind: "token" or "real".
    first: first token of what networks write, where they read what they write;
      else None.
    split: columns whose values are the task, or ("network",).
    held_out: which tasks are most novel: "random" ones, chosen by a fixed hash,
      or those with the "highest" values of the first split column.
    accuracy: whether the accuracy of networks is known.
    categories: values of each column that holds codes of values.
  """

  inputs: int = 1
  outputs: int = 2
  length: int = 1
  kind: str = "real"
  first: int | None = None
  split: tuple[str, ...] = (NETWORK,)
  held_out: str = "random"
  accuracy: bool = False
  categories: Mapping[str, tuple[str, ...]] | None = None

  def __post_init__(self):
    fields.check_integers(self, "inputs", "length")
    fields.check_integers(self, "outputs", least=2)
    fields.check_choice("kind", self.kind, ("token", "real"))
    fields.check_choice("held_out", self.held_out, HELD_OUT)
    fields.check_bools(self, "accuracy")
    object.__setattr__(self, "split", tuple(self.split))
    categories = {k: tuple(v) for k, v in (self.categories or {}).items()}
    object.__setattr__(self, "categories", categories)
    if self.first is not None:
      fields.check_integers(self, "first", least=0, most=self.inputs - 1)
      if self.kind != "token" or self.inputs != self.outputs:
        raise UserError(
            f"first={self.first} is of networks that read the tokens they"
            f" write, but these read {self.inputs} {self.kind} inputs and have"
            f" {self.outputs} outputs"
        )
    if not self.split or len(set(self.split)) < len(self.split):
      raise UserError(
          f"split must name at least one column, and each once, got"
          f" {self.split}"
      )
    if self.held_out == "highest" and self.split[0] in categories:
      raise UserError(
          f"held_out='highest' needs numbers, but {self.split[0]!r} is text:"
          " put a column of numbers first in split, or take 'random'"
      )


def make(config: Config) -> TaskFamily:
  """The family of recorded networks."""
  tokens = config.kind == "token"

  def rollouts(key, task, rnn, weights, count):
    del task
    if config.first is None:
      _not_known("sequences")
    draws = jax.random.uniform(
        derive(key, "draws"), (config.length, count), jnp.float32
    )
    written, log_probs = rnn.generate(weights, config.first, draws)
    return Rollouts(
        jnp.pad(
            written.T, ((0, 0), (1, 0)), constant_values=config.first
        ).astype(token_dtype(config.inputs)),
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
    )

  def encode(task, sequences):
    del task
    if tokens:
      read = sequences[:, :-1].T.astype(jnp.int32)
      return jax.nn.one_hot(read, config.inputs, dtype=jnp.float32)
    return jnp.nan_to_num(jnp.swapaxes(sequences, 0, 1).astype(jnp.float32))

  def mask(sequences):
    there = (
        sequences[:, :-1] >= 0 if tokens else ~jnp.isnan(sequences[..., 0])
    )
    return there.T.astype(jnp.float32)

  def describe(task):
    return ", ".join(
        f"{name} {_show(value, config.categories.get(name))}"
        for name, value in zip(config.split, np.asarray(task))
    )

  return TaskFamily(
      spec=TaskSpec(
          inputs=config.inputs,
          outputs=config.outputs,
          length=config.length,
          kind=config.kind,
          task_names=config.split,
          metric_names=("accuracy",) if config.accuracy else (),
          symbols=tuple(map(str, range(config.inputs))) if tokens else (),
          first=config.first,
          categories=tuple(config.categories.items()),
      ),
      sample_task=lambda key: _not_known("tasks"),
      sample_batch=lambda key, task, size: _not_known("examples"),
      rollouts=rollouts,
      encode=encode,
      mask=mask,
      performance=lambda key, task, rnn, weights: _not_known("accuracies"),
      novelty=_hash if config.held_out == "random" else _first,
      describe=describe,
  )


def token_dtype(inputs: int) -> np.dtype:
  """The dtype of stored tokens, of which there are so many."""
  return np.min_scalar_type(-max(inputs, 2))


def to_sequences(inputs: np.ndarray, lengths: np.ndarray, size: int):
  """Inputs as a zoo stores them.

  Args:
    inputs: [..., K, T] integer tokens or [..., K, T, I] reals.
    lengths: [..., K], from 1 to T.
    size: of an input, I.

  Returns:
    [..., K, T + 1] integers or [..., K, T, I] float32.
  """
  tokens = inputs.dtype.kind in "iu"
  steps = np.arange(inputs.shape[lengths.ndim])
  ended = steps >= lengths[..., None]
  if not tokens:
    return np.where(ended[..., None], np.nan, inputs).astype(np.float32)
  padded = np.where(ended, PADDING, inputs).astype(token_dtype(size))
  last = np.full_like(padded[..., :1], PADDING)
  return np.concatenate([padded, last], axis=-1)


def _not_known(what):
  raise UserError(
      f"{what} cannot be sampled or measured: the networks of this zoo were"
      " trained elsewhere, and only what they read and answered was recorded"
  )


def _show(value, values):
  if values is not None:
    return values[int(value)]
  return str(int(value)) if value == int(value) else f"{value:g}"


def _first(task):
  return task[0].astype(jnp.float32)


def _hash(task):
  """A number in [0, 1) that looks random, the same for the same task."""
  words = jax.lax.bitcast_convert_type(task.astype(jnp.float32), jnp.uint32)
  x = jnp.uint32(0x9E3779B9)
  for i in range(task.shape[0]):
    x = x ^ words[i]
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
      x = (x ^ (x >> shift)) * jnp.uint32(factor)
    x = x ^ (x >> 16)
  return (x >> 8).astype(jnp.float32) / 2**24
