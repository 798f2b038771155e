import functools
import math

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.zoo.example import ROWS, everything, write
from weightspace import zoo
from weightspace.zoo import loader
from weightspace.zoo.loader import batch_indices

KEY = jax.random.key(3)


def _stream(key, *, steps=64, **sizes):
  """Batches 0..steps-1, [steps, local batch]."""
  # Not jitted as a whole: then all sizes share the programs of a shape.
  return np.asarray(
      jax.vmap(lambda step: batch_indices(key, step, **sizes))(
          np.arange(steps, dtype=np.int32)
      )
  )


@settings(max_examples=10)
@given(st.integers(1, 64), st.sampled_from([1, 7, 40]))
@example(1, 7)
@example(3, 40)
def test_every_epoch_holds_every_example_once(size, batch):
  stream = _stream(KEY, size=size, batch=batch).ravel()
  whole = len(stream) // size
  for epoch in stream[: whole * size].reshape(whole, size):
    np.testing.assert_array_equal(np.sort(epoch), np.arange(size))


_with_4 = jax.jit(functools.partial(batch_indices, batch=4))


@pytest.mark.slow
@settings(max_examples=10)
@given(st.integers(1, 2**31 - 1))
@example(1)
@example(3 * 3)
@example(46340**2)
@example(46340**2 + 1)
@example(2**31 - 1)
def test_traced_sizes_give_the_same_indices(size):
  root = math.isqrt(size - 1) + 1
  assert int(loader._root(np.uint32(size))) == root
  np.testing.assert_array_equal(
      _with_4(KEY, 7, size=np.int32(size)),
      batch_indices(KEY, 7, size=size, batch=4),
  )


@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1))
@example(2**31 - 1)
def test_traced_steps_give_the_same_indices(step):
  eager = batch_indices(KEY, step, size=10, batch=4)
  jitted = _at_10_4(KEY, np.int32(step))
  np.testing.assert_array_equal(eager, jitted)
  assert eager.dtype == jitted.dtype == np.int32


_at_10_4 = jax.jit(functools.partial(batch_indices, size=10, batch=4))


def test_epochs_and_keys_differ():
  a = _stream(KEY, size=50, batch=50, steps=2)
  b = _stream(jax.random.key(4), size=50, batch=50, steps=2)
  assert (a[0] != a[1]).any()
  assert (a != b).any()
  # About one place in 50 agrees by chance; a fixed order would agree in all.
  assert (a[0] == b[0]).mean() < 0.2


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1),
    st.integers(1, 2**31 - 1),
)  # fmt: skip
def test_product_is_exact_beyond_32_bits(step, batch, size):
  # The loader's arithmetic in numpy scalars, which wrap as XLA's do.
  with np.errstate(over="ignore"), jax.disable_jit():
    epoch, place = loader._multiply(np.uint32(step), batch, np.uint32(size))
  wanted = divmod(step * batch, size)
  assert (int(epoch), int(place)) == (wanted[0] % 2**32, wanted[1])


@pytest.mark.parametrize("size", [3, 4])
def test_orders_are_uniform_for_tiny_splits(size):
  places = np.arange(size, dtype=np.uint32)
  order = jax.vmap(loader.shuffled, (None, 0, None))
  orders = jax.jit(jax.vmap(lambda k: order(k, places, np.uint32(size))))(
      jax.random.split(KEY, 12_000)
  )
  kinds, counts = np.unique(orders, axis=0, return_counts=True)
  expected = 12_000 / len(kinds)
  assert len(kinds) == {3: 6, 4: 24}[size]
  statistic = ((counts - expected) ** 2 / expected).sum()
  assert statistic < 3 * (len(kinds) - 1)  # chi-squared, mean len(kinds) - 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "size=0"),
        ({"size": 2**31}, f"size={2**31}"),
        ({"batch": 0}, "batch=0"),
    ],
)
def test_sizes_that_cannot_be(wrong, message):
  with pytest.raises(ValueError, match=message):
    batch_indices(KEY, 0, **{"size": 10, "batch": 4, **wrong})


def test_load(tmp_path):
  opened = zoo.open(write(tmp_path / "zoo"))
  rows = np.array([ROWS - 1, 0, 7])
  data, wanted = loader.load(opened, rows), everything()
  np.testing.assert_array_equal(data.vectors, wanted["weights"][rows])
  np.testing.assert_array_equal(data.sequences, wanted["sequences"][rows])
  np.testing.assert_array_equal(data.log_probs, wanted["log_probs"][rows])
  np.testing.assert_array_equal(data.task, wanted["task"][rows])
  assert "task" not in data.columns
  for name, column in data.columns.items():
    np.testing.assert_array_equal(column, wanted[name][rows])
