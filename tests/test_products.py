"""Products are JAX's own, differentiated and batched alike."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.test_block import halves_serve
from weightspace import kernels, precision, products
from weightspace.encoders import _modules

needs_kernels = pytest.mark.skipif(
    not kernels.available(), reason="no C++ compiler"
)

# Contracted axes, batch axes, shapes: plain, turned, several axes in a group,
# axes out of order, batches before and amid, products too small for a kernel
CASES = {
    "plain": ((((1,), (0,)), ((), ())), (20, 30), (30, 40)),
    "right turned": ((((1,), (1,)), ((), ())), (20, 30), (40, 30)),
    "left turned": ((((0,), (0,)), ((), ())), (30, 20), (30, 40)),
    "both turned": ((((0,), (1,)), ((), ())), (30, 20), (40, 30)),
    "rows of rows": ((((2,), (0,)), ((), ())), (3, 9, 30), (30, 4, 12)),
    "deep": ((((1, 2), (0, 1)), ((), ())), (20, 6, 8), (6, 8, 40)),
    "deep, turned": ((((2, 1), (0, 1)), ((), ())), (20, 6, 8), (8, 6, 40)),
    "heads": ((((3,), (3,)), ((0, 2), (0, 2))), (2, 20, 3, 16), (2, 25, 3, 16)),
    "batch last": ((((0,), (1,)), ((2,), (0,))), (17, 33, 2), (2, 17, 19)),
    "vector": ((((0,), (0,)), ((), ())), (20,), (20, 40)),
    "inner": ((((0,), (0,)), ((), ())), (50,), (50,)),
    "long": ((((0,), (0,)), ((), ())), (700, 48), (700, 240)),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
  numbers, left, right = request.param
  x, y = (
      jax.random.normal(jax.random.key(i), shape)
      for i, shape in enumerate((left, right))
  )
  return numbers, x, y


def both(f, *args):
  """`f` of ours and of JAX's product."""
  for dot in (products.dot_general, jax.lax.dot_general):
    yield jax.jit(functools.partial(f, dot))(*args)


def assert_close(ours, theirs):
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    assert a.dtype == b.dtype
    scale = max(1e-30, float(jnp.max(jnp.abs(b))))
    np.testing.assert_allclose(a, b, atol=3e-5 * scale, rtol=0)


def test_product(case):
  numbers, x, y = case
  assert_close(*both(lambda dot, x, y: dot(x, y, numbers), x, y))
  eager = products.dot_general(x, y, numbers)
  assert_close(eager, jax.lax.dot_general(x, y, numbers))


