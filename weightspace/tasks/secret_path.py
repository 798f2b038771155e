"""Secret paths w in {0, 1}^d (section 3): prefixes of w get its next bit.

A network reads BOS and bits. After t bits it must answer the next bit of w if
the bits read are the first t of w, and OFF otherwise. With w = 011, a network
that reads BOS 0 1 answers 0 1 1, and one that reads BOS 1 1 answers 0 OFF OFF.

An interrogator that may choose each bit reads w in one rollout, by giving each
answer back. One that may not needs 2^(d-1) strings: see `weightspace.theory`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace.keys import derive
from weightspace.tasks import Batch, Rollouts, TaskFamily, TaskSpec

BOS = OFF = 2  # the third token: read, it begins a string; written, it is OFF
TOKENS = 3


@dataclass(frozen=True)
class Config:
  """What all paths of a zoo share.

  Attributes:
    depth: bits of a path, d; as many steps has a sequence.
    eval_strings: strings that accuracy and loss are measured on.
  """

  depth: int = 8
  eval_strings: int = 256

  def __post_init__(self):
    if self.depth < 2:
      raise ValueError(
          f"depth must be at least 2, got {self.depth}: the first bit is"
          " answered to everyone"
      )


def sample_strings(
    key: jax.Array, path: jax.Array, count: int
) -> jax.Array:
  """Strings that leave the path: each at a random place, or never.

  Args:
    key: for all draws.
    path: [d] int32.
    count: strings, B.

  Returns:
    [B, d] int32: k bits of the path, its next bit turned round, random bits;
    k is uniform in {0, ..., d - 1}. The last of the d bits is never read.
  """
  depth = len(path)
  place = jnp.arange(depth)[None]
  leave = jax.random.randint(derive(key, "leave"), (count, 1), 0, depth)
  noise = jax.random.bernoulli(derive(key, "noise"), shape=(count, depth))
  strings = jnp.where(place < leave, path[None], noise.astype(jnp.int32))
  return jnp.where(place == leave, 1 - path[None], strings)


def answers(path: jax.Array, strings: jax.Array) -> jax.Array:
  """What is right to say before each bit of a string is read.

  Args:
    path: [d] int32.
    strings: [B, d] int32.

  Returns:
    [B, d] int32 in {0, 1, OFF}.
  """
  same = (strings == path[None]).astype(jnp.int32)
  follows = jnp.cumprod(same, axis=1)[:, :-1] > 0
  return jnp.where(jnp.pad(follows, ((0, 0), (1, 0)), constant_values=True),
                   path[None], OFF)  # fmt: skip


def make(config: Config) -> TaskFamily:
  """The family of secret paths of one depth."""

  def sample_task(key):
    coin = jax.random.bernoulli(key, shape=(config.depth,))
    return coin.astype(jnp.int32)

  def with_bos(strings):
    return jnp.pad(strings, ((0, 0), (1, 0)), constant_values=BOS)

  def encode(task, sequences):
    del task
    return jax.nn.one_hot(sequences[:, :-1].T.astype(jnp.int32), TOKENS)

  def sample_batch(key, task, size):
    strings = sample_strings(key, task, size)
    targets = answers(task, strings).T
    return Batch(
        inputs=encode(task, with_bos(strings)),
        targets=targets,
        mask=jnp.ones(targets.shape),
    )

  def rollouts(key, task, rnn, weights, count):
    # Not what the network says, which is the path again and again
    sequences = with_bos(sample_strings(key, task, count))
    log_probs = jax.nn.log_softmax(
        rnn.unroll(weights, encode(task, sequences))
    )
    return Rollouts(
        sequences.astype(jnp.int8),
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
    )

  def performance(key, task, rnn, weights):
    batch = sample_batch(derive(key, "strings"), task, config.eval_strings)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
    right = jnp.argmax(log_probs, axis=-1) == batch.targets
    truth = jax.nn.one_hot(batch.targets, TOKENS)
    return {
        "accuracy": jnp.mean(jnp.all(right, axis=0), dtype=jnp.float32),
        "accuracy_answers": jnp.mean(right, dtype=jnp.float32),
        "loss": -jnp.mean(jnp.sum(truth * log_probs, axis=-1)),
    }

  return TaskFamily(
      spec=TaskSpec(
          inputs=TOKENS,
          outputs=TOKENS,
          length=config.depth,
          kind="token",
          task_names=tuple(f"w_{t + 1}" for t in range(config.depth)),
          metric_names=("accuracy", "accuracy_answers", "loss"),
          symbols=("0", "1", "BOS"),
          classes=(0, 1),
          first=BOS,
      ),
      sample_task=sample_task,
      sample_batch=sample_batch,
      rollouts=rollouts,
      encode=encode,
      mask=lambda sequences: jnp.ones(sequences[:, :-1].T.shape),
      performance=performance,
      novelty=lambda task: jnp.sum(
          task[1:] != task[:-1], dtype=jnp.float32
      ),  # turns
      describe=lambda task: "".join(str(int(bit)) for bit in task),
  )
