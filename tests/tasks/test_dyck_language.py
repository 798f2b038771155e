"""Dyck languages, against a stack in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import tasks
from weightspace.tasks import dyck_language
from weightspace.tasks.dyck_language import BOS, EOS, LETTERS, Config

CONFIG = Config(depth=3, length=14)
FAMILY = dyck_language.make(CONFIG)
WHOLE = np.array([3, 3, 2, 1])  # three kinds, at most 3 deep


def tokens(word):
  row = [BOS, *map(LETTERS.index, word)]
  return np.array([row + [EOS] * (CONFIG.length - len(row))])


def accepts(task, row):
  """Whether a row of tokens is a word of the language, by a list as a stack."""
  kinds, depth, _, _ = task
  if row[0] != BOS or EOS not in row:
    return False
  end = row.index(EOS)
  if set(row[end:]) != {EOS}:
    return False
  stack = []
  for token in row[1:end]:
    if token == BOS:
      return False
    if token % 2 == 0:
      stack.append(token)
      if len(stack) > depth or token // 2 >= kinds:
        return False
    elif not stack or stack.pop() != token - 1:
      return False
  return not stack


@pytest.fixture(scope="module")
def sampled():
  keys = jax.random.split(jax.random.key(0), 40)
  return np.asarray(jax.jit(jax.vmap(FAMILY.sample_task))(keys))


@pytest.fixture(scope="module")
def written(sampled):
  """Words of each task, [40, 200, T + 1]."""
  keys = jax.random.split(jax.random.key(1), len(sampled))
  write = jax.vmap(
      lambda key, task: dyck_language.write(CONFIG, key, task, 200)
  )
  return np.asarray(jax.jit(write)(keys, sampled))


is_member = jax.jit(dyck_language.is_member)


@pytest.mark.parametrize(
    "word, expected",
    [
        ("", True), ("()", True), ("([]{})()", True), ("([)]", False),
        ("((", False), (")(", False), ("(((())))", False), ("((()))", True),
    ],
)  # fmt: skip
def test_words_are_members(word, expected):
  assert is_member(WHOLE, tokens(word))[0] == expected


def test_what_a_task_forbids_is_no_member():
  assert not is_member(np.array([1, 3, 2, 1]), tokens("[]"))[0]
  assert not is_member(np.array([3, 1, 2, 1]), tokens("(())"))[0]


def test_membership_is_that_of_a_stack(sampled, written):
  generator = np.random.default_rng(0)
  some = written[:, ::10].reshape(-1, CONFIG.length)
  broken = some.copy()
  place = generator.integers(0, 8, len(broken))
  broken[np.arange(len(broken)), place] = generator.integers(
      0, EOS + 1, len(broken)
  )
  rows = np.concatenate([some, broken])
  for task in sampled[:8]:
    expected = [accepts(task, row) for row in rows.tolist()]
    assert 0 < sum(expected) < len(rows)
    np.testing.assert_array_equal(is_member(task, rows), expected)


def test_all_words_that_are_written_are_members(sampled, written):
  assert np.all(jax.jit(jax.vmap(dyck_language.is_member))(sampled, written))


def test_tasks_shape_their_words(sampled, written):
  """Each kind and depth is used, and the favourite kind is opened most."""
  for task, words in zip(sampled, written):
    kinds, depth, _, favourite = task
    opened = np.bincount(words[(words < BOS) & (words % 2 == 0)] // 2)
    assert len(opened) == kinds and np.all(opened > 0)
    assert np.argmax(opened) == favourite - 1
    change = np.where(words >= BOS, 0, 1 - 2 * (words % 2))
    assert np.max(np.cumsum(change, axis=1)) == depth


def test_it_is_described():
  assert FAMILY.describe(np.array([2, 3, 2, 2])) == (
      "() [], at most 3 deep, opens 2/5, mostly []"
  )


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"kinds": 4}, "kinds must be at most 3"),
        ({"stop": 0.0}, "stop"),
        ({"depth": 5, "length": 11}, "must be at least 12"),
    ],
)
def test_configs_that_cannot_be_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    tasks.make("dyck_language", fields)


class Knows:
  """A network that knows its task, on brackets that are only opened."""

  @staticmethod
  def initial_state(batch):
    return jnp.full(batch, -1, jnp.int32)  # has not read BOS

  @staticmethod
  def step(task, height, x):
    kinds, depth, fifths, favourite = task
    height += 1
    kind = jnp.arange(3, dtype=jnp.int32)
    others = 0.4 / jnp.maximum(kinds - 1, 1).astype(jnp.float32)
    most = jnp.where(kinds > 1, jnp.float32(0.6), 1.0)
    share = jnp.where(kind == favourite - 1, most, others)
    again = fifths.astype(jnp.float32) / 5
    often = jnp.where(height == 0, 1 - CONFIG.stop, again)
    opens = jnp.where((kind < kinds) & (height < depth), often * share, 0.0)
    left = (1 - jnp.sum(opens)) / 5
    return height, jnp.log(jnp.full(8, left).at[:6:2].set(opens))


def test_tasks_are_read_off_answers(sampled):
  ask = jax.jit(jax.vmap(lambda task: FAMILY.interrogate(Knows, task)))
  expected = np.where(
      (sampled[:, 1] == 1)[:, None] & (np.arange(4) == 2), 1, sampled
  )  # nothing shows how readily a second bracket is opened where none may be
  np.testing.assert_array_equal(ask(sampled), expected)
