"""Secret paths as a task family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import tasks
from weightspace.tasks import secret_path
from weightspace.theory import families

PATH = jnp.asarray([0, 1, 1, 0])
FAMILY = tasks.make("secret_path", {"depth": 4})


def test_answers_worked_by_hand():
  strings = jnp.asarray([[0, 1, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0]])
  off = secret_path.OFF
  np.testing.assert_array_equal(
      secret_path.answers(PATH, strings),
      [[0, 1, 1, 0], [0, 1, 1, off], [0, off, off, off]],
  )


def test_answers_are_those_of_the_theory():
  keys = jax.random.split(jax.random.key(0), 20)

  @jax.jit
  @jax.vmap
  def sample(key):
    path = FAMILY.sample_task(key)
    strings = secret_path.sample_strings(key, path, 10)
    return path, strings, secret_path.answers(path, strings)

  for path, strings, targets in zip(*sample(keys)):
    for string, row in zip(strings.tolist(), targets.tolist()):
      for t, answer in enumerate(row):
        value = families.secret_path(path.tolist(), string[:t])
        assert answer == (value - 1 if value else secret_path.OFF)


def test_strings_leave_the_path_everywhere_alike():
  key = jax.random.key(0)
  strings = np.asarray(secret_path.sample_strings(key, PATH, 4000))
  right = np.cumprod(strings == np.asarray(PATH), axis=1).sum(axis=1)
  share = np.bincount(right, minlength=5) / len(strings)
  np.testing.assert_allclose(share, [0.25, 0.25, 0.25, 0.25, 0], atol=0.03)


def test_a_batch_reads_bos_and_what_it_is_asked_about():
  batch = FAMILY.sample_batch(jax.random.key(0), PATH, 50)
  read = np.argmax(batch.inputs, axis=-1).T
  assert np.all(read[:, 0] == secret_path.BOS)
  assert np.all(read[:, 1:] < 2)
  # The last bit is not read, so it does not matter
  strings = np.pad(read[:, 1:], ((0, 0), (0, 1)))
  np.testing.assert_array_equal(
      batch.targets.T, secret_path.answers(PATH, jnp.asarray(strings))
  )


def test_novelty_counts_turns():
  assert FAMILY.novelty(jnp.asarray([0, 0, 0, 0])) == 0
  assert FAMILY.novelty(jnp.asarray([0, 1, 0, 0])) == 2
  assert FAMILY.describe(np.asarray(PATH)) == "0110"


def test_a_path_of_one_bit_is_refused():
  with pytest.raises(ValueError, match="at least 2, got 1"):
    tasks.make("secret_path", {"depth": 1})
