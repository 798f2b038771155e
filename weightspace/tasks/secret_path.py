"""Secret paths w in {0, 1}^d (section 3).

A network reads BOS and bits. After t bits its target is the next bit of w if
the bits read are the first t of w, and OFF otherwise. With w = 011, the
targets are 0 1 1 for inputs BOS 0 1, and 0 OFF OFF for inputs BOS 1 1.

An interactive interrogator recovers w in one rollout, by feeding each output
back as the next input. A non-interactive one needs 2^(d-1) strings: see
`weightspace.theory`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.tasks import Batch, Rollouts, TaskFamily, TaskSpec

BOS = OFF = 2  # the third token: BOS as an input, OFF as an output
TOKENS = 3


@dataclass(frozen=True)
class Config:
  """Parameters that all paths of a zoo share.

  Attributes:
    depth: bits of a path, d, and steps of a sequence.
    eval_strings: strings on which accuracy and loss are measured.
  """

  depth: int = 8
  eval_strings: int = 256

  def __post_init__(self):
    fields.check_integers(self, "depth", "eval_strings")
    if self.depth < 2:
      raise UserError(
          f"depth must be at least 2, got {self.depth}: the first target does"
          " not depend on the inputs"
      )


def sample_strings(
    key: jax.Array, path: jax.Array, count: int
) -> jax.Array:
  """Samples strings that leave the path at a random step.

  Args:
    key: for sampling.
    path: [d] int32.
    count: number of strings, B.

  Returns:
    [B, d] int32: k bits of the path, the next bit flipped, then random bits; k
    is uniform in {0, ..., d - 1}. Networks never read the last bit.
  """
  depth = len(path)
  place = jnp.arange(depth, dtype=jnp.int32)[None]
  leave = jax.random.randint(
      derive(key, "leave"), (count, 1), 0, depth, jnp.int32
  )
  noise = jax.random.bernoulli(
      derive(key, "noise"), jnp.float32(0.5), (count, depth)
  )
  strings = jnp.where(place < leave, path[None], noise.astype(jnp.int32))
  return jnp.where(place == leave, 1 - path[None], strings)


def answers(path: jax.Array, strings: jax.Array) -> jax.Array:
  """Targets at each step, before the bit of that step is read.

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
    bits = jax.random.bernoulli(key, jnp.float32(0.5), (config.depth,))
    return bits.astype(jnp.int32)

  def rollouts(key, task, rnn, weights, count):
    # Samples of the network would be the path itself
    sequences = _with_bos(sample_strings(key, task, count))
    log_probs = jax.nn.log_softmax(
        rnn.unroll(weights, _encode(task, sequences))
    )
    return Rollouts(
        sequences.at[:, -1].set(-1).astype(jnp.int8),  # not its own writing
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
    )

  def performance(key, task, rnn, weights):
    batch = _sample_batch(derive(key, "strings"), task, config.eval_strings)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
    best = jnp.argmax(log_probs, axis=-1).astype(jnp.int32)
    correct = best == batch.targets
    labels = jax.nn.one_hot(batch.targets, TOKENS, dtype=jnp.float32)
    return {
        "accuracy": jnp.mean(jnp.all(correct, axis=0), dtype=jnp.float32),
        "accuracy_answers": jnp.mean(correct, dtype=jnp.float32),
        "loss": -jnp.mean(jnp.sum(labels * log_probs, axis=-1)),
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
      sample_batch=_sample_batch,
      rollouts=rollouts,
      encode=_encode,
      mask=lambda sequences: jnp.ones(sequences[:, :-1].T.shape, jnp.float32),
      performance=performance,
      novelty=novelty,
      describe=lambda task: "".join(str(int(bit)) for bit in task),
  )


def novelty(task: jax.Array) -> jax.Array:
  """The number of bits that differ from the one before."""
  return jnp.sum(task[1:] != task[:-1], dtype=jnp.float32)


def _with_bos(strings):
  return jnp.pad(strings, ((0, 0), (1, 0)), constant_values=BOS)


def _encode(task, sequences):
  del task
  read = sequences[:, :-1].T.astype(jnp.int32)
  return jax.nn.one_hot(read, TOKENS, dtype=jnp.float32)


def _sample_batch(key, task, size):
  strings = sample_strings(key, task, size)
  targets = answers(task, strings).T
  return Batch(
      inputs=_encode(task, _with_bos(strings)),
      targets=targets,
      mask=jnp.ones(targets.shape, jnp.float32),
  )
