"""The contract of cells."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.testing._rules import make_test, rule

HIDDEN = 5


def _inputs(cell, batch=()):
  """A random state and random projections u, v of matching shapes."""
  random = np.random.default_rng(0)

  def normal(shape):
    return random.standard_normal(shape, np.float32)

  zeros = cell.initial_state((*batch, HIDDEN), jnp.float32)
  state = jax.tree.map(lambda leaf: normal(leaf.shape), zeros)
  shape = (*batch, cell.gates, HIDDEN)
  return state, normal(shape), normal(shape)


def _signature(tree):
  leaves, structure = jax.tree.flatten(tree)
  return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


@rule
def check_gates(cell):
  """Odd gates are gates, each named once."""
  assert isinstance(cell, cells.Cell)
  assert cell.gates >= 1
  assert set(cell.odd_gates) <= set(range(cell.gates))
  assert len(set(cell.odd_gates)) == len(cell.odd_gates)


@rule
def check_initial_state(cell):
  """Zeros of the shape and dtype asked for: they treat all units alike."""
  for dtype in (jnp.float32, jnp.bfloat16):
    for shape in ((HIDDEN,), (2, 3, HIDDEN)):
      leaves = jax.tree.leaves(cell.initial_state(shape, dtype))
      assert leaves
      for leaf in leaves:
        assert leaf.shape == shape
        assert leaf.dtype == dtype
        assert not np.any(leaf)


@rule
def check_shapes(cell):
  """A step maps states to states, whatever the batch axes and the dtype."""
  for dtype in (jnp.float32, jnp.bfloat16):
    for batch in ((), (2,), (2, 3)):
      state = jax.eval_shape(
          lambda b=batch, d=dtype: cell.initial_state((*b, HIDDEN), d)
      )
      u = jax.ShapeDtypeStruct((*batch, cell.gates, HIDDEN), dtype)
      new = jax.eval_shape(cell.step, state, u, u)
      assert _signature(new) == _signature(state)
      a = jax.eval_shape(cell.combine, u, u)
      assert a.shape[:-2] == batch
      assert a.shape[-1] == HIDDEN
      for f in (cell.activate, cell.slope):
        assert _signature(jax.eval_shape(f, a)) == _signature(a)
      output = jax.eval_shape(cell.output, state)
      assert output.shape == (*batch, HIDDEN)
      assert output.dtype == dtype


@rule
def check_pointwise(cell):
  """No hidden unit sees another one, nor one example of a batch another."""
  inputs = _inputs(cell)
  jacobians = jax.jit(jax.jacobian(cell.step, argnums=(0, 1, 2)))(*inputs)
  jacobians = (*jacobians, jax.jit(jax.jacobian(cell.output))(inputs[0]))
  others = ~np.eye(HIDDEN, dtype=bool)
  for jacobian in jax.tree.leaves(jacobians):
    jacobian = np.asarray(jacobian)
    assert np.all(np.isfinite(jacobian))
    by_unit = jacobian.reshape(HIDDEN, -1, HIDDEN)  # a gate axis in between
    assert not np.any(by_unit.transpose(1, 0, 2)[:, others])

  batched = _inputs(cell, (3,))
  together = jax.jit(cell.step)(*batched)
  apart = jax.jit(jax.vmap(cell.step))(*batched)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
      together,
      apart,
  )


@rule
def check_combine(cell):
  """Linear in u and v together: the backward pass transposes it."""
  _, u, v = _inputs(cell)
  _, p, q = _inputs(cell)
  p, q = p[::-1], np.sin(q)
  together = cell.combine(2 * u + p, 2 * v + q)
  np.testing.assert_allclose(
      together, 2 * cell.combine(u, v) + cell.combine(p, q), atol=1e-5
  )
  zeros = np.zeros_like(u)
  assert not np.any(cell.combine(zeros, zeros))


@rule
def check_slope(cell):
  """`slope` is the derivative of `activate`, from its result."""
  _, u, v = _inputs(cell)
  a = 3 * cell.combine(u, v)
  gates, slope = jax.jvp(cell.activate, (a,), (jnp.ones_like(a),))
  np.testing.assert_allclose(cell.slope(gates), slope, atol=1e-6)
  jacobian = np.asarray(jax.jacobian(cell.activate)(a)).reshape(a.size, a.size)
  np.testing.assert_array_equal(jacobian, np.diag(np.diag(jacobian)))


@rule
def check_odd_gates(cell):
  """Changing a unit's sign in state and odd gates changes that of its result.

  A cell without odd gates claims no such symmetry.
  """
  if not cell.odd_gates:
    return
  state, u, v = _inputs(cell, (4,))
  sign = np.array([1, -1, -1, 1, -1], np.float32)
  odd = np.isin(np.arange(cell.gates), cell.odd_gates)
  gate_sign = np.where(odd[:, None], sign, np.float32(1))

  def flip(tree):
    return jax.tree.map(lambda leaf: sign[None] * leaf, tree)

  step = jax.jit(cell.step)
  flipped = step(flip(state), gate_sign * u, gate_sign * v)
  expected = flip(step(state, u, v))
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
      flipped,
      expected,
  )
  np.testing.assert_array_equal(
      cell.output(flip(state)), flip(cell.output(state))
  )


CHECKS = (
    check_gates,
    check_initial_state,
    check_shapes,
    check_pointwise,
    check_combine,
    check_slope,
    check_odd_gates,
)


def contract(cell: cells.Cell) -> Callable[..., None]:
  """A pytest test of a cell."""
  return make_test(CHECKS, ("", (cell,)))
