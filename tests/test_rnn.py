"""Stacked cells: shapes, unrolling, gradients, flattening."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.test_recurrence import needs_kernels
from weightspace import cells
from weightspace.rnn import RNNSpec, make_rnn, tree_map_axes
from weightspace.types import Layer, Linear, Weights

STEPS = 12
# Layers of different widths. Compiling takes nearly all of the time of these
# tests, so there are few shapes.
CASES = [RNNSpec(cell, (5, 3), 4, 2) for cell in cells.names()]
BATCHES = [(), (2, 3)]


def _normal(shape, seed=1):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _weights(rnn, networks=()):
  """Weights large enough to drive gates out of their linear range."""
  leaves, structure = jax.tree.flatten(rnn.unflatten(np.zeros(rnn.size)))
  return structure.unflatten(
      _normal((*networks, *leaf.shape), seed) / 2
      for seed, leaf in enumerate(leaves)
  )


def _plain_unroll(spec, weights, xs):
  """What `unroll` computes, as a reader would write it; autodiff does BPTT."""
  cell = cells.load(spec.cell)

  def affine(w, b, x):
    y = jnp.einsum("ghi,...i->...gh", w, x)
    return y + jax.lax.broadcast_to_rank(b, y.ndim)

  def step(states, x):
    new = []
    for layer, state in zip(weights.layers, states):
      h = cell.output(state)
      u, v = affine(layer.wx, layer.bx, x), affine(layer.wh, layer.bh, h)
      new.append(cell.step(state, u, v))
      x = cell.output(new[-1])
    y = jnp.einsum("vh,...h->...v", weights.readout.w, x)
    return tuple(new), y + jax.lax.broadcast_to_rank(weights.readout.b, y.ndim)

  batch = xs.shape[1:-1]
  states = tuple(
      cell.initial_state((*batch, h), jnp.float32) for h in spec.hidden
  )
  return jax.lax.scan(step, states, xs)[1]


def _assert_close(a, b, atol):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol), a, b
  )


@pytest.mark.parametrize("spec", CASES, ids=str)
def test_shapes_and_axes_agree(spec):
  rnn = make_rnn(spec)
  weights = jax.eval_shape(rnn.init, jax.random.key(0))
  length = {"gate": cells.load(spec.cell).gates}
  length |= {"input": spec.inputs, "output": spec.outputs}
  length |= {f"h{k}": h for k, h in enumerate(spec.hidden)}

  def check(axes, shape, leaf):
    assert shape == leaf.shape == tuple(length[name] for name in axes)
    assert leaf.dtype == jnp.float32

  tree_map_axes(check, rnn.axes, rnn.shapes, weights)
  assert rnn.size == sum(leaf.size for leaf in jax.tree.leaves(weights))


def test_sizes_of_the_paper():
  assert make_rnn(RNNSpec("lstm", (32, 32), 6, 6)).size == 13_766
  assert make_rnn(RNNSpec("lstm", (32, 32), 16, 10)).size == 15_178


def test_init_is_uniform_within_the_bound():
  rnn = make_rnn(RNNSpec("elman", (64, 4), 30, 7))
  weights = jax.jit(rnn.init)(jax.random.key(0))
  parts = [*zip(weights.layers, (64, 4)), (weights.readout, 4)]
  for part, hidden in parts:
    bound = hidden**-0.5
    for leaf in part:
      assert np.abs(leaf).max() <= bound
    if part[0].size > 1000:  # mean and variance of a uniform
      assert abs(np.mean(part[0])) < 0.05 * bound
      assert np.isclose(np.var(part[0]), bound**2 / 3, rtol=0.1)
  leaves = jax.tree.leaves(weights)
  assert len({float(leaf.ravel()[0]) for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize("spec", CASES, ids=str)
@pytest.mark.parametrize("batch", BATCHES)
def test_unroll_equals_step_in_a_loop(spec, batch):
  rnn = make_rnn(spec)
  weights, xs = _weights(rnn), _normal((STEPS, *batch, spec.inputs))
  ys = jax.jit(rnn.unroll)(weights, xs)
  assert ys.shape == (STEPS, *batch, spec.outputs)

  step, state, expected = jax.jit(rnn.step), rnn.initial_state(batch), []
  for x in xs:
    state, y = step(weights, state, x)
    expected.append(y)
  _assert_close(ys, np.stack(expected), atol=1e-5)


IMPLEMENTATIONS = [
    False,
    pytest.param(True, marks=[needs_kernels, pytest.mark.slow]),
]


@pytest.mark.parametrize("spec", CASES, ids=str)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_gradients_equal_those_of_plain_autodiff(spec, batch, kernels):
  rnn = make_rnn(spec, kernels=kernels)
  weights, xs = _weights(rnn), _normal((STEPS, *batch, spec.inputs))
  cotangent = _normal((STEPS, *batch, spec.outputs), seed=2)

  def gradients(unroll):
    def loss(weights, xs):
      return jnp.mean(cotangent * unroll(weights, xs))

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(weights, xs)

  def loop(weights, xs):
    step = functools.partial(rnn.step, weights)
    return jax.lax.scan(step, rnn.initial_state(batch), xs)[1]

  expected = gradients(functools.partial(_plain_unroll, spec))
  assert all(np.any(leaf) for leaf in jax.tree.leaves(expected))
  _assert_close(gradients(rnn.unroll), expected, atol=1e-6)
  if not batch:
    _assert_close(gradients(loop), expected, atol=1e-6)


def test_steps_of_time_in_one_iteration_change_nothing():
  """As many as do not divide the number of steps."""
  spec = RNNSpec("lstm", (3, 2), 4, 2)
  weights, xs = _weights(make_rnn(spec)), _normal((STEPS, 2, spec.inputs))

  def gradients(rnn):
    def loss(weights, xs):
      return jnp.mean(jnp.square(rnn.unroll(weights, xs)))

    function = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    lowered = function.lower(weights, xs)
    return function(weights, xs), lowered.as_text().count("dot_general")

  one, few_dots = gradients(make_rnn(spec))
  five, many_dots = gradients(make_rnn(spec, time_unroll=5))
  _assert_close(five, one, atol=1e-6)
  assert many_dots > few_dots
  with pytest.raises(ValueError, match="time_unroll must be at least 1, got 0"):
    make_rnn(spec, time_unroll=0)


@pytest.mark.parametrize(
    "cell, shared_inputs",
    [(cell, cell == "elman") for cell in cells.names()],
)
@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_vmap_over_networks(cell, shared_inputs, kernels):
  spec = RNNSpec(cell, (4, 3), 3, 2)
  rnn = make_rnn(spec, kernels=kernels)
  weights = _weights(rnn, networks=(4,))
  xs = _normal((4, STEPS, 2, spec.inputs))

  def gradients(unroll, weights, xs):
    def loss(weights, xs):
      return jnp.mean(jnp.square(unroll(weights, xs)))

    return jax.value_and_grad(loss, argnums=(0, 1))(weights, xs)

  axis = None if shared_inputs else 0
  xs = xs[0] if shared_inputs else xs
  together = jax.jit(
      jax.vmap(functools.partial(gradients, rnn.unroll), (0, axis))
  )(weights, xs)
  plain = functools.partial(_plain_unroll, spec)
  alone = jax.jit(functools.partial(gradients, plain))
  for n in range(4):
    one = jax.tree.map(lambda w, n=n: w[n], (weights, together))
    expected = alone(one[0], xs if shared_inputs else xs[n])
    _assert_close(one[1], expected, atol=1e-6)


@pytest.mark.parametrize("cell", cells.names())
def test_outputs_depend_on_the_past_alone(cell):
  rnn = make_rnn(RNNSpec(cell, (4,), 3, 2))
  weights, xs = _weights(rnn), _normal((STEPS, 2, 3))
  changed = xs.copy()
  changed[5] += 1
  unroll = jax.jit(rnn.unroll)
  a, b = unroll(weights, xs), unroll(weights, changed)
  np.testing.assert_array_equal(a[:5], b[:5])
  assert np.all(np.any(a[5:] != b[5:], axis=-1))


@pytest.mark.parametrize("spec", CASES, ids=str)
def test_flatten(spec):
  rnn = make_rnn(spec)
  weights = _weights(rnn)
  vector = rnn.flatten(weights)
  assert vector.shape == (rnn.size,)
  again = rnn.unflatten(vector)
  assert jax.tree.structure(again) == jax.tree.structure(weights)
  jax.tree.map(np.testing.assert_array_equal, again, weights)
  np.testing.assert_array_equal(rnn.flatten(again), vector)


def test_flatten_is_in_torchs_order():
  names = Weights(
      tuple(Layer(*(f"{f}{k}" for f in Layer._fields)) for k in range(2)),
      Linear("w", "b"),
  )
  assert jax.tree.leaves(names) == (
      ["wx0", "wh0", "bx0", "bh0", "wx1", "wh1", "bx1", "bh1", "w", "b"]
  )


def test_flatten_refuses_other_weights():
  rnn = make_rnn(RNNSpec("gru", (2,), 2, 2))
  batch = jax.tree.map(lambda s: jnp.zeros((3, *s)), rnn.shapes,
                       is_leaf=lambda s: s and isinstance(s[0], int))
  with pytest.raises(ValueError, match=r"expected weights of one network"):
    rnn.flatten(batch)


def test_unflatten_refuses_another_size():
  rnn = make_rnn(RNNSpec("gru", (4,), 3, 2))
  with pytest.raises(ValueError, match=f"has {rnn.size} parameters"):
    rnn.unflatten(jnp.zeros(rnn.size + 1))


@pytest.mark.parametrize(
    "hidden, inputs, outputs", [((), 3, 2), ((4, 0), 3, 2), ((4,), 0, 2)]
)
def test_refuses_sizes_that_make_no_rnn(hidden, inputs, outputs):
  with pytest.raises(ValueError, match="at least one layer"):
    RNNSpec("lstm", hidden, inputs, outputs)


def test_spec_is_hashable_and_normalised():
  a = RNNSpec("lstm", [np.int64(4), 3], 3, 2)
  assert a == RNNSpec("lstm", (4, 3), 3, 2)
  assert hash(a) == hash(RNNSpec("lstm", (4, 3), 3, 2))


def test_an_unknown_cell_is_refused():
  with pytest.raises(ValueError, match="did you mean 'elman'"):
    make_rnn(RNNSpec("ellman", (4,), 3, 2))


def test_time_loops_hold_nothing_that_can_wait():
  """One product with the recurrent weights each; time is no scatter."""
  rnn = make_rnn(RNNSpec("lstm", (8,), 3, 2))
  weights, xs = _weights(rnn), _normal((STEPS, 5, 3))
  both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), weights)

  def gradients(weights):
    return jax.grad(lambda w: rnn.unroll(w, xs).sum())(weights)

  jaxpr = jax.make_jaxpr(jax.vmap(gradients))(both)
  loops = [
      str(equation)
      for equation in jaxpr.eqns
      if equation.primitive.name in ("scan", "while")
  ]
  assert [loop.count("dot_general") for loop in loops] == [1, 1]
  assert "scatter" not in str(jaxpr)
