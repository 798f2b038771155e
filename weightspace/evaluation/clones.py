"""Clones: the emulator, conditioned on a network's code, does its task.

Figure 5 of the paper. The emulator replaces the network: it generates strings,
or classifies digits, and its accuracy is measured like that of the zoo's
networks.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import settings
from weightspace.emulator import Emulator
from weightspace.errors import UserError
from weightspace.evaluation import codes as codes_lib
from weightspace.evaluation.emulation import emulator_of
from weightspace.keys import derive, make_key
from weightspace.recurrence import generate_by
from weightspace.tasks import TaskFamily
from weightspace.training import batches
from weightspace.training.pretrain import Pretrained
from weightspace.zoo import Zoo
from weightspace.zoo.integrity import COLLECTED


class Clone(NamedTuple):
  """An emulator with the interface of `RNN`; weights are (params, code [Z]).

  Attributes:
    initial_state: (batch shape) -> state.
    step: (weights, state, x [*batch, I]) -> (state, y [*batch, V]), where y
      are log-probabilities.
    unroll: (weights, xs [T, *batch, I]) -> ys [T, *batch, V].
    generate: (weights, first token, draws [T, K]) -> tokens [T, K],
      log-probabilities [T, K, V].
  """

  initial_state: Callable
  step: Callable
  unroll: Callable
  generate: Callable


def make_clone(emulator: Emulator) -> Clone:
  """Wraps an emulator in the functions of `RNN` that task families use."""

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
  """Compiles the evaluation of clones on their networks' tasks.

  Args:
    emulator: that replaces the networks.
    family: of the networks' tasks.

  Returns:
    (params of the emulator, codes [B, Z], tasks [B, D], keys [B]) -> the
    metrics of `family.performance`, [B] each; compiled once for each B.
  """
  clone = make_clone(emulator)

  @jax.jit
  def performance(data, params, codes, tasks_, keys):
    bound = family.bound(data)
    return jax.vmap(
        lambda code, task, key: bound.performance(
            key, task, clone, (params, code)
        )
    )(codes, tasks_, keys)

  return lambda *args: performance(family.data, *args)


@settings.pinned()
def measure(
    zoo: Zoo,
    pretrained: Pretrained,
    rows: np.ndarray,
    *,
    seed: int,
    batch: int = 16,
) -> dict[str, np.ndarray]:
  """Accuracies of networks and of their clones.

  Args:
    zoo: the zoo.
    pretrained: encoder and emulator.
    rows: [n] row numbers.
    seed: of the clones' samples, which depend on it and the row number only.
    batch: clones evaluated at a time; memory is proportional to it.

  Returns:
    {"original": accuracies in the zoo, "clone": accuracies of clones}, [n]
    float32 each.

  Raises:
    ValueError: there are no rows, the encoder was not trained with an emulator,
      or the family cannot evaluate networks.
  """
  rows = np.asarray(rows)
  if not len(rows):
    raise UserError("there are no rows to clone")
  if COLLECTED in zoo.spec.trainer:
    raise UserError(
        f"clones do the task of their networks, but those of {zoo.path} were"
        " trained elsewhere, and how to measure the task is not known; the"
        " emulation loss says how alike a clone answers"
    )
  performance = make_performance(emulator_of(pretrained), zoo.family)
  codes = codes_lib.of_zoo(zoo, pretrained, rows)
  key = make_key(seed)
  make_keys = jax.jit(jax.vmap(lambda row: derive(key, "clone", row)))

  def accuracies(places):
    chosen = rows[places]
    return performance(
        pretrained.params["emulator"],
        codes[places],
        zoo.columns["task"][chosen],
        make_keys(chosen.astype(np.int32)),
    )["accuracy"]

  return {
      "original": zoo.columns["accuracy"][rows],
      "clone": batches.map_batches(
          accuracies, len(rows), min(batch, len(rows))
      ),
  }


@settings.pinned()
def interrogate(
    zoo: Zoo, pretrained: Pretrained, rows: np.ndarray, *, batch: int = 16
) -> np.ndarray:
  """The tasks that clones do, by the interrogation of their family.

  Args:
    zoo: the zoo, of a family with `interrogate`.
    pretrained: encoder and emulator.
    rows: [n] row numbers.
    batch: clones interrogated at a time; memory is proportional to it.

  Returns:
    [n, D] int32.
  """
  clone = make_clone(emulator_of(pretrained))

  @jax.jit
  def ask(params, codes):
    return jax.vmap(
        lambda code: zoo.family.interrogate(clone, (params, code))
    )(codes)

  codes = codes_lib.of_zoo(zoo, pretrained, rows)
  return batches.map_batches(
      lambda places: ask(pretrained.params["emulator"], codes[places]),
      len(rows), min(batch, len(rows)),
  )  # fmt: skip


def correlation(original: np.ndarray, clone: np.ndarray) -> float:
  """Pearson's correlation of [n] and [n]; NaN if either is constant."""
  if len(original) < 2 or np.ptp(original) == 0 or np.ptp(clone) == 0:
    return float("nan")
  return float(np.corrcoef(original, clone, dtype=np.float64)[0, 1])


def correlation_within(
    original: np.ndarray, clone: np.ndarray, groups: np.ndarray
) -> float:
  """Pearson's correlation of differences from the mean of each group.

  Snapshots of a training step have similar accuracies, so that a clone which
  knows the step alone correlates with its network; within steps it does not.

  Args:
    original: [n], of networks.
    clone: [n].
    groups: [n], equal within a group.
  """
  _, group = np.unique(groups, return_inverse=True)
  counts = np.bincount(group)

  def centred(values):
    return values - (np.bincount(group, values) / counts)[group]

  return correlation(*(
      np.round(centred(np.asarray(values, np.float64)), 9)
      for values in (original, clone)
  ))


def mean_absolute_error(original: np.ndarray, clone: np.ndarray) -> float:
  """Mean absolute error of the clones' accuracies [n]."""
  return float(np.mean(np.abs(np.asarray(original) - np.asarray(clone))))
