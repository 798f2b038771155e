"""Regular languages: those of minimal automata with a few states.

A task is a deterministic finite automaton over the letters a and b: how many
states it has, the state after each letter, and which states accept. It is
minimal and complete, and its states are numbered in the order in which they are
reached from state 0, a before b; so a language has one task. Among the automata
are the seven of Tomita (1982).

A network reads BOS and a word, letter by letter, and predicts the next letter;
after the word it predicts EOS. Words are walks over letters from which an
accepting state can still be reached in time; an accepting state ends a word
with a probability of the config.
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
from weightspace.tasks._automata import (
  TOMITA,
  Automaton,
  distances,
  of_language,
  sample,
  word_length,
)
from weightspace.types import Key, Weights

LETTERS = "ab"
BOS, EOS = len(LETTERS), len(LETTERS) + 1

@dataclass(frozen=True)
class Config:
  """Parameters that all languages of a zoo share.

  Attributes:
    states: the most that an automaton has; their number is uniform from 2,
      but for Tomita's.
    tomita: the share of tasks that are one of Tomita's seven, as far as they
      have so few states.
    stop: the probability that a word ends where it may.
    length: symbols of a sequence with BOS and padding, T + 1.
    eval_strings: words sampled from the network to measure its accuracy.
    eval_batch: words of the language to measure the loss.
  """

  states: int = 6
  tomita: float = 0.1
  stop: float = 0.2
  length: int = 24
  eval_strings: int = 500
  eval_batch: int = 64

  def __post_init__(self):
    fields.check_integers(self, "length", "eval_strings", "eval_batch")
    fields.check_integers(self, "states", least=2)
    fields.check_numbers(self, "tomita", least=0, most=1)
    fields.check_numbers(self, "stop", above=0, most=_words.MOST_STOP)
    # A word, its BOS and EOS: as long as those that tell automata apart
    longest = word_length(self.states) + 2
    if self.length < longest:
      raise UserError(
          f"length={self.length} leaves no room for the words that tell"
          f" automata with {self.states} states apart: it must be at least"
          f" {longest}"
      )


def to_task(following, accepting, states: int) -> np.ndarray:
  """The task of an automaton, [1 + 3 states] int32.

  Args:
    following: [n, 2], the state after a and after b.
    accepting: accepting states.
    states: the most that an automaton of the family has.
  """
  n = len(following)
  task = np.zeros(1 + (len(LETTERS) + 1) * states, np.int32)
  task[0] = n
  task[1 : 1 + 2 * n] = np.ravel(following)
  task[1 + 2 * states + np.asarray(accepting, int)] = 1
  return task


def to_automaton(task: jax.Array) -> Automaton:
  """The automaton of a task [D]."""
  states = (task.shape[-1] - 1) // (len(LETTERS) + 1)
  following = task[1 : 1 + 2 * states].reshape(states, len(LETTERS))
  return Automaton(task[0], following, task[1 + 2 * states :] == 1)


def is_member(task: jax.Array, tokens: jax.Array) -> jax.Array:
  """Tests whether strings are BOS, a word of the language, then only EOS.

  Args:
    task: [D] integers.
    tokens: [K, T + 1] integers.

  Returns:
    [K] bool.
  """
  _, following, accepting = to_automaton(jnp.asarray(task))
  tokens = jnp.asarray(tokens, jnp.int32)

  def step(carry, token):
    state, ended, valid = carry
    is_letter = token < len(LETTERS)
    valid &= (token >= 0) & jnp.where(is_letter, ~ended, token == EOS)
    valid &= is_letter | ended | accepting[state]
    after = following[state, jnp.clip(token, 0, len(LETTERS) - 1)]
    return (
        jnp.where(is_letter & ~ended, after, state), ended | ~is_letter, valid
    ), None

  count = tokens.shape[0]
  start = (
      jnp.zeros(count, jnp.int32), jnp.zeros(count, bool), tokens[:, 0] == BOS
  )
  (_, ended, valid), _ = jax.lax.scan(step, start, tokens[:, 1:].T)
  return ended & valid


def write(
    config: Config, key: Key, task: jax.Array, count: int
) -> jax.Array:
  """Samples words of a language, [count, T + 1] int32 tokens.

  A word has at most T - 1 letters, and then EOS to the end.
  """
  automaton = to_automaton(task)
  _, following, accepting = automaton
  distance = distances(automaton)
  steps = config.length - 1

  def step(carry, now):
    state, ended = carry
    key, left = now  # letters that fit beside EOS
    after = following[state]  # [count, 2]
    live = distance[after] < left
    at = accepting[state]
    stops = jax.random.bernoulli(
        derive(key, "stop"), jnp.float32(config.stop), (count,)
    )
    ends = ended | (at & (stops | ~jnp.any(live, axis=-1)))
    letter = jax.random.categorical(
        derive(key, "letter"), jnp.where(live, 0.0, -jnp.inf)
    ).astype(jnp.int32)
    state = jnp.take_along_axis(after, letter[:, None], axis=1)[:, 0]
    return (state, ends), jnp.where(ends, EOS, letter)

  keys = jax.random.split(key, steps)
  left = jnp.arange(steps - 1, -1, -1, dtype=jnp.int32)
  start = jnp.zeros(count, jnp.int32), jnp.zeros(count, bool)
  _, tokens = jax.lax.scan(step, start, (keys, left))
  return jnp.pad(tokens.T, ((0, 0), (1, 0)), constant_values=BOS)


def least(config: Config) -> float:
  """Half of the probability that a symbol which may follow has at least.

  A network that gives a symbol less takes it for one that may not follow.
  """
  return min(config.stop, (1 - config.stop) / len(LETTERS)) / 2


def answers(config: Config, rnn, weights: Weights) -> jax.Array:
  """Which short words a network takes for words of its language.

  The network reads BOS and each word. It accepts one if each of its letters
  may follow, and then EOS; see `least`.

  Returns:
    bool, in the order of `of_language`.
  """
  letters = len(LETTERS)
  tokens = jnp.eye(letters + 2, dtype=jnp.float32)
  state, logits = rnn.step(
      weights, rnn.initial_state((1,)), tokens[BOS : BOS + 1]
  )
  begins, accepts = jnp.ones(1, bool), []
  for _ in range(word_length(config.states)):
    possible = jax.nn.softmax(logits) > least(config)
    accepts.append(begins & possible[:, EOS])
    begins = (begins[:, None] & possible[:, :letters]).ravel()
    state = jax.tree.map(lambda leaf: jnp.repeat(leaf, letters, axis=0), state)
    read = jnp.tile(tokens[:letters], (len(logits), 1))
    state, logits = rnn.step(weights, state, read)
  possible = jax.nn.softmax(logits) > least(config)
  return jnp.concatenate([*accepts, begins & possible[:, EOS]])


def read(config: Config, accepts: jax.Array) -> jax.Array:
  """The task [D] of the automaton whose `answers` these are."""
  return _task(of_language(accepts, config.states, len(LETTERS)))


def _task(automaton):
  n, following, accepting = automaton
  return jnp.concatenate([
      n[None], following.reshape(-1), accepting.astype(jnp.int32)
  ])


def make(config: Config) -> TaskFamily:
  """The family of regular languages."""
  known = [
      to_task(following, accepting, config.states)
      for following, accepting in TOMITA
      if len(following) <= config.states
  ]

  def sample_task(key):
    drawn = _task(
        sample(derive(key, "automaton"), config.states, len(LETTERS))
    )
    one = jax.random.randint(
        derive(key, "which"), (), 0, len(known), jnp.int32
    )
    is_known = jax.random.bernoulli(
        derive(key, "known"), jnp.float32(config.tomita)
    )
    return jnp.where(is_known, jnp.asarray(np.stack(known))[one], drawn)

  states = range(config.states)
  return _words.make(
      config,
      LETTERS,
      task_names=(
          "states",
          *(f"after_{s}{letter}" for s in states for letter in LETTERS),
          *(f"accepts_{s}" for s in states),
      ),
      classes=(0, config.states),
      write=functools.partial(write, config),
      is_member=is_member,
      sample_task=sample_task,
      novelty=_words.hashed,
      describe=describe,
      interrogate=lambda rnn, weights: read(
          config, answers(config, rnn, weights)
      ),
  )


def describe(task: np.ndarray) -> str:
  """Describes an automaton: "0: a 1, b 0; 1, accepts: a 1, b 0"."""
  n = int(task[0])
  states = (len(task) - 1) // (len(LETTERS) + 1)
  rows = []
  for state in range(n):
    accepts = ", accepts" if task[1 + 2 * states + state] else ""
    to = task[1 + 2 * state : 3 + 2 * state]
    moves = ", ".join(f"{x} {int(s)}" for x, s in zip(LETTERS, to))
    rows.append(f"{state}{accepts}: {moves}")
  return "; ".join(rows)
