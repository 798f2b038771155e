"""Formal languages a^n b^(n+m_b) c^(n+m_c) d^(n+m_d) (section 5.1).

A task is the triple m = (m_b, m_c, m_d), each in {-3, ..., 2}: 216 languages.
With m = (1, 0, -1), "abbc", "aabbbccd" are strings of the language. A network
reads BOS and the string, symbol by symbol, and predicts the next symbol at
every step; after the string it predicts EOS.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.tasks import (
  Batch,
  Rollouts,
  TaskFamily,
  TaskSpec,
  _words,
)
from weightspace.types import Key, Weights

LETTERS = "abcd"
BOS, EOS = len(LETTERS), len(LETTERS) + 1
VOCABULARY = len(LETTERS) + 2


@dataclass(frozen=True)
class Config:
  """Parameters that all languages of a zoo share; the paper's by default.

  Attributes:
    length: symbols of a sequence with BOS and padding, T + 1.
    max_n: n is uniform in [max(0, -min m), max_n).
    shift_min: minimum of each m.
    shift_max: maximum of each m.
    always_fit: whether n is bounded such that EOS fits. In the paper's recipe
      (False), some strings have no room for EOS: m = (2, 2, 2), n = 9.
    mask_padding: whether the training loss excludes steps after EOS. The
      paper's recipe (False) trains the network to repeat EOS.
    eval_strings: strings sampled from the network to measure its accuracy.
    eval_batch: strings sampled from the language to measure the loss.
  """

  length: int = 42
  max_n: int = 10
  shift_min: int = -3
  shift_max: int = 2
  always_fit: bool = True
  mask_padding: bool = False
  eval_strings: int = 1000
  eval_batch: int = 128

  def __post_init__(self):
    fields.check_integers(self, "length", "max_n", "eval_strings", "eval_batch")
    fields.check_integers(self, "shift_min", "shift_max", least=-(2**20))
    fields.check_bools(self, "always_fit", "mask_padding")
    if self.shift_min > self.shift_max:
      raise UserError(
          f"shift_min={self.shift_min} must not exceed"
          f" shift_max={self.shift_max}"
      )
    # The shortest string of the longest language must fit
    smallest = max(0, -self.shift_min)
    longest = len(LETTERS) * smallest + 3 * self.shift_max
    crowded = self.always_fit and longest + 2 > self.length
    if self.max_n <= smallest or crowded:
      raise UserError(
          f"length={self.length}, max_n={self.max_n}: some languages with"
          f" shifts in [{self.shift_min}, {self.shift_max}] have no string;"
          f" max_n must exceed {smallest}, length be at least {longest + 2}"
      )


def shifts(task: jax.Array) -> jax.Array:
  """Shifts of all letters, `[..., 4]`: m with m_a = 0 prepended."""
  return jnp.concatenate([jnp.zeros_like(task[..., :1]), task], axis=-1)


def write(task: jax.Array, n: jax.Array, length: int) -> jax.Array:
  """Writes the language's strings with n a's, as tokens.

  Args:
    task: [3] int32.
    n: [B] int32, number of a's.
    length: symbols of a sequence with BOS and padding, T + 1.

  Returns:
    [B, T + 1] int32: BOS, the string, then EOS as padding.
  """
  lengths = n[:, None] + shifts(task)[None]
  ends = jnp.cumsum(lengths, axis=-1, dtype=jnp.int32)
  place = jnp.arange(length - 1, dtype=jnp.int32)[None, None]
  letter = jnp.sum(place >= ends[:, :, None], axis=1, dtype=jnp.int32)
  tokens = jnp.where(letter == len(LETTERS), EOS, letter)
  return jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=BOS)


def _counts_and_end(tokens):
  """Letter counts before the first EOS; masks of EOS and of steps before."""
  string = tokens[..., 1:]
  is_end = string == EOS
  before = jnp.cumsum(is_end, axis=-1, dtype=jnp.int32) == 0
  letters = jax.nn.one_hot(string, len(LETTERS), dtype=bool)
  counts = jnp.sum(letters & before[..., None], axis=-2, dtype=jnp.int32)
  return counts, is_end, before


def is_member_by_counts(task: jax.Array, tokens: jax.Array) -> jax.Array:
  """Tests membership as the authors' release does: by counts before EOS.

  It ignores the order of letters ("abab" passes as a²b²) and all tokens after
  EOS.

  Args:
    task: [3] integers.
    tokens: [..., T + 1] integers; the first one, BOS, is ignored.

  Returns:
    [...] bool.
  """
  task, tokens = jnp.asarray(task), jnp.asarray(tokens)
  counts, is_end, _ = _counts_and_end(tokens)
  m = shifts(task).astype(counts.dtype)
  n = counts - jax.lax.broadcast_to_rank(m, counts.ndim)
  return jnp.any(is_end, axis=-1) & jnp.all(n == n[..., :1], axis=-1)


def is_member(task: jax.Array, tokens: jax.Array) -> jax.Array:
  """Tests strict membership: counts, order, and only EOS after the string.

  Args:
    task: [3] integers.
    tokens: [..., T + 1] integers; the first one must be BOS.

  Returns:
    [...] bool.
  """
  tokens = jnp.asarray(tokens)
  _, is_end, before = _counts_and_end(tokens)
  string = tokens[..., 1:]
  letters_only = jnp.all(~before | (string < len(LETTERS)), axis=-1)
  padded = jnp.all(before | is_end, axis=-1)
  falls = (string[..., 1:] < string[..., :-1]) & before[..., 1:]
  in_order = ~jnp.any(falls, axis=-1)
  valid = (tokens[..., 0] == BOS) & jnp.all(string >= 0, axis=-1)
  counted = is_member_by_counts(task, tokens)
  return counted & letters_only & padded & in_order & valid


def count_shifts(tokens: jax.Array) -> jax.Array:
  """Estimates a task from strings: counts of b, c, d minus the count of a.

  Args:
    tokens: [K, T + 1] integers, strings that a network generated.

  Returns:
    [3] int32, the median over strings.
  """
  counts, _, _ = _counts_and_end(jnp.asarray(tokens, jnp.int32))
  m = (counts[:, 1:] - counts[:, :1]).astype(jnp.float32)
  return jnp.round(jnp.median(m, axis=0)).astype(jnp.int32)


def sample_strings(
    key: Key, rnn, weights: Weights, count: int, length: int
) -> tuple[jax.Array, jax.Array]:
  """Samples strings from a network, autoregressively.

  Sampling continues after EOS, to the end of the sequence.

  Args:
    key: for sampling.
    rnn: an `RNN`, not annotated because this module must not import it.
    weights: of one network.
    count: number of strings, K.
    length: symbols of a sequence with BOS, T + 1.

  Returns:
    tokens [K, T + 1] int32, log-probabilities [T, K, V] float32.
  """
  draws = jax.random.uniform(
      derive(key, "draws"), (length - 1, count), jnp.float32
  )
  tokens, log_probs = rnn.generate(weights, BOS, draws)
  return jnp.pad(tokens.T, ((0, 0), (1, 0)), constant_values=BOS), log_probs


def make(config: Config) -> TaskFamily:
  """The family of formal languages."""

  def sample_task(key):
    return jax.random.randint(
        key, (3,), config.shift_min, config.shift_max + 1, jnp.int32
    )

  def sample_batch(key, task, size):
    return _batch(config, task, _sample_n(config, key, task, size))

  def rollouts(key, task, rnn, weights, count):
    del task  # the network samples from its own distribution
    tokens, log_probs = sample_strings(
        key, rnn, weights, count, config.length
    )
    return Rollouts(
        tokens.astype(jnp.int8),
        jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16),
    )

  def encode(task, sequences):
    del task
    read = sequences[:, :-1].T.astype(jnp.int32)
    return jax.nn.one_hot(read, VOCABULARY, dtype=jnp.float32)

  def decode(sequences):
    task = count_shifts(sequences)
    return jnp.clip(task, config.shift_min, config.shift_max)

  return TaskFamily(
      spec=TaskSpec(
          inputs=VOCABULARY,
          outputs=VOCABULARY,
          length=config.length - 1,
          kind="token",
          task_names=("m_b", "m_c", "m_d"),
          metric_names=("accuracy", "accuracy_counts", "loss"),
          symbols=(*LETTERS, "BOS", "EOS"),
          classes=(config.shift_min, config.shift_max),
          first=BOS,
      ),
      sample_task=sample_task,
      sample_batch=sample_batch,
      rollouts=rollouts,
      encode=encode,
      mask=lambda sequences: _words.unpadded(sequences.T, EOS),
      performance=functools.partial(_performance, config),
      novelty=novelty,
      describe=describe,
      decode=decode,
  )


def _sample_n(config, key, task, size):
  """Samples n uniformly from those allowed by `config`, [size] int32."""
  m = shifts(task)
  low, high = jnp.maximum(0, -jnp.min(m)), config.max_n
  if config.always_fit:
    room = config.length - 2 - jnp.sum(m, dtype=jnp.int32)
    high = jnp.minimum(high, room // len(LETTERS) + 1)
  return jax.random.randint(key, (size,), low, high, jnp.int32)


def _batch(config, task, n):
  """A `Batch` of the strings with n a's."""
  tokens = write(task, n, config.length).T
  mask = jnp.ones(tokens[1:].shape, jnp.float32)
  return Batch(
      inputs=jax.nn.one_hot(tokens[:-1], VOCABULARY, dtype=jnp.float32),
      targets=tokens[1:],
      mask=_words.unpadded(tokens, EOS) if config.mask_padding else mask,
  )


