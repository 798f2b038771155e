"""Dyck languages: well nested brackets of one to three kinds.

A task is four integers: how many kinds of brackets there are, how deep they may
be nested, how readily one is opened, in fifths, and which kind is opened most
often. Where brackets may not be nested, how readily one is opened does not
matter: it is 1.

A network reads BOS and a word, bracket by bracket, and predicts the next one;
after the word it predicts EOS.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.tasks import TaskFamily, _words
from weightspace.types import Key, Weights

PAIRS = ("()", "[]", "{}")
LETTERS = "".join(PAIRS)  # an opening bracket is even, its closing one odd
BOS, EOS = len(LETTERS), len(LETTERS) + 1
FIFTHS = 4  # an open word gets deeper with probability 1/5 to 4/5
FAVOURITE = 0.6  # share of the favourite kind; the others share the rest


@dataclass(frozen=True)
class Config:
  """Parameters that all languages of a zoo share.

  Attributes:
    kinds: the most kinds of brackets that a language has.
    depth: the most that brackets of a language may be nested.
    stop: the probability that a word ends where it may.
    length: symbols of a sequence with BOS and padding, T + 1.
    eval_strings: words sampled from the network to measure its accuracy.
    eval_batch: words of the language to measure the loss.
  """

  kinds: int = 3
  depth: int = 5
  stop: float = 0.15
  length: int = 32
  eval_strings: int = 500
  eval_batch: int = 64

  def __post_init__(self):
    fields.check_integers(self, "depth", "length", "eval_strings", "eval_batch")
    fields.check_integers(self, "kinds", most=len(PAIRS))
    fields.check_numbers(self, "stop", above=0, most=_words.MOST_STOP)
    if self.length < 2 * self.depth + 2:
      raise UserError(
          f"length={self.length} leaves no room for brackets nested"
          f" {self.depth} deep: it must be at least {2 * self.depth + 2}"
      )


def is_member(task: jax.Array, tokens: jax.Array) -> jax.Array:
  """Tests whether strings are BOS, a word of the language, then only EOS.

  Args:
    task: [4] integers.
    tokens: [K, T + 1] integers.

  Returns:
    [K] bool.
  """
  task, tokens = jnp.asarray(task), jnp.asarray(tokens, jnp.int32)
  count = tokens.shape[0]
  rows = jnp.arange(count, dtype=jnp.int32)

  def step(carry, token):
    stack, height, ended, valid = carry
    is_letter = (token >= 0) & (token < len(LETTERS))
    opens = is_letter & (token % 2 == 0)
    top = stack[rows, jnp.maximum(height - 1, 0)]
    fits = jnp.where(
        opens,
        (height < task[1]) & (token // 2 < task[0]),
        (height > 0) & (top == token // 2),
    )
    valid &= jnp.where(
        is_letter, ~ended & fits, (token == EOS) & (ended | (height == 0))
    )
    place = jnp.where(opens, height, stack.shape[1])  # out of it: dropped
    stack = stack.at[rows, place].set(token // 2, mode="drop")
    change = jnp.where(is_letter, jnp.where(opens, 1, -1), 0)
    return (stack, height + change, ended | ~is_letter, valid), None

  zeros = jnp.zeros(count, jnp.int32)
  stack = jnp.zeros((count, tokens.shape[1]), jnp.int32)
  start = stack, zeros, zeros > 0, tokens[:, 0] == BOS
  (_, _, ended, valid), _ = jax.lax.scan(step, start, tokens[:, 1:].T)
  return ended & valid


def write(
    config: Config, key: Key, task: jax.Array, count: int
) -> jax.Array:
  """Samples words of a language, [count, T + 1] int32 tokens.

  Outside of all brackets a word ends with the config's probability. Inside, it
  opens another one with the task's, unless it is as deep as it may be or what
  is open could no longer be closed.
  """
  kinds, depth, fifths, favourite = task
  rows = jnp.arange(count, dtype=jnp.int32)
  places = jnp.arange(len(PAIRS), dtype=jnp.int32)
  others = (1 - FAVOURITE) / jnp.maximum(kinds - 1, 1).astype(jnp.float32)
  shares = jnp.where(places == favourite - 1, FAVOURITE, others)
  logits = jnp.where(places < kinds, jnp.log(shares), -jnp.inf)

  def step(carry, now):
    stack, height, ended = carry
    key, left = now  # letters that fit beside EOS
    opens = jax.random.bernoulli(
        derive(key, "open"), fifths.astype(jnp.float32) / 5, (count,)
    )
    kind = jax.random.categorical(
        derive(key, "kind"), logits, shape=(count,)
    ).astype(jnp.int32)
    stops = jax.random.bernoulli(
        derive(key, "stop"), jnp.float32(config.stop), (count,)
    )
    fits = (height < depth) & (height + 2 <= left)
    ended |= (height == 0) & (stops | ~fits)
    opens = ~ended & fits & (opens | (height == 0))
    top = stack[rows, jnp.maximum(height - 1, 0)]
    token = jnp.where(
        ended, EOS, jnp.where(opens, 2 * kind, 2 * top + 1)
    )
    place = jnp.where(opens, height, config.depth)  # out of it: dropped
    stack = stack.at[rows, place].set(kind, mode="drop")
    height += jnp.where(ended, 0, jnp.where(opens, 1, -1))
    return (stack, height, ended), token

  steps = config.length - 1
  zeros = jnp.zeros(count, jnp.int32)
  start = jnp.zeros((count, config.depth), jnp.int32), zeros, zeros > 0
  left = jnp.arange(steps - 1, -1, -1, dtype=jnp.int32)
  _, tokens = jax.lax.scan(step, start, (jax.random.split(key, steps), left))
  return jnp.pad(tokens.T, ((0, 0), (1, 0)), constant_values=BOS)


def interrogate(config: Config, rnn, weights: Weights) -> jax.Array:
  """The task [4] of a network, which reads nested brackets of one kind.

  They are those that it opens a word with most often. A bracket may be opened
  if the network gives it more than half of the probability that the rarest one
  that may be opened has there in any language.
  """
  opening = jnp.arange(0, len(LETTERS), 2, dtype=jnp.int32)
  tokens = jnp.eye(len(LETTERS) + 2, dtype=jnp.float32)

  def opens(state, token):
    state, logits = rnn.step(weights, state, tokens[token])
    return state, jax.nn.softmax(logits)[opening]

  state, first = opens(rnn.initial_state(()), BOS)
  rarest = (1 - config.stop) * (1 - FAVOURITE) / max(config.kinds - 1, 1)
  kinds = jnp.sum(first[: config.kinds] > rarest / 2, dtype=jnp.int32)
  kinds = jnp.maximum(kinds, 1)
  favourite = jnp.argmax(first[: config.kinds]).astype(jnp.int32)
  _, inside = jax.lax.scan(
      lambda state, _: opens(state, 2 * favourite), state, length=config.depth
  )
  again = jnp.sum(inside, axis=1)  # having opened 1, 2, ... of them
  may = again > 1 / (2 * (FIFTHS + 1))
  nested = jnp.cumprod(may.astype(jnp.float32))
  often = jnp.sum(nested * again) / jnp.maximum(jnp.sum(nested), 1)
  depth = jnp.minimum(1 + jnp.sum(nested).astype(jnp.int32), config.depth)
  fifths = jnp.clip(jnp.round((FIFTHS + 1) * often), 1, FIFTHS)
  return jnp.stack([kinds, depth, fifths.astype(jnp.int32), favourite + 1])


def make(config: Config) -> TaskFamily:
  """The family of Dyck languages."""

  def sample_task(key):
    def draw(name, most):
      return jax.random.randint(derive(key, name), (), 1, most + 1, jnp.int32)

    kinds, depth = draw("kinds", config.kinds), draw("depth", config.depth)
    fifths = jnp.where(depth > 1, draw("fifths", FIFTHS), 1)
    return jnp.stack([kinds, depth, fifths, draw("favourite", kinds)])

  return _words.make(
      config,
      LETTERS,
      task_names=("kinds", "depth", "opening", "favourite"),
      classes=(1, max(config.kinds, config.depth, FIFTHS)),
      write=functools.partial(write, config),
      is_member=is_member,
      sample_task=sample_task,
      novelty=_words.hashed,
      describe=describe,
      interrogate=functools.partial(interrogate, config),
  )


def describe(task: np.ndarray) -> str:
  """Describes a language: "() [], at most 3 deep, opens 2/5, mostly []"."""
  kinds, depth, fifths, favourite = map(int, task)
  mostly = f", mostly {PAIRS[favourite - 1]}" if kinds > 1 else ""
  pairs = " ".join(PAIRS[:kinds])
  return f"{pairs}, at most {depth} deep, opens {fifths}/5{mostly}"