# Rows, columns, depth: whole tiles, parts of them, several shares of the depth
@pytest.mark.parametrize("sizes", [
    (32, 32, 64), (16, 48, 16), (33, 17, 300), (270, 19, 35), (50, 100, 530),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("turned", ["none", "left", "right", "both"])
def test_how_exact_products_are(sizes, turned):
  """In two halves to 16 bits of each factor, in one but for its rounding."""
  rows, columns, depth = sizes
  x = jax.random.normal(jax.random.key(0), (rows, depth))
  y = jax.random.normal(jax.random.key(1), (depth, columns))
  exact = np.float64(x) @ np.float64(y)
  rounded = np.float64(_rounded(x)) @ np.float64(_rounded(y))
  terms = np.abs(np.float64(x)) @ np.abs(np.float64(y))
  left = turned in ("left", "both")
  right = turned in ("right", "both")
  x, y = x.T if left else x, y.T if right else y
  numbers = ((0 if left else 1,), (1 if right else 0,)), ((), ())

  def error(name, exact=exact):
    with precision.products(name):
      found = jax.jit(lambda x, y: products.dot_general(x, y, numbers))(x, y)
    return np.max(np.abs(found - exact) / terms)

  assert error("float32") < 2**-20
  assert error("tensorfloat32") < 2**-15
  more = error("tensorfloat32") > error("float32")
  assert more == halves_serve("tensorfloat32")
  # Elsewhere XLA computes what it can
  wanted = rounded if halves_serve("bfloat16") else exact
  assert error("bfloat16", wanted) < 2**-20


def _rounded(x):
  return x.astype(jnp.bfloat16).astype(jnp.float32)


def test_a_gradient_is_as_exact_as_its_product():
  """Also where it is made outside of the context."""

  def loss(x, y):
    with precision.products("tensorfloat32"):
      return jnp.sum(_dense(x, y) ** 2)

  x, y = jnp.ones((20, 30)), jnp.ones((30, 40))
  gradient = jax.jit(jax.grad(loss, (0, 1)))
  equations = jax.make_jaxpr(gradient)(x, y).eqns[0].params["jaxpr"].eqns
  found = [
      e.params["precision"] for e in equations
      if e.primitive.name in ("matrix_product", "dot_general")
  ]  # fmt: skip
  assert len(found) == 3 and len({str(p) for p in found}) == 1
  text = gradient.trace(x, y).lower(lowering_platforms=("tpu",)).as_text()
  dots = [line for line in text.splitlines() if "dot_general" in line]
  assert len(dots) == 3
  assert all("precision = [HIGH, HIGH]" in line for line in dots)


def test_gradients_of_any_order_and_direction(case):
  numbers, x, y = case

  def loss(dot, x, y):
    return jnp.mean(jnp.sin(0.01 * dot(x, y, numbers)))

  def derivatives(dot, x, y):
    gradient = jax.grad(functools.partial(loss, dot), (0, 1))
    tangents = jnp.cos(x), jnp.cos(y)
    return jax.jvp(gradient, (x, y), tangents)

  assert_close(*both(derivatives, x, y))


@pytest.mark.parametrize("axes", [(0, None), (None, 1), (1, 0)])
def test_batches_of_either_factor_and_their_gradients(case, axes):
  numbers, x, y = case
  x, y = (
      a if axis is None else jnp.stack([a, a + 1, a - 1], axis)
      for a, axis in zip((x, y), axes)
  )

  def value_and_gradients(dot, x, y):
    def loss(x, y):
      out = jax.vmap(lambda x, y: dot(x, y, numbers), axes)(x, y)
      return jnp.mean(jnp.sin(0.01 * out)), out

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(x, y)

  assert_close(*both(value_and_gradients, x, y))


def test_gradient_of_shared_weights_is_one_product():
  """Not one for each network, summed afterwards."""
  xs, w = jnp.ones((5, 20, 16)), jnp.ones((16, 24))

  def loss(w):
    return jnp.sum(jax.vmap(lambda x: _dense(x, w))(xs) ** 2)

  jaxpr = jax.make_jaxpr(jax.grad(loss))(w).jaxpr
  shapes = [
      equation.outvars[0].aval.shape
      for equation in jaxpr.eqns
      if equation.primitive.name in ("matrix_product", "dot_general")
  ]
  assert shapes[-1] in ((16, 24), (24, 16))


def _dense(x, w):
  return products.dot_general(x, w, (((1,), (0,)), ((), ())))


@needs_kernels
def test_who_computes_it():
  def lowered(x, platform):
    w = jnp.ones((16, 24), x.dtype)
    traced = jax.jit(_dense).trace(x, w)
    return traced.lower(lowering_platforms=(platform,)).as_text()

  rows = jnp.ones((20, 16))
  assert "MatrixProduct" in lowered(rows, "cpu")
  assert "MatrixProduct" not in lowered(rows, "cuda")
  assert "MatrixProduct" not in lowered(rows.astype(jnp.bfloat16), "cpu")
  assert "MatrixProduct" not in lowered(rows[:2], "cpu")


def test_what_does_not_fit_is_refused():
  with pytest.raises(TypeError, match="contracting dimensions"):
    _dense(jnp.ones((20, 16)), jnp.ones((17, 24)))


def test_the_type_of_the_result_can_be_another():
  numbers = ((1,), (0,)), ((), ())
  found = products.dot_general(
      jnp.ones((20, 16)),
      jnp.ones((16, 24)),
      numbers,
      preferred_element_type=jnp.bfloat16,
  )
  assert found.dtype == jnp.bfloat16


def test_checkpoints_and_loops():
  x, w = jax.random.normal(jax.random.key(0), (2, 20, 20))

  def loss(dot, w):
    @jax.checkpoint
    def layer(x, _):
      return jnp.tanh(dot(x, w, (((1,), (0,)), ((), ())))), None

    return jnp.sum(jax.lax.scan(layer, x, length=4)[0])

  def gradient(dot, w):
    return jax.grad(functools.partial(loss, dot))(w)

  assert_close(*both(gradient, w))


def test_layers_have_the_params_and_results_of_flax():
  x = jax.random.normal(jax.random.key(0), (2, 21, 24))
  for ours, theirs in (
      (_modules.Dense(40), nn.Dense(40)),
      (_modules.Attention(3), nn.MultiHeadDotProductAttention(3)),
  ):
    params = theirs.init(jax.random.key(1), x)
    mine = ours.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, mine, params)
    assert_close(ours.apply(params, x), theirs.apply(params, x))