def _performance(config, key, task, rnn, weights):
  tokens, _ = sample_strings(
      derive(key, "strings"), rnn, weights, config.eval_strings, config.length
  )
  # Strings are determined by n, so the network reads each n once
  n, counts = jnp.unique(
      _sample_n(config, derive(key, "loss"), task, config.eval_batch),
      return_counts=True,
      size=min(config.eval_batch, config.max_n),
  )
  batch = _batch(config, task, n)
  log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
  labels = jax.nn.one_hot(batch.targets, VOCABULARY, dtype=jnp.float32)
  losses = -jnp.sum(labels * log_probs, axis=-1)
  weight = batch.mask * counts.astype(jnp.float32)[None]
  return {
      "accuracy": jnp.mean(is_member(task, tokens), dtype=jnp.float32),
      "accuracy_counts": jnp.mean(
          is_member_by_counts(task, tokens), dtype=jnp.float32
      ),
      "loss": jnp.sum(losses * weight) / jnp.sum(weight),
  }


def novelty(task: jax.Array) -> jax.Array:
  """The entropy of the letters in the string with n = 1 - min(m)."""
  m = shifts(task).astype(jnp.float32)
  p = 1 + m - jnp.min(m)
  p = p / jnp.sum(p)
  return -jnp.sum(p * jnp.log(p))


def describe(task: np.ndarray) -> str:
  """Describes a language in symbols: "a^n b^(n+1) c^n d^(n-1)"."""
  powers = ["n", *(f"(n{int(m):+d})" if m else "n" for m in task)]
  return " ".join(f"{x}^{power}" for x, power in zip(LETTERS, powers))
