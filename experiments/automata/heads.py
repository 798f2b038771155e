"""Heads that get an automaton's exact answers: do they learn its table?

Were a code to hold the answers of a network to all short words, and all of them
right, a head would have to do what the rule does: compare words, and number
states as they are reached. No network and no code is involved here.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import results
from weightspace import properties, settings
from weightspace.evaluation import prediction
from weightspace.keys import derive, make_key
from weightspace.tasks import regular_language
from weightspace.tasks.regular_language import Config

LENGTHS = (5, 10)  # letters of the longest words; 10 determine the table
TRAINED = (1400, 12_000)  # automata; as many as the zoo of the study has
_DRAWN = 20_000  # of which about 14,000 differ
_TEST, _VALIDATION = 1500, 1000
_STEPS = 2000


@settings.pinned()
def measure(seed: int = 0) -> dict[str, Any]:
  """Trains MLPs on answers and tests them on other automata.

  Returns:
    JSON values: for each length of words and number of automata the shares of
    numbers and of whole tables that are right, with 95 % intervals.
  """
  family = regular_language.make(Config(tomita=0.0))
  key = derive(make_key(seed), "automata")
  drawn = jax.jit(lambda keys: jax.lax.map(
      family.sample_task, keys, batch_size=1000
  ))(jax.random.split(key, _DRAWN))  # fmt: skip
  tasks = np.unique(np.asarray(drawn), axis=0)
  tasks = np.random.default_rng(seed).permutation(tasks)
  index = np.arange(len(tasks))
  held_out = _TEST + _VALIDATION
  scope = properties.Scope(family.spec, (0,))
  cells = []
  for length in LENGTHS:
    answers = jax.jit(jax.vmap(
        lambda task, length=length: accepts(task, length)
    ))(tasks)  # fmt: skip
    codes = np.asarray(answers, np.float32)
    train = prediction.make_trainer(
        "task", scope, codes.shape[1],
        prediction.Config(forms=("mlp",), steps=_STEPS),
    )  # fmt: skip
    for count in TRAINED:
      rows = prediction.Rows(
          train=index[held_out : held_out + count],
          validation=index[_TEST:held_out], ood_train=index[:0],
          test=index[:_TEST],
      )  # fmt: skip
      head = train(codes, {"task": tasks}, rows.train, rows.validation, seed)
      measured = prediction.measure(
          "task", [head.outputs], {"task": tasks}, rows, scope,
          parts=("test",),
      )  # fmt: skip
      cells.append({"letters": length, "automata": count, **measured["test"]})
  return {
      "command": "python -m experiments.automata --heads --out=FOLDER",
      "commit": results.commit(),
      "software": results.software(),
      "heads": cells,
  }


def accepts(task: jax.Array, length: int) -> jax.Array:
  """Whether a language has each word of up to `length` letters, in order."""
  automaton = regular_language.to_automaton(task)
  state = jnp.zeros(1, jnp.int32)
  levels = [automaton.accepting[state]]
  for _ in range(length):
    state = automaton.following[state].reshape(-1)
    levels.append(automaton.accepting[state])
  return jnp.concatenate(levels)
