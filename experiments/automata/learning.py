"""L* of AALpy, with a network as the teacher."""

from collections.abc import Callable

import numpy as np
from aalpy.base import SUL, Oracle
from aalpy.learning_algs import run_Lstar

from weightspace.tasks.regular_language import LETTERS, to_task

_ALPHABET = list(range(len(LETTERS)))


class _Teacher(SUL):
  """Answers whether the network accepts a word; keeps all queries."""

  def __init__(self, is_member: Callable[[tuple[int, ...]], bool]):
    super().__init__()
    self.word, self.queries, self._is_member = (), {}, is_member

  def pre(self):
    self.word = ()

  def post(self):
    pass

  def step(self, letter):
    if letter is not None:
      self.word += (letter,)
    if self.word not in self.queries:
      self.queries[self.word] = self._is_member(self.word)
    return self.queries[self.word]


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
    is_member: (word, as numbers of letters) -> whether the network accepts it.

  Returns:
    The task [D], zeros where the automaton has more states; and how many words
    L* queried, the comparisons not counted.
  """
  teacher = _Teacher(is_member)
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
    return np.zeros_like(to_task([], [], states)), len(teacher.queries)
  following = [
      [numbered.index(state.transitions[letter]) for letter in _ALPHABET]
      for state in numbered
  ]
  accepting = [i for i, state in enumerate(numbered) if state.is_accepting]
  return to_task(following, accepting, states), len(teacher.queries)
