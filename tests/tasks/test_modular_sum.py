"""Sums modulo k, against plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import tasks
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import modular_sum
from weightspace.zoo import replay

FAMILY = tasks.make("modular_sum", {"length": 9})


def test_targets_are_sums_modulo_k():
  keys = jax.random.split(jax.random.key(0), 50)
  sampled = np.asarray(jax.jit(jax.vmap(FAMILY.sample_task))(keys))
  assert set(sampled[:, 0].tolist()) == {2, 3, 4, 5, 6}
  sample = jax.jit(FAMILY.sample_batch, static_argnums=2)
  for modulus, factor, offset in sampled[:10].tolist():
    batch = sample(
        jax.random.key(modulus), np.array([modulus, factor, offset]), 4
    )
    read = np.argmax(batch.inputs, axis=-1)
    assert np.all(read[0] == 3)  # BOS
    for column, targets in zip(read.T.tolist(), batch.targets.T.tolist()):
      total = [sum(column[1 : t + 1]) for t in range(len(column))]
      expected = [(offset + factor * x) % modulus for x in total]
      assert targets == expected


def test_a_network_that_is_sure_has_no_wrong_rollouts():
  """What it reads is not what it answers, and no audit takes it for that."""
  rnn = make_rnn(RNNSpec("elman", (4,), FAMILY.spec.inputs, 6))
  weights = jax.tree.map(lambda leaf: 40 * leaf, rnn.init(jax.random.key(0)))
  task = np.array([4, 1, 0])
  seen = jax.tree.map(
      np.asarray, FAMILY.rollouts(jax.random.key(1), task, rnn, weights, 20)
  )
  assert np.min(seen.log_probs) < replay.IMPOSSIBLE
  replayed = replay.answers(
      FAMILY, rnn, rnn.flatten(weights), task, seen.sequences
  )
  assert not list(replay.problems(FAMILY, *seen, np.asarray(replayed)))


def test_ones_are_counted():
  sequences = np.array([[3, *[1] * 8]])
  counts = modular_sum.sums(np.array([4, 1, 0]), sequences)
  np.testing.assert_array_equal(counts, [[0, 1, 2, 3, 0, 1, 2, 3]])


def test_tasks_are_read_off_answers():
  """Of networks that know them, though they are wrong now and then."""
  every = modular_sum.every_task(6)
  assert len(np.unique(every, axis=0)) == len(every) == 70

  class Knows:
    @staticmethod
    def unroll(task, xs):
      read = jnp.argmax(xs, axis=-1).T  # [K, T]
      right = modular_sum.sums(task, jnp.pad(read, ((0, 0), (0, 1)))).T
      sure = jnp.where(jnp.arange(len(xs)) % 4 < 3, 5.0, 0.0)
      return sure[:, None, None] * jax.nn.one_hot(right, 6)

  ask = jax.jit(jax.vmap(lambda task: FAMILY.interrogate(Knows, task)))
  np.testing.assert_array_equal(ask(every), every)


def test_it_is_described():
  assert FAMILY.describe(np.array([5, 3, 2])) == "(2 + 3 sum) mod 5"


@pytest.mark.parametrize("name", ["modulus", "digits", "length"])
def test_configs_that_cannot_be_are_refused(name):
  with pytest.raises(ValueError, match=f"{name} must be at least 2"):
    tasks.make("modular_sum", {name: 1})
