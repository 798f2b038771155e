"""Sums modulo k: a network counts what it reads, around a circle.

A task is k, a factor w and an offset c. A network reads BOS and digits x, and
predicts after each the class (c + w (x_1 + ... + x_t)) mod k; after BOS that is
c. On a word of ones it counts them modulo k.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.keys import derive, make_key
from weightspace.tasks import (
  Batch,
  Rollouts,
  TaskFamily,
  TaskSpec,
  _words,
)

QUERIES = 8  # sequences of an interrogation


@dataclass(frozen=True)
class Config:
  """Parameters that all networks of a zoo share.

  Attributes:
    modulus: the largest k; each is uniform from 2, w from 1 to k - 1, and c
      from 0 to k - 1.
    digits: digits are 0, ..., digits - 1.
    length: symbols of a sequence with BOS, of which all but the last are read.
    eval_strings: sequences on which accuracy and loss are measured.
  """

  modulus: int = 6
  digits: int = 3
  length: int = 24
  eval_strings: int = 256

  def __post_init__(self):
    fields.check_integers(self, "modulus", "length", least=2)
    # Tokens are stored as int8
    fields.check_integers(self, "digits", least=2, most=127)
    fields.check_integers(self, "eval_strings")


def sums(task: jax.Array, sequences: jax.Array) -> jax.Array:
  """The classes that are right after each symbol that is read.

  Args:
    task: [3] integers: k, w, c.
    sequences: [K, T + 1] integers, BOS and digits.

  Returns:
    [K, T] int32.
  """
  modulus, factor, offset = task
  total = jnp.cumsum(sequences[:, 1:-1].astype(jnp.int32), axis=1)
  total = jnp.pad(total, ((0, 0), (1, 0)))  # after BOS
  return ((offset + factor * total) % modulus).astype(jnp.int32)


def every_task(modulus: int) -> np.ndarray:
  """All tasks with a k of up to `modulus`, [n, 3] int32."""
  return np.array([
      (k, w, c)
      for k in range(2, modulus + 1) for w in range(1, k) for c in range(k)
  ], np.int32)  # fmt: skip


def make(config: Config) -> TaskFamily:
  """The family of sums modulo k."""
  bos = config.digits
  vocabulary = config.digits + 1

  def sample_task(key):
    def draw(name, low, high):
      return jax.random.randint(derive(key, name), (), low, high, jnp.int32)

    modulus = draw("modulus", 2, config.modulus + 1)
    return jnp.stack([
        modulus, draw("factor", 1, modulus), draw("offset", 0, modulus)
    ])

  def sample(key, count):
    drawn = jax.random.randint(
        key, (count, config.length - 1), 0, config.digits, jnp.int32
    )
    return jnp.pad(drawn, ((0, 0), (1, 0)), constant_values=bos)

  def encode(task, sequences):
    del task
    read = sequences[:, :-1].T.astype(jnp.int32)
    return jax.nn.one_hot(read, vocabulary, dtype=jnp.float32)

  def everything(sequences):
    return jnp.ones(sequences[:, :-1].T.shape, jnp.float32)

  def sample_batch(key, task, size):
    sequences = sample(key, size)
    return Batch(
        encode(task, sequences), sums(task, sequences).T, everything(sequences)
    )

  def rollouts(key, task, rnn, weights, count):
    sequences = sample(key, count)
    log_probs = jax.nn.log_softmax(
        rnn.unroll(weights, encode(task, sequences))
    )
    return Rollouts(
        sequences.at[:, -1].set(-1).astype(jnp.int8),  # not its own writing
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
    )

  def performance(key, task, rnn, weights):
    batch = sample_batch(key, task, config.eval_strings)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
    best = jnp.argmax(log_probs, axis=-1).astype(jnp.int32)
    labels = jax.nn.one_hot(batch.targets, config.modulus, dtype=jnp.float32)
    return {
        "accuracy": jnp.mean(best == batch.targets, dtype=jnp.float32),
        "loss": -jnp.mean(jnp.sum(labels * log_probs, axis=-1)),
    }

  def interrogate(rnn, weights):
    """The task that the answers to a few sequences are likeliest under."""
    queries = sample(make_key(0), QUERIES)
    log_probs = jax.nn.log_softmax(
        rnn.unroll(weights, encode(None, queries))
    )
    tasks = jnp.asarray(every_task(config.modulus))
    right = jax.vmap(sums, (0, None))(tasks, queries)  # [n, K, T]
    likelihood = jnp.mean(
        jnp.take_along_axis(
            jnp.swapaxes(log_probs, 0, 1)[None], right[..., None], axis=-1
        ),
        axis=(1, 2, 3),
    )
    return tasks[jnp.argmax(likelihood)]

  return TaskFamily(
      spec=TaskSpec(
          inputs=vocabulary,
          outputs=config.modulus,
          length=config.length - 1,
          kind="token",
          task_names=("modulus", "factor", "offset"),
          metric_names=("accuracy", "loss"),
          symbols=(*map(str, range(config.digits)), "BOS"),
          classes=(0, config.modulus),
      ),
      sample_task=sample_task,
      sample_batch=sample_batch,
      rollouts=rollouts,
      encode=encode,
      mask=everything,
      performance=performance,
      novelty=_words.hashed,
      describe=describe,
      interrogate=interrogate,
  )


def describe(task: np.ndarray) -> str:
  """Describes a task: "(2 + 3 sum) mod 5"."""
  modulus, factor, offset = map(int, task)
  return f"({offset} + {factor} sum) mod {modulus}"
