"""Regular languages: automata, and words, against plain Python."""

import itertools
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import tasks
from weightspace.tasks import regular_language
from weightspace.tasks._automata import TOMITA, distances
from weightspace.tasks.regular_language import BOS, EOS, Config, to_task

STATES, LENGTH = 5, 10
CONFIG = Config(states=STATES, length=LENGTH, tomita=0.2)
FAMILY = regular_language.make(CONFIG)
WORDS = [
    "".join(word)
    for n in range(LENGTH - 1)
    for word in itertools.product("ab", repeat=n)
]


def _blocks(word):
  """No block of b of odd length right after one of a of odd length."""
  blocks = [(x, len(list(run))) for x, run in itertools.groupby(word)]
  pairs = itertools.pairwise(blocks)
  return not any(x == "a" and n % 2 and m % 2 for (x, n), (_, m) in pairs)


TOMITAS = (  # as they are defined, by no automaton
    lambda word: "b" not in word,
    lambda word: re.fullmatch("(ab)*", word),
    _blocks,
    lambda word: "bbb" not in word,
    lambda word: word.count("a") % 2 == word.count("b") % 2 == 0,
    lambda word: (word.count("a") - word.count("b")) % 3 == 0,
    lambda word: re.fullmatch("b*a*b*a*", word),
)


def tokens(words, length=LENGTH):
  rows = [[BOS, *("ab".index(x) for x in word)] for word in words]
  return np.array([row + [EOS] * (length - len(row)) for row in rows])


def plain(task):
  """Number of states, moves and accepting states of a task, in Python."""
  n, moves = int(task[0]), task[1 : 1 + 2 * STATES].reshape(-1, 2).tolist()
  return n, moves[:n], np.flatnonzero(task[1 + 2 * STATES :]).tolist()


def ends_in(moves, word, state=0):
  for letter in word:
    state = moves[state]["ab".index(letter)]
  return state


def _accepts(automaton, row):
  _, moves, accepting = automaton
  if row[0] != BOS or EOS not in row:
    return False
  word, padding = row[1 : row.index(EOS)], row[row.index(EOS) :]
  if BOS in word or set(padding) != {EOS}:
    return False
  return ends_in(moves, "".join("ab"[x] for x in word)) in accepting


@pytest.fixture(scope="module")
def sampled():
  keys = jax.random.split(jax.random.key(0), 60)
  return np.asarray(jax.jit(jax.vmap(FAMILY.sample_task))(keys))


is_member = jax.jit(regular_language.is_member)


@pytest.mark.parametrize("number", range(len(TOMITA)))
def test_tomitas_languages_are_as_defined(number):
  task = to_task(*TOMITA[number], STATES)
  expected = [bool(TOMITAS[number](word)) for word in WORDS]
  np.testing.assert_array_equal(is_member(task, tokens(WORDS)), expected)
  assert 0 < sum(expected) < len(WORDS)


def test_automata_are_minimal_and_numbered_as_they_are_reached(sampled):
  assert set(sampled[:, 0].tolist()) == set(range(2, STATES + 1))
  assert len(np.unique(sampled, axis=0)) > 40
  short = [word for word in WORDS if len(word) <= STATES]
  for task in sampled:
    n, moves, accepting = plain(task)
    assert not np.any(task[1 + 2 * n : 1 + 2 * STATES])
    assert max(accepting) < n
    reached = dict.fromkeys(ends_in(moves, word) for word in short)
    assert list(reached) == list(range(n))  # words are in breadth-first order
    accepts = {
        tuple(ends_in(moves, word, state) in accepting for word in short)
        for state in range(n)
    }
    assert len(accepts) == n


def test_membership_is_that_of_a_loop_over_letters(sampled):
  generator = np.random.default_rng(0)
  drawn = generator.integers(0, EOS + 1, (200, LENGTH))
  drawn[:150, 0] = BOS
  drawn[:100] = np.where(drawn[:100] == BOS, 0, drawn[:100])
  drawn[:100, 0] = BOS
  for row in drawn[:100]:  # only EOS after the first one
    ends = np.flatnonzero(row == EOS)
    row[ends[0] if len(ends) else LENGTH :] = EOS
  members = 0
  for task in sampled[:10]:
    expected = [_accepts(plain(task), row.tolist()) for row in drawn]
    members += sum(expected)
    np.testing.assert_array_equal(is_member(task, drawn), expected)
  assert members > 100


