"""Numbers of queries: solved exactly, and put to RNNs built by hand."""

import collections
import itertools
import time

import jax
import numpy as np

from weightspace.theory import (
    families,
    networks,
    rollouts,
    separating_sets,
    trees,
)

CELLS = ("elman", "lstm", "gru")


def solve(path: str) -> str:
  """Both interrogators of the family in a CSV file, in words."""
  family = families.read(path)
  interactive = trees.interactive(family.outputs)
  fixed = separating_sets.noninteractive(family.outputs)
  return "\n".join([
      f"{len(family.functions)} functions",
      f"interactive: {interactive.queries} queries",
      *(f"  {line}" for line in trees.describe(interactive.tree, family)),
      f"non-interactive: {fixed.queries} queries",
      f"  {', '.join(family.queries[q] for q in fixed.chosen)}",
  ])


def exact(seconds: float, every_family) -> dict:
  """Solves larger and larger families, and all families of a few functions.

  Args:
    seconds: for the families with closed forms, together.
    every_family: pairs (functions, answers of a query).

  Returns:
    JSON values: "families": by name, a list of what was solved, "every": for
    each pair, how many families need how many queries.
  """
  def costs(table):
    return families.Cost(
        trees.interactive(table).queries,
        separating_sets.noninteractive(table).queries,
    )

  known = {
      "points": (families.points, families.points_cost),
      "thresholds": (families.thresholds, families.thresholds_cost),
      "secret paths": (families.secret_paths, families.secret_paths_cost),
  }
  solved = {}
  for name, (make, cost) in known.items():
    end = time.monotonic() + seconds / len(known)
    solved[name] = []
    for size in itertools.count(1):
      if time.monotonic() > end:
        break
      table = make(size).outputs
      solved[name].append({
          "size": size,
          "functions": len(table),
          **costs(table)._asdict(),
          "closed_form": cost(size)._asdict(),
      })
  every = []
  for functions, answers in every_family:
    counts = collections.Counter(
        costs(table) for table in families.every_family(functions, answers)
    )
    every.append({
        "functions": functions,
        "answers": answers,
        "costs": [
            {**cost._asdict(), "families": count}
            for cost, count in sorted(counts.items())
        ],
    })
  return {"families": solved, "every": every}


def built(depths) -> list[dict]:
  """Asks the RNNs of all secret paths of some depths all there is to ask.

  Returns:
    For each cell and depth how many answers to prefixes are wrong, how many
    words an echo reads, and the bits that fixed strings reveal.
  """
  def ask_all(cell, depth):
    rnn = networks.make(cell, depth)
    words, strings = rollouts.words(depth), rollouts.words(depth - 1)

    @jax.jit
    @jax.vmap
    def ask(word):
      weights = networks.build(rnn, word)
      return (
          rollouts.ask(rnn, weights, strings),
          rollouts.echo(rnn, weights, depth),
      )

    answers, echoes = map(np.asarray, ask(words))  # [2^d, strings, d], [2^d, d]
    # Queries of the table come by length, then in lexicographic order
    column = [
        [2**t - 1 + (m >> (depth - 1 - t)) for t in range(depth)]
        for m in range(len(strings))
    ]
    right = families.secret_paths(depth).outputs[:, column] - 1
    right = np.where(right < 0, networks.OFF, right)
    revealed = [
        rollouts.bits_answered(answers[:, [m]], strings[[m]])
        for m in range(len(strings))
    ]
    information = [
        rollouts.information(answers[:, [m]]) for m in range(len(strings))
    ]
    return {
        "cell": cell,
        "depth": depth,
        "networks": len(words),
        "answers": int(right.size),
        "wrong": int(np.sum(answers != right)),
        "echoed": int(np.sum(np.all(echoes == words, axis=1))),
        "bits": {
            "least": min(revealed),
            "most": max(revealed),
            "information": float(np.mean(information)),
            "closed_form": rollouts.expected_bits(depth),
        },
    }

  return [ask_all(cell, depth) for cell in CELLS for depth in depths]
