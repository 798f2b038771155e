"""Matrices of channels in DWSNet: the kernel computes what JAX does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.test_block import halves_serve
from weightspace import encoders, kernels, precision
from weightspace.encoders import _equivariant, _field
from weightspace.rnn import RNNSpec, make_rnn

needs_kernels = pytest.mark.skipif(
    not kernels.available(), reason="no C++ compiler"
)
# How far a norm may be off: in halves a few places are on the other side of 0
PRECISIONS = {"float32": 1e-4, "tensorfloat32": 5e-3, "bfloat16": 5e-2}
# Rows, columns, channels before and after: whole tiles and parts of them,
# several passes over places, more channels than registers hold
CASES = [
    (16, 16, 48, 48),
    (3, 5, 8, 9),
    (1, 70, 17, 33),
    (35, 11, 40, 20),
    (2, 3, 16, 80),
    (20, 20, 64, 64),
]


def make(n, m, c, k, networks=()):
  shapes = (n, m, c), (c, k), (n, k), (m, k)
  return [
      jax.random.normal(jax.random.key(i), (*networks, *shape))
      for i, shape in enumerate(shapes)
  ]


def run(f, name, *args):
  """The three results, and the four gradients of a function of them."""

  def loss(*args):
    with precision.products(name):
      y, means = f(*args)
    found = y, *means
    return sum(
        jnp.sum(jnp.sin(a + jnp.arange(1.0 * a.size).reshape(a.shape)))
        for a in found
    ), found

  gradients, found = jax.grad(loss, (0, 1, 2, 3), has_aux=True)(*args)
  return *found, *gradients


def by_jax(x, w, of_rows, of_columns):
  y = jax.nn.relu(
      jnp.einsum("ijc,ck->ijk", x, w) + of_rows[:, None] + of_columns[None]
  )
  return y, _field.Means(y.mean(1), y.mean(0))


compiled = jax.jit(run, static_argnums=(0, 1))


@needs_kernels
@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernel_computes_what_jax_does(case, name):
  args = make(*case)
  found = compiled(_field.update, name, *args)
  wanted = compiled(by_jax, "float32", *args)
  for a, b in zip(found, wanted, strict=True):
    assert a.shape == b.shape
    assert np.linalg.norm(a - b) <= PRECISIONS[name] * np.linalg.norm(b)


@needs_kernels
def test_each_precision_that_kernels_have_is_another():
  args = make(*CASES[0])
  found, others = set(), 0
  for name in PRECISIONS:
    y, *_ = compiled(_field.update, name, *args)
    found.add(np.asarray(y).tobytes())
    others += halves_serve(name)
  assert len(found) == 1 + others


@needs_kernels
@pytest.mark.parametrize("name", PRECISIONS)
def test_networks_with_the_same_and_with_their_own_weights(name):
  _, w, *_ = make(*CASES[1])
  x, _, *added = make(*CASES[1], networks=(3,))
  alone = [
      compiled(_field.update, name, x[i], w, *(a[i] for a in added))
      for i in range(3)
  ]
  for weights, axis in (w, None), (jnp.stack([w] * 3), 0):
    together = jax.jit(jax.vmap(
        lambda x, w, r, c: run(_field.update, name, x, w, r, c),
        (0, axis, 0, 0),
    ))(x, weights, *added)  # fmt: skip
    for i, one in enumerate(alone):
      for a, b in zip(together, one, strict=True):
        np.testing.assert_array_equal(a[i], b)


@needs_kernels
def test_not_a_number_is_seen():
  x, *others = make(*CASES[3])
  x = x.at[4, 7, 2].set(np.nan)
  y, (over_columns, over_rows) = _field.update(x, *others)
  assert np.all(np.isnan(y[4, 7]))
  assert np.isnan(over_columns[4]).all() and np.isnan(over_rows[7]).all()
  assert np.isfinite(y).sum() == y.size - y.shape[-1]


def test_shapes_that_do_not_fit_are_refused():
  args = make(*CASES[0])
  for i, wrong in enumerate(make(17, 17, 49, 49)):
    some = [wrong if i == j else a for j, a in enumerate(args)]
    with pytest.raises(TypeError, match="do not fit"):
      _field.update(*some)


@needs_kernels
def test_who_computes_it():
  def lowered(case, platform):
    traced = compiled.trace(_field.update, "float32", *make(*case))
    return traced.lower(lowering_platforms=(platform,)).as_text()

  assert "FieldBackward" in lowered(CASES[0], "cpu")
  assert "FieldForward" not in lowered(CASES[0], "cuda")
  assert "FieldForward" not in lowered((4, 4, 3, 8), "cpu")


@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_elsewhere_it_is_the_same(case):
  """What is lowered for other platforms, run here."""

  def elsewhere(*args):
    field = _field._plain(*args)
    return field, _field._backward_plain(None, args, field[0], field)

  args = make(*case)
  found = jax.jit(elsewhere)(*args)
  wanted, vjp = jax.vjp(by_jax, *args)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
      found,
      (wanted, vjp(wanted)),
  )


@pytest.mark.parametrize("basis", _equivariant.BASES)
def test_dwsnet_with_and_without_kernels(basis, monkeypatch):
  rnn = make_rnn(RNNSpec("lstm", (5, 4), 3, 3))
  fields = {"channels": 9, "layers": 3, "basis": basis}
  encoder = encoders.make("dws", fields, rnn, encoders.Inputs("token"))
  params = encoder.init(jax.random.key(0))
  weights = rnn.init(jax.random.key(1))

  def gradient(params):
    return jnp.sum(encoder.apply(params, weights)[:3])

  found = jax.value_and_grad(gradient)(params)
  monkeypatch.setattr(_field.kernels, "serve", lambda *trees: False)
  wanted = jax.value_and_grad(gradient)(params)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
      found,
      wanted,
  )