def test_all_words_that_are_written_are_members_and_all_short_ones_are(sampled):
  write = jax.jit(
      lambda key, task: regular_language.write(CONFIG, key, task, 400)
  )
  for seed, task in enumerate(sampled[:12]):
    written = np.asarray(write(jax.random.key(seed), task))
    assert np.all(is_member(task, written))
    every = tokens([word for word in WORDS if len(word) <= 2])
    members = every[np.asarray(is_member(task, every))]
    rows = {tuple(row) for row in written.tolist()}
    assert {tuple(row) for row in members.tolist()} <= rows


def test_targets_are_the_next_letters(sampled):
  batch = FAMILY.sample_batch(jax.random.key(0), jnp.asarray(sampled[0]), 6)
  read = np.argmax(batch.inputs, axis=-1)
  np.testing.assert_array_equal(read[1:], batch.targets[:-1])
  assert np.all(read[0] == BOS)
  ended = np.cumsum(np.asarray(batch.targets) == EOS, axis=0) > 0
  assert np.all(np.asarray(batch.targets)[ended] == EOS)
  assert np.all(batch.mask == 1)  # EOS is learned to the end


def test_it_is_described():
  assert FAMILY.describe(to_task(*TOMITA[0], STATES)) == (
      "0, accepts: a 0, b 1; 1: a 1, b 1"
  )


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"states": 1}, "states must be at least 2"),
        ({"stop": 0.0}, "stop must be positive"),
        ({"stop": 1.0}, "stop must be at most 0.99"),
        ({"tomita": 1.5}, "at most 1"),
        ({"states": 6, "length": 7}, "must be at least 12"),
    ],
)
def test_configs_that_cannot_be_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    tasks.make("regular_language", fields)


class Automaton(NamedTuple):
  """A network that knows the automaton; its weights are the task."""

  initial_state: Callable = lambda batch: jnp.zeros(batch, jnp.int32)

  @staticmethod
  def step(task, state, x):
    automaton = regular_language.to_automaton(task)
    token = jnp.argmax(x, axis=-1)
    after = automaton.following[state, jnp.minimum(token, 1)]
    state = jnp.where(token == BOS, 0, after)
    far = distances(automaton)
    may = jnp.stack([
        *(far[automaton.following[state, x]] < 100 for x in range(2)),
        jnp.zeros(state.shape, bool), automaton.accepting[state],
    ], axis=-1)  # fmt: skip
    return state, jnp.where(may, 0.0, -9.0)


def test_the_table_is_read_off_answers(sampled):
  """Of networks that know their automata, and off answers by plain Python."""
  ask = jax.jit(jax.vmap(lambda task: FAMILY.interrogate(Automaton(), task)))
  np.testing.assert_array_equal(ask(sampled), sampled)
  every = [word for word in WORDS if len(word) <= 2 * STATES - 2]
  answers = jax.jit(
      lambda task: regular_language.answers(CONFIG, Automaton(), task)
  )
  for task in sampled[:5]:
    _, moves, accepting = plain(task)
    expected = [ends_in(moves, word) in accepting for word in every]
    np.testing.assert_array_equal(answers(task), expected)


def test_lstar_reads_the_same_table(sampled):
  pytest.importorskip("aalpy")
  from experiments.automata import learning

  for task in sampled[:20]:
    _, moves, accepting = plain(task)

    def accepts(word, moves=moves, accepting=accepting):
      word = "".join("ab"[letter] for letter in word)
      return ends_in(moves, word) in accepting

    short = [
        word
        for n in range(2 * STATES - 1)
        for word in itertools.product((0, 1), repeat=n)
    ]
    answers = np.array([accepts(word) for word in short])
    learned, queries = learning.learn(answers, STATES, accepts)
    np.testing.assert_array_equal(learned, task)
    assert queries < len(short)
    learned, _ = learning.learn(answers, int(task[0]) - 1, accepts)
    assert not learned.any()  # there is none of fewer states
