"""L* of AALpy, with a network as the teacher."""

from collections.abc import Callable

import numpy as np
from aalpy.base import SUL, Oracle
from aalpy.learning_algs import run_Lstar

from weightspace.tasks.regular_language import LETTERS, to_task

_ALPHABET = list(range(len(LETTERS)))


class _Teacher(SUL):
  """Answers whether the network accepts a word; keeps the words queried.

  To short words it answers what the `_Examiner` compares automata with: a
  probability on the edge may be rounded to either side elsewhere.
  """

  def __init__(
      self, accepts: np.ndarray, is_member: Callable[[tuple[int, ...]], bool]
  ):
    super().__init__()
    self.word, self.queried = (), {}
    self._accepts, self._is_member = accepts, is_member

  def query(self, word):
    """The answer to the whole word, which is all that L* looks at."""
    word = tuple(word)
    if word not in self.queried:
      self.queried[word] = self._answer(word)
    return [self.queried[word]]

  def _answer(self, word):
    place = 0  # words are ordered by length, then by letters
    for letter in word:
      place = len(LETTERS) * place + 1 + letter
    if place < len(self._accepts):
      return bool(self._accepts[place])
    return self._is_member(word)

  def pre(self):
    """Nothing to reset: words are queried as a whole."""

  post = pre

  def step(self, letter):
    raise NotImplementedError("words are queried as a whole")


class _Examiner(Oracle):
  """Compares an automaton with all answers to short words, shortest first."""

  def __init__(self, teacher: _Teacher, accepts: np.ndarray, states: int):
    super().__init__(_ALPHABET, teacher)
    self.accepts, self.states = accepts, states

  def find_cex(self, hypothesis):
    if len(hypothesis.states) > self.states:
      return None  # no automaton of so few fits
    reached = [((), hypothesis.initial_state)]
    for accepts in self.accepts:
      word, state = reached.pop(0)
      if state.is_accepting != accepts:
        return word
      reached += [
          ((*word, letter), state.transitions[letter]) for letter in _ALPHABET
      ]
    return None


def learn(
    accepts: np.ndarray,
    states: int,
    is_member: Callable[[tuple[int, ...]], bool],
) -> tuple[np.ndarray, int]:
  """Learns an automaton by L* from the answers of a network.

  Args:
    accepts: to all short words, see `regular_language.answers`; automata are
      compared with these.
    states: the most that an automaton of the family has.
    is_member: (longer word, as numbers of letters) -> whether the network
      accepts it.

  Returns:
    The task [D], zeros where the automaton has more states; and how many words
    L* queried, the comparisons not counted.
  """
  teacher = _Teacher(accepts, is_member)
  automaton = run_Lstar(
      _ALPHABET, teacher, _Examiner(teacher, accepts, states), "dfa",
      cache_and_non_det_check=False, print_level=0,
  )  # fmt: skip
  numbered = [automaton.initial_state]
  for state in numbered:  # numbered as they are reached, a before b
    for letter in _ALPHABET:
      if (after := state.transitions[letter]) not in numbered:
        numbered.append(after)
  if len(numbered) > states:
    return np.zeros_like(to_task([], [], states)), len(teacher.queried)
  following = [
      [numbered.index(state.transitions[letter]) for letter in _ALPHABET]
      for state in numbered
  ]
  accepting = [i for i, state in enumerate(numbered) if state.is_accepting]
  return to_task(following, accepting, states), len(teacher.queried)
