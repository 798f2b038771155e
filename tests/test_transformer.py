"""Attention of the transformer is that of Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace.encoders import transformer


@pytest.mark.parametrize("scale", [1.0, 60.0])  # exponentials that overflow
def test_attention_and_its_gradient_are_those_of_flax(scale):
  query, key, value, dy = (
      jax.random.normal(jax.random.key(i), (size, 2, 8))
      for i, size in enumerate((5, 7, 7, 5))
  )

  def with_gradients(attend):
    y, vjp = jax.vjp(attend, scale * query, scale * key, value)
    return y, vjp(dy)

  ours, flax = jax.jit(
      lambda: [
          with_gradients(attend)
          for attend in (transformer._attend, nn.dot_product_attention)
      ]
  )()
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
    assert np.all(np.isfinite(a))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
  assert jnp.max(jnp.abs(ours[0])) > 0.1
