"""What fixed strings tell: measured on networks, counted, and by force."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from weightspace.theory import families, networks, rollouts

DEPTH = 4


def answers_of_all(depth, strings):
  """[2^d, M, d] answers, from the functions rather than from networks."""
  coded = [
      [
          [families.secret_path(w, x[:t]) - 1 for t in range(depth)]
          for x in strings.tolist()
      ]
      for w in rollouts.words(depth).tolist()
  ]
  return np.where(np.array(coded) < 0, networks.OFF, coded)


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_a_fixed_string_reveals_less_than_two_bits(depth):
  rnn = networks.make("elman", depth)

  @jax.jit
  def ask_all(words, string):
    weights = jax.vmap(lambda w: networks.build(rnn, w))(words)
    return jax.vmap(lambda w: rollouts.ask(rnn, w, string))(weights)

  strings = rollouts.words(depth - 1)
  for string in (strings[:1], strings[-1:], strings[len(strings) // 3 :][:1]):
    answers = np.asarray(ask_all(rollouts.words(depth), string))
    closed = 2 - 2.0 ** (1 - depth)
    assert rollouts.bits_answered(answers, string) == closed
    assert rollouts.information(answers) == pytest.approx(closed)
    assert rollouts.expected_bits(depth) == closed


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9])
def test_branching_strings_attain_the_bounds(count):
  strings = rollouts.branching_strings(DEPTH, count)
  answers = answers_of_all(DEPTH, strings)
  outcomes = np.unique(answers.reshape(len(answers), -1), axis=0)
  wanted = rollouts.expected_bits(DEPTH, count)
  assert rollouts.bits_answered(answers, strings) == pytest.approx(wanted)
  assert rollouts.information(answers) == pytest.approx(wanted)
  share = len(outcomes) / len(answers)
  assert share == rollouts.expected_accuracy(DEPTH, count)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_strings_do_better(count):
  every = rollouts.words(DEPTH - 1)
  for chosen in itertools.combinations(range(len(every)), count):
    answers = answers_of_all(DEPTH, every[list(chosen)])
    assert rollouts.information(answers) <= rollouts.expected_bits(
        DEPTH, count
    ) + 1e-9
    outcomes = np.unique(answers.reshape(len(answers), -1), axis=0)
    assert len(outcomes) / len(answers) <= rollouts.expected_accuracy(
        DEPTH, count
    )


@hypothesis.given(st.integers(1, 9), st.integers(1, 300))
def test_enough_strings_tell_everything(depth, extra):
  needed = families.secret_paths_cost(depth).noninteractive
  assert rollouts.expected_bits(depth, needed + extra) == depth
  assert rollouts.expected_accuracy(depth, needed + extra) == 1
  if needed > 1:
    assert rollouts.expected_accuracy(depth, needed - 1) < 1


def test_words():
  assert rollouts.words(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
  assert rollouts.branching_strings(3, 3).tolist() == [[0, 0], [1, 0], [0, 1]]
