"""The network of comparators sorts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace.encoders import _sorting


@pytest.mark.slow
@given(
    st.sampled_from([1, 2, 3, 7, 8, 19, 40]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_it_sorts_rows_of_any_length(n, seed, ties):
  x = np.random.default_rng(seed).standard_normal((3, n)).astype(np.float32)
  x = np.round(x) if ties else x
  np.testing.assert_array_equal(_sorting.sort(jnp.asarray(x)), np.sort(x))


def test_gradients_go_where_the_values_came_from():
  x = jnp.array([3.0, 1.0, 2.0, -1.0, 7.0])
  weights = jnp.arange(5.0)
  actual = jax.grad(lambda x: jnp.sum(weights * _sorting.sort(x)))(x)
  np.testing.assert_array_equal(actual, [3, 1, 2, 0, 4])
  flat = jax.grad(lambda x: jnp.sum(weights * _sorting.sort(x)))(jnp.ones(5))
  assert np.all(np.isfinite(flat))
  np.testing.assert_allclose(np.sum(flat), np.sum(weights))
