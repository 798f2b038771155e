"""Clones: the emulator, told a network's code, does the network's task.

Figure 5 of the paper. Whoever has only the code lets the emulator run in the
network's place: it writes strings, symbol by symbol, or reads digits, and is
measured by what the zoo's networks were measured by.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import tasks, zoo
from weightspace.emulator import Emulator
from weightspace.evaluation import codes as codes_lib
from weightspace.keys import derive
from weightspace.recurrence import generate_by
from weightspace.tasks import TaskFamily
from weightspace.training.pretrain import Pretrained


class Clone(NamedTuple):
  """An emulator in the place of an `RNN`; its weights are (params, code [Z]).

  Attributes:
    initial_state: (batch shape) -> state.
    step: (weights, state, x [*batch, I]) -> (state, y [*batch, V]), which are
      log-probabilities, so logits too.
    unroll: (weights, xs [T, *batch, I]) -> ys [T, *batch, V].
    generate: (weights, first token, draws [T, K]) -> tokens [T, K],
      log-probabilities [T, K, V].
  """

  initial_state: Callable
  step: Callable
  unroll: Callable
  generate: Callable


def make_clone(emulator: Emulator) -> Clone:
  """The functions of `RNN` that task families use, of an emulator."""

  def step(weights, state, x):
    params, code = weights
    codes = jnp.broadcast_to(code, (*x.shape[:-1], code.shape[-1]))
    return emulator.step(params, codes, state, x)

  def unroll(weights, xs):
    params, code = weights
    codes = jnp.broadcast_to(code, (*xs.shape[1:-1], code.shape[-1]))
    return emulator.apply(params, codes, xs)

  def generate(weights, first, draws):
    params, _ = weights
    return generate_by(
        functools.partial(step, weights),
        emulator.initial_state(draws.shape[1:]),
        len(params["embedding"]),
        first,
        draws,
    )

  return Clone(emulator.initial_state, step, unroll, generate)


def make_performance(emulator: Emulator, family: TaskFamily) -> Callable:
  """A function that measures clones.

  Args:
    emulator: in the networks' place.
    family: what the networks do.

  Returns:
    (params of the emulator, codes [B, Z], tasks [B, D], keys [B]) -> what
    `family.performance` returns, [B] each; compiled once for each B.
  """
  clone = make_clone(emulator)

  @jax.jit
  def performance(data, params, codes, its_tasks, keys):
    bound = family.bound(data)
    return jax.vmap(
        lambda code, task, key: bound.performance(
            key, task, clone, (params, code)
        )
    )(codes, its_tasks, keys)

  return lambda *args: performance(family.data, *args)


def measure(
    source: zoo.Zoo,
    pretrained: Pretrained,
    rows: np.ndarray,
    *,
    seed: int,
    batch: int = 16,
) -> dict[str, np.ndarray]:
  """How well networks do their tasks, and how well their clones do.

  Args:
    source: the zoo.
    pretrained: encoder and emulator.
    rows: [n] row numbers.
    seed: of what the clones write. It is drawn for each row by its number,
      whatever else is measured.
    batch: clones that are run at the same time; memory grows with it.

  Returns:
    {"original": accuracies of the zoo's column, "clone": those of its clones},
    [n] float32 each.

  Raises:
    ValueError: no rows; a zoo that holds pixels and no digits to measure with.
  """
  rows = np.asarray(rows)
  if not len(rows):
    raise ValueError("there are no rows to clone")
  family = tasks.make(source.spec.family, source.spec.family_config)
  performance = make_performance(pretrained.model.emulator, family)
  codes = codes_lib.of_zoo(source, pretrained, rows)
  batch = min(batch, len(rows))
  order = np.resize(np.arange(len(rows)), -(-len(rows) // batch) * batch)
  key = jax.random.key(seed)
  make_keys = jax.jit(jax.vmap(lambda row: derive(key, "clone", row)))
  found = []
  for places in order.reshape(-1, batch):  # the last one is filled up
    chosen = rows[places]
    metrics = performance(
        pretrained.params["emulator"],
        codes[places],
        source.columns["task"][chosen],
        make_keys(chosen.astype(np.int32)),
    )
    found.append(np.asarray(metrics["accuracy"]))
  return {
      "original": source.columns["accuracy"][rows],
      "clone": np.concatenate(found)[: len(rows)],
  }


def correlation(original: np.ndarray, clone: np.ndarray) -> float:
  """Pearson's correlation of [n] and [n]; NaN where either is all alike."""
  if len(original) < 2 or np.ptp(original) == 0 or np.ptp(clone) == 0:
    return float("nan")
  x, y = (np.asarray(a, np.float64) - np.mean(a) for a in (original, clone))
  return float(np.sum(x * y) / np.sqrt(np.sum(x**2) * np.sum(y**2)))


def mean_absolute_error(original: np.ndarray, clone: np.ndarray) -> float:
  """How far the clones' accuracies [n] are from the originals' [n]."""
  return float(np.mean(np.abs(np.asarray(original) - np.asarray(clone))))
