"""Deterministic finite automata, complete and minimal, as arrays."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.keys import derive
from weightspace.types import Key

_FAR = 10**6  # letters to an accepting state from where there is no way

# (next states of each state, accepting states): a*; (ab)*; no odd number of b
# after an odd number of a; no bbb; even numbers of both; as many a as b, modulo
# 3; b*a*b*a*
TOMITA = (
    (((0, 1), (1, 1)), (0,)),
    (((1, 2), (2, 0), (2, 2)), (0,)),
    (((1, 0), (0, 2), (3, 4), (3, 3), (1, 2)), (0, 1, 4)),
    (((0, 1), (0, 2), (0, 3), (3, 3)), (0, 1, 2)),
    (((1, 2), (0, 3), (3, 0), (2, 1)), (0,)),
    (((1, 2), (2, 0), (0, 1)), (0,)),
    (((1, 0), (1, 2), (3, 2), (3, 4), (4, 4)), (0, 1, 2, 3)),
)


class Automaton(NamedTuple):
  """An automaton, which begins in state 0.

  Attributes:
    n: how many states it has, at most S; entries of the others are 0.
    following: [S, A] int32, the state after each letter.
    accepting: [S] bool.
  """

  n: jax.Array
  following: jax.Array
  accepting: jax.Array


def distances(automaton: Automaton) -> jax.Array:
  """Letters from each state to the nearest accepting one, [S] int32.

  Where none can be reached, that is more than any word has.
  """
  _, following, accepting = automaton
  distance = jnp.where(accepting, 0, _FAR).astype(jnp.int32)
  for _ in range(len(accepting) - 1):
    distance = jnp.minimum(distance, 1 + jnp.min(distance[following], axis=1))
  return distance


def _numbered(automaton):
  """With states in the order in which they are reached; whether all are."""
  n, following, accepting = automaton
  states, letters = following.shape
  number = jnp.full(states, -1, jnp.int32).at[0].set(0)
  count = jnp.int32(1)
  for i in range(states):
    state = jnp.argmax(number == i).astype(jnp.int32)
    for letter in range(letters):
      to = following[state, letter]
      new = (number[to] < 0) & (i < count)
      number = number.at[to].set(jnp.where(new, count, number[to]))
      count += new.astype(jnp.int32)
  place = jnp.where(number >= 0, number, states)  # nowhere, if not reached
  moved = jnp.zeros_like(following).at[place].set(
      number[following], mode="drop"
  )
  accepts = jnp.zeros_like(accepting).at[place].set(accepting, mode="drop")
  return Automaton(n, moved, accepts), count == n


def is_minimal(automaton: Automaton) -> jax.Array:
  """Whether some word tells any two states apart; all must be reachable."""
  n, following, accepting = automaton
  letters = following.shape[1]
  apart = accepting[:, None] != accepting[None]
  for _ in range(len(accepting) - 1):
    for letter in range(letters):
      to = following[:, letter]
      apart |= apart[to[:, None], to[None]]
  used = jnp.arange(len(accepting), dtype=jnp.int32) < n
  pairs = used[:, None] & used[None] & ~jnp.eye(len(accepting), dtype=bool)
  return jnp.all(apart | ~pairs)


def word_length(states: int) -> int:
  """Letters of the longest words that `of_language` asks for."""
  return 2 * states - 2


def of_language(accepts: jax.Array, states: int, letters: int) -> Automaton:
  """The minimal automaton of a language, by the theorem of Myhill and Nerode.

  Two words lead to one state if the language accepts the same of their
  continuations. Of an automaton with S states, words of S - 1 letters reach
  each state and continuations of S - 2 letters tell any two apart.

  Args:
    accepts: bool, whether the language has each word of up to
      `word_length(states)` letters: the empty word, then words in the order of
      their length and of the alphabet.
    states: the most that the automaton has, S. Where no automaton of so few
      fits, the state after a letter is the one that differs in the fewest
      words.
    letters: of the alphabet, A.
  """
  rows = accepts[_continuations(states, letters)]
  index = jnp.arange(states, dtype=jnp.int32)
  word = jnp.zeros(states, jnp.int32)  # the first that leads to each state
  following = jnp.zeros((states, letters), jnp.int32)
  count = jnp.int32(1)
  for state in range(states):
    for letter in range(letters):
      longer = letters * word[state] + 1 + letter
      unlike = rows[longer][None] != rows[word]  # [S, F]
      differ = jnp.sum(unlike, axis=1, dtype=jnp.int32)
      differ = jnp.where(index < count, differ, rows.shape[1] + 1)
      new = (state < count) & (count < states) & (jnp.min(differ) > 0)
      to = jnp.where(new, count, jnp.argmin(differ).astype(jnp.int32))
      following = following.at[state, letter].set(
          jnp.where(state < count, to, 0)
      )
      word = word.at[jnp.where(new, count, states)].set(longer, mode="drop")
      count += new.astype(jnp.int32)
  return Automaton(count, following, accepts[word] & (index < count))


def _continuations(states, letters):
  """Numbers of the words that continue each word of up to S letters, [P, F]."""
  words = np.arange(sum(letters**k for k in range(states + 1)))[:, None]
  levels = [words]
  for _ in range(states - 2):
    longer = letters * levels[-1][..., None] + 1 + np.arange(letters)
    levels.append(longer.reshape(len(words), -1))
  return np.concatenate(levels, axis=1)


def sample(key: Key, states: int, letters: int) -> Automaton:
  """A minimal automaton with 2 to `states` states, by rejection."""
  n = jax.random.randint(derive(key, "n"), (), 2, states + 1, jnp.int32)
  used = jnp.arange(states, dtype=jnp.int32) < n

  def draw(key):
    following = jax.random.randint(
        derive(key, "following"), (states, letters), 0, n, jnp.int32
    )
    accepting = used & jax.random.bernoulli(
        derive(key, "accepting"), jnp.float32(0.5), (states,)
    )
    following = jnp.where(used[:, None], following, 0)
    made, is_whole = _numbered(Automaton(n, following, accepting))
    return made, is_whole & is_minimal(made)

  def again(carry):
    key, _, _ = carry
    key = derive(key, "again")
    return key, *draw(key)

  return jax.lax.while_loop(
      lambda carry: ~carry[2], again, (key, *draw(key))
  )[1]
