"""What families have in common whose networks write words of a language.

A network reads BOS and a word, letter by letter, and predicts the next letter;
after the word it predicts EOS, to the end of the sequence, and is trained on
that too. Tokens are the letters from 0, then BOS, EOS.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from weightspace.keys import derive, make_key
from weightspace.tasks import Batch, Rollouts, TaskFamily, TaskSpec

MOST_STOP = 0.99  # the largest probability that a word ends where it may


def make(
    config,
    letters: Sequence[str],
    *,
    task_names: tuple[str, ...],
    classes: tuple[int, int],
    write: Callable,
    is_member: Callable,
    **functions: Callable,
) -> TaskFamily:
  """A family of languages.

  Args:
    config: with `length`, symbols of a sequence with BOS and padding, T + 1;
      `eval_strings`, words sampled from a network to measure its accuracy; and
      `eval_batch`, words of the language to measure the loss.
    letters: of all languages.
    task_names: see `TaskSpec`.
    classes: see `TaskSpec`.
    write: (key, task, count) -> [count, T + 1] int32: BOS, a word, EOS to the
      end.
    is_member: (task, tokens [K, T + 1]) -> [K] bool: whether they are that.
    **functions: the others of a `TaskFamily`.
  """
  bos, eos = len(letters), len(letters) + 1
  vocabulary = len(letters) + 2

  def read(tokens):
    """Tokens [T + 1, B] as inputs [T, B, V]."""
    return jax.nn.one_hot(
        tokens[:-1].astype(jnp.int32), vocabulary, dtype=jnp.float32
    )

  def sample_batch(key, task, size):
    tokens = write(key, task, size).T
    mask = jnp.ones(tokens[1:].shape, jnp.float32)
    return Batch(read(tokens), tokens[1:], mask)

  def generate(key, rnn, weights, count):
    draws = jax.random.uniform(key, (config.length - 1, count), jnp.float32)
    tokens, log_probs = rnn.generate(weights, bos, draws)
    tokens = jnp.pad(tokens.T, ((0, 0), (1, 0)), constant_values=bos)
    return tokens, log_probs

  def rollouts(key, task, rnn, weights, count):
    del task  # the network samples from its own distribution
    tokens, log_probs = generate(key, rnn, weights, count)
    return Rollouts(
        tokens.astype(jnp.int8),
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
    )

  def performance(key, task, rnn, weights):
    tokens, _ = generate(
        derive(key, "strings"), rnn, weights, config.eval_strings
    )
    words = write(derive(key, "loss"), task, config.eval_batch).T
    counts = unpadded(words, eos)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, read(words)))
    labels = jax.nn.one_hot(words[1:], vocabulary, dtype=jnp.float32)
    losses = -jnp.sum(labels * log_probs, axis=-1)
    return {
        "accuracy": jnp.mean(is_member(task, tokens), dtype=jnp.float32),
        "loss": jnp.sum(losses * counts) / jnp.sum(counts),
    }

  return TaskFamily(
      spec=TaskSpec(
          inputs=vocabulary,
          outputs=vocabulary,
          length=config.length - 1,
          kind="token",
          task_names=task_names,
          metric_names=("accuracy", "loss"),
          symbols=(*letters, "BOS", "EOS"),
          classes=classes,
          first=bos,
      ),
      sample_batch=sample_batch,
      rollouts=rollouts,
      encode=lambda task, sequences: read(sequences.T),
      mask=lambda sequences: unpadded(sequences.T, eos),
      performance=performance,
      **functions,
  )


def unpadded(tokens: jax.Array, eos: int) -> jax.Array:
  """1 at steps up to the first EOS; tokens [T + 1, B] -> [T, B] float32."""
  before = jnp.cumsum(tokens[:-1] == eos, axis=0, dtype=jnp.int32) == 0
  return before.astype(jnp.float32)


def hashed(task: jax.Array) -> jax.Array:
  """A hash of a task of integers, uniform in [0, 1): any may be held out."""
  key = jax.lax.fori_loop(
      0, task.shape[-1],
      lambda i, key: jax.random.fold_in(key, task[i].astype(jnp.uint32)),
      make_key(0),
  )  # fmt: skip
  return jax.random.uniform(key, (), jnp.float32)
