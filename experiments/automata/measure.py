"""Tables that are read out of a zoo's networks, and how many are right."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments import results
from weightspace import settings
from weightspace import zoo as zoo_lib
from weightspace.errors import MissingPackage, UserError
from weightspace.evaluation import bootstrap
from weightspace.progress import Progress
from weightspace.tasks import regular_language
from weightspace.tasks.regular_language import BOS, EOS, Config

FAMILY = "regular_language"
RULE, LSTAR = "all short words", "L* of AALpy"
_BINS = 8  # of accuracy, with about as many networks each
_ROWS = 64  # networks queried at once


@settings.pinned()
def measure(
    path: str | os.PathLike,
    *,
    lstar: bool,
    networks: int | None,
    progress: Progress,
) -> dict[str, Any]:
  """Reads the table of the final snapshot of each network.

  Args:
    path: of a zoo of regular languages.
    lstar: whether to read them by L* too.
    networks: the first so many; None for all.
    progress: where to show how far it is.

  Returns:
    JSON values: for each reader the share of whole tables that are right, with
    95 % intervals over tasks, by accuracy and by the number of states, and how
    many words it queried of a network.

  Raises:
    UserError: a zoo of another family or of several shapes, or AALpy is
      missing.
  """
  zoo = zoo_lib.open(path)
  if zoo.spec.family != FAMILY:
    raise UserError(
        f"{path} is a zoo of {zoo.spec.family}, not of {FAMILY}: give one of"
        " zoo_gen/configs/regular_languages.py"
    )
  if lstar:
    try:
      from experiments.automata import learning
    except ModuleNotFoundError as error:
      if error.name != "aalpy":
        raise
      raise MissingPackage(
          "--lstar needs aalpy: pip install 'weightspace[automata]'"
      ) from error
  config = Config(**zoo.spec.family_config)
  rows = np.flatnonzero(zoo.final)[:networks]
  weights = zoo.weights(rows)
  accepts = np.asarray(jax.jit(lambda weights: jax.lax.map(
      lambda one: regular_language.answers(config, zoo.rnn, one), weights,
      batch_size=_ROWS,
  ))(weights))  # fmt: skip
  tables = jax.jit(jax.vmap(
      lambda one: regular_language.read(config, one)
  ))(accepts)  # fmt: skip
  queries = np.full(len(rows), accepts.shape[1])
  readers = {RULE: _report(zoo, rows, np.asarray(tables), queries)}
  if lstar:
    tables, queries = [], []
    is_member = _make_membership(zoo, config)
    with progress.stage(LSTAR, total=len(rows), unit="networks") as stage:
      for i, answers in enumerate(accepts):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], weights)
        table, words = learning.learn(
            answers, config.states, lambda word, own=own: is_member(own, word)
        )
        tables.append(table)
        queries.append(words)
        stage.advance()
    readers[LSTAR] = _report(zoo, rows, np.stack(tables), np.array(queries))
  return {
      "command": "python -m experiments.automata --zoo=ZOO --out=FOLDER"
      + " --lstar" * lstar
      + (f" --networks={networks}" if networks else ""),
      "commit": results.commit(),
      "software": results.software(),
      "zoo": {
          "config": zoo.spec.family_config,
          "networks": len(rows),
          "tasks": len(np.unique(zoo.columns["task"][rows], axis=0)),
          "accuracy": float(np.median(zoo.columns["accuracy"][rows])),
      },
      "readers": readers,
  }


def _make_membership(zoo, config) -> Callable:
  """(weights of one network, word) -> whether it accepts it, by `answers`.

  For words longer than those. Words of more letters than a sequence has are
  none of any language.
  """
  @jax.jit
  def possible(weights, tokens):
    inputs = jax.nn.one_hot(tokens, zoo.rnn.spec.inputs)
    answers = jax.nn.softmax(zoo.rnn.unroll(weights, inputs))
    return answers > regular_language.least(config)

  def is_member(weights, word):
    length = config.length - 1
    if len(word) >= length:
      return False
    tokens = np.full(length, EOS)
    tokens[: len(word) + 1] = (BOS, *word)
    may = np.asarray(possible(weights, tokens))
    return all(may[i, token] for i, token in enumerate((*word, EOS)))

  return is_member


def _report(zoo, rows, tables, queries):
  """Shares of right tables and of right numbers, and words queried."""
  tasks = zoo.columns["task"][rows]
  accuracy = zoo.columns["accuracy"][rows]
  right = tables == tasks
  whole = right.all(axis=1)

  def share(chosen):
    estimate = bootstrap.mean(whole[chosen].astype(float), tasks[chosen])
    return {
        **estimate._asdict(),
        "networks": len(chosen),
        "accuracy": float(np.median(accuracy[chosen])),
        "words": float(np.median(queries[chosen])),
    }

  by_accuracy = np.array_split(np.argsort(accuracy, kind="stable"), _BINS)
  states = tasks[:, 0]
  return {
      "whole": share(np.arange(len(rows))),
      "numbers": float(right.mean()),
      "by_accuracy": [share(chosen) for chosen in by_accuracy if len(chosen)],
      "by_states": {
          str(n): share(np.flatnonzero(states == n)) for n in np.unique(states)
      },
  }
