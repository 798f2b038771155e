"""Kernels compute what loops of JAX do, where they are requested."""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, precision, recurrence
from weightspace.recurrence._cpu import build
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.types import Linear, Weights

COMPILER = shlex.split(os.environ.get("CXX", "")) or ["c++"]
needs_kernels = pytest.mark.skipif(
    shutil.which(COMPILER[0]) is None, reason="no C++ compiler"
)
# Steps, batch, inputs, units: widths that fill vectors, panels and tiles and
# such that do not; sums of one share and of several.
SIZES = [
    (5, (3, 2), 4, 20),
    (2, (13,), 130, 16),
    (3, (), 70, 70),
    (1, (7,), 3, 1),
]


def _normal(seed, *shape):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _weights(rnn, scale):
  """As widely spread as those of a new network, times `scale`."""
  bound = scale / max(rnn.spec.hidden) ** 0.5
  vector = np.random.default_rng(3).uniform(-bound, bound, rnn.size)
  return jax.jit(rnn.unflatten)(vector.astype(np.float32))


def _arguments(cell, steps, batch, inputs, units):
  """Weights, inputs and gradients of outputs."""
  rnn = make_rnn(RNNSpec(cell, (units,), inputs, 1))
  xs, dhs = (
      _normal(i, steps, *batch, size) for i, size in enumerate((inputs, units))
  )
  return _weights(rnn, 1).layers[0], xs, dhs


def _with_gradients(cell, kernels, layer, xs, dhs):
  def unroll(layer, xs):
    return recurrence.unroll_layer(cell, 1, layer, xs, kernels)

  hs, vjp = jax.vjp(unroll, layer, xs)
  return hs, vjp(dhs)


def _assert_close(a, b):
  """Up to rounding of sums whose terms are of the size of the largest one."""
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.shape == y.shape
    scale = np.max(np.abs(y), initial=0)
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * scale + 1e-30)


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("name, sizes", [
    *(("lstm", sizes) for sizes in SIZES),
    *((name, SIZES[2]) for name in ("elman", "gru")),
], ids=str)  # fmt: skip
def test_kernels_compute_what_loops_do(name, sizes):
  cell = cells.load(name)
  arguments = _arguments(name, *sizes)
  run = jax.jit(_with_gradients, static_argnums=(0, 1))
  _assert_close(run(cell, True, *arguments), run(cell, False, *arguments))


@pytest.mark.slow
@pytest.mark.parametrize("name", cells.names())
def test_a_gradient_has_the_precision_of_the_context_it_was_traced_in(name):
  """Also where it is taken outside of that context."""
  cell = cells.load(name)
  layer, xs, dhs = _arguments(name, 3, (4,), 5, 6)

  def run(layer, xs):
    def unroll(layer, xs):
      with precision.products("bfloat16"):
        return recurrence.unroll_layer(cell, 1, layer, xs)

    _, vjp = jax.vjp(unroll, layer, xs)
    return vjp(dhs)

  text = jax.jit(run).lower(layer, xs).as_text()
  products = [line for line in text.splitlines() if "dot_general" in line]
  # Sums over rows are products with ones, and as exact as these
  assert len(products) > 4
  assert all("lhs_precision_type = bf16" in line for line in products)


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("ends", [
    (6, 5, 5, 3, 1, 0),  # in the order in which kernels leave rows out
    (0, 3, 6, 1, 5, 5),
    (0, 0, 0, 0, 0, 0),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", cells.names())
def test_what_has_no_gradient_may_be_left_out(name, ends):
  """Where the gradients of outputs are 0 from some step of each row on."""
  cell = cells.load(name)
  layer, xs, dhs = _arguments(name, 7, (6,), 4, 20)
  dhs = jnp.where(np.arange(7)[:, None, None] < np.array(ends)[:, None], dhs, 0)
  run = jax.jit(_with_gradients, static_argnums=(0, 1))
  results = run(cell, True, layer, xs, dhs)
  _assert_close(results, run(cell, False, layer, xs, dhs))
  _, (_, dxs) = results
  for row, end in enumerate(ends):
    assert not np.any(dxs[end:, row])
    assert np.all(np.any(dxs[:end, row], axis=-1))


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("axes", [
    (0, 0, 0), (0, None, None), (None, 0, None), (None, None, 0),
])  # fmt: skip
def test_networks_side_by_side_are_those_alone_to_the_bit(axes):
  cell = cells.load("lstm")
  trees = _arguments("lstm", 4, (3,), 5, 18)
  trees = [
      tree if axis is None
      else jax.tree.map(lambda a: jnp.stack([a, -a, 2 * a]), tree)
      for tree, axis in zip(trees, axes)
  ]  # fmt: skip
  run = jax.jit(_with_gradients, static_argnums=(0, 1))
  together = jax.jit(jax.vmap(
      functools.partial(_with_gradients, cell, True), axes
  ))(*trees)  # fmt: skip
  for i in range(3):
    own = [
        tree if axis is None else jax.tree.map(lambda a, i=i: a[i], tree)
        for tree, axis in zip(trees, axes)
    ]
    jax.tree.map(
        lambda a, b, i=i: np.testing.assert_array_equal(a[i], b),
        together,
        run(cell, True, *own),
    )


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("rows, inputs, outputs", [
    ((4, 5), 32, 6), ((7,), 3, 40), ((), 70, 2), ((300,), 20, 17),
])  # fmt: skip
def test_the_read_out_is_a_linear_layer(rows, inputs, outputs):
  shapes = (outputs, inputs), (outputs,), (*rows, inputs), (*rows, outputs)
  w, b, hs, dys = (_normal(i, *shape) for i, shape in enumerate(shapes))

  def run(f, layer, hs, dys):
    ys, vjp = jax.vjp(f, layer, hs)
    return ys, vjp(dys)

  def plain(layer, hs):
    ys = hs @ layer.w.T
    return ys + jnp.broadcast_to(layer.b, ys.shape)

  kernel, expected = (
      jax.jit(functools.partial(run, f))(Linear(w, b), hs, dys)
      for f in (functools.partial(recurrence.read_out, kernels=True), plain)
  )
  _assert_close(kernel, expected)


@pytest.mark.slow
@needs_kernels
def test_activations_are_right_everywhere():
  """Through one unit without memory; what is not a number stays so."""
  xs = np.linspace(-30, 30, 6001, dtype=np.float32)
  xs = np.concatenate([xs, 1e-4 * xs, [np.inf, -np.inf, np.nan, 0.0]])
  layer = jax.tree.map(
      jnp.zeros_like, _arguments("elman", 1, (), 1, 1)[0]
  )._replace(wx=jnp.ones((1, 1, 1)))
  unroll = jax.jit(functools.partial(
      recurrence.unroll_layer, cells.load("elman"), 1, kernels=True
  ))  # fmt: skip
  ys = unroll(layer, xs.astype(np.float32)[None, :, None])[0, :, 0]
  np.testing.assert_allclose(ys, np.tanh(xs), rtol=5e-7, atol=1e-30)


@pytest.mark.slow
@needs_kernels
def test_a_network_that_diverged_stays_so():
  layer, xs, dhs = _arguments("lstm", 3, (2,), 4, 20)
  layer = layer._replace(wh=layer.wh.at[0, 3, 7].set(jnp.nan))
  hs, (of_weights, _) = jax.jit(_with_gradients, static_argnums=(0, 1))(
      cells.load("lstm"), True, layer, xs, dhs
  )
  assert np.all(np.isfinite(hs[0]))  # that step has not seen it
  assert np.all(np.isnan(hs[1][:, 3]))
  assert np.any(np.isnan(of_weights.wh))


# Steps, strings, inputs, layers' units, outputs: as in SIZES, and blocks of
# strings, vectors of outputs, and such that are not full
WRITTEN = [
    (12, 300, 6, (32, 32), 6),
    (5, 40, 20, (20,), 20),
    (4, 25, 3, (16, 5, 33), 2),
    (3, 7, 2, (150, 3), 1),
    (3, 1, 5, (1,), 5),
]


def _writers(name, steps, strings, inputs, hidden, outputs):
  """Networks that prefer some symbols, and their draws."""
  rnn = make_rnn(RNNSpec(name, hidden, inputs, outputs), kernels=True)
  draws = np.random.default_rng(4).random((steps, strings), np.float32)
  return rnn, _weights(rnn, 3), jnp.asarray(draws)


def _assert_written(rnn, weights, first, draws, actual):
  """Tokens are those of the draws, by distributions as of `rnn.unroll`."""
  tokens, log_probs = actual
  outputs = rnn.spec.outputs
  assert tokens.dtype == jnp.int32
  assert tokens.shape == draws.shape
  read = np.pad(tokens[:-1], ((1, 0), (0, 0)), constant_values=first)
  logits = jax.jit(rnn.unroll)(
      weights, np.eye(rnn.spec.inputs, dtype=np.float32)[read]
  )
  np.testing.assert_allclose(
      log_probs, jax.nn.log_softmax(logits), rtol=1e-5, atol=2e-5
  )
  ends = np.cumsum(np.exp(np.asarray(log_probs, np.float64)), axis=-1)
  ends = np.concatenate([np.zeros((*draws.shape, 1)), ends], axis=-1)
  ends[..., -1] = 1
  assert np.all((tokens >= 0) & (tokens < outputs))
  place = np.asarray(tokens)[..., None]
  low, high = (
      np.take_along_axis(ends, place + i, axis=-1)[..., 0] for i in (0, 1)
  )
  assert np.all((low - 2e-6 <= draws) & (draws < high + 2e-6))


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("name, sizes, kernels", [
    *(("lstm", sizes, True) for sizes in WRITTEN),
    *((name, sizes, True) for name in ("elman", "gru")
      for sizes in (WRITTEN[0], WRITTEN[2])),
    *((name, WRITTEN[2], False) for name in cells.names()),
], ids=str)  # fmt: skip
def test_what_is_written_is_drawn_and_read_again(name, sizes, kernels):
  rnn, weights, draws = _writers(name, *sizes)
  first = sizes[2] - 1
  run = jax.jit(functools.partial(
      recurrence.generate, cells.load(name), kernels=kernels
  ), static_argnums=1)  # fmt: skip
  actual = run(weights, first, draws)
  _assert_written(rnn, weights, first, draws, actual)
  if sizes[4] > 1 and sizes[1] > 1:
    assert len(np.unique(actual[0])) > 1


@pytest.mark.slow
@needs_kernels
def test_strings_that_were_alike_may_part():
  """Each string is what it would be alone, whichever others begin like it."""
  rnn, weights, draws = _writers("lstm", 9, 200, 3, (8, 8), 2)
  draws = draws.at[:6, ::2].set(draws[:6, :1])  # the same up to there
  run = jax.jit(rnn.generate, static_argnums=1)
  tokens, log_probs = run(weights, 2, draws)
  assert len(np.unique(tokens[:6, ::2], axis=1).T) == 1
  assert len(np.unique(tokens[:, ::2], axis=1).T) > 1
  for i in range(0, 200, 17):
    alone = run(weights, 2, draws[:, i : i + 1])
    np.testing.assert_array_equal(alone[0][:, 0], tokens[:, i])
    np.testing.assert_allclose(
        alone[1][:, 0], log_probs[:, i], rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0),
                                  (Weights(0, None), None),
                                  (Weights(None, 0), 0)], ids=str)  # fmt: skip
def test_writers_side_by_side_are_those_alone_to_the_bit(axes):
  rnn, weights, draws = _writers("gru", 7, 50, 4, (18, 7), 3)
  others = (
      jax.tree.map(lambda w: jnp.stack([w, -w, 2 * w]), weights),
      jnp.stack([draws, draws[::-1], draws / 2]),
  )
  of_weights = axes[0] if isinstance(axes[0], Weights) else Weights(
      axes[0], axes[0]
  )  # fmt: skip
  chosen = (
      Weights(*(
          one if axis is None else many
          for one, many, axis in zip(weights, others[0], of_weights)
      )),
      draws if axes[1] is None else others[1],
  )  # fmt: skip
  axes = of_weights, axes[1]

  def run(weights, draws):
    return rnn.generate(weights, 3, draws)

  together = jax.jit(jax.vmap(run, axes))(*chosen)
  for i in range(3):
    own = (
        Weights(*(
            tree if axis is None else jax.tree.map(lambda a, i=i: a[i], tree)
            for tree, axis in zip(chosen[0], of_weights)
        )),
        chosen[1] if axes[1] is None else chosen[1][i],
    )  # fmt: skip
    jax.tree.map(
        lambda a, b, i=i: np.testing.assert_array_equal(a[i], b),
        together,
        jax.jit(run)(*own),
    )


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("name", cells.names())
def test_what_a_diverged_network_writes_is_no_number_where_loops_say_so(name):
  """Wherever it diverged; what has no distribution is symbol 0."""
  cell = cells.load(name)
  _, weights, draws = _writers(name, 4, 20, 6, (5, 18), 3)
  leaves, treedef = jax.tree.flatten(weights)
  kernel, loop = (
      jax.jit(
          functools.partial(recurrence.generate, cell, kernels=kernels),
          static_argnums=1,
      )
      for kernels in (True, False)
  )
  for bad in (np.nan, np.inf):
    seen = 0
    for i, leaf in enumerate(leaves):
      broken = leaf.at[(-1,) * leaf.ndim].set(bad)
      broken = treedef.unflatten([*leaves[:i], broken, *leaves[i + 1 :]])
      tokens, log_probs = kernel(broken, 0, draws)
      np.testing.assert_array_equal(
          np.isnan(log_probs), np.isnan(loop(broken, 0, draws)[1])
      )
      assert np.all((tokens >= 0) & (tokens < 3))
      no_number = np.isnan(log_probs[..., 0])
      assert not np.any(tokens[no_number])
      seen += np.any(no_number)
    assert seen == len(leaves) if np.isnan(bad) else seen >= 3


@pytest.mark.slow
@needs_kernels
def test_what_is_impossible_is_not_written():
  """Not even by a draw of 0, or of nearly 1."""
  _, weights, _ = _writers("lstm", 1, 1, 4, (5,), 4)
  logits = jnp.array([-np.inf, 0.0, -np.inf, -np.inf])
  weights = weights._replace(
      readout=Linear(0 * weights.readout.w, logits)
  )
  draws = jnp.array([[0.0, 0.5, 1 - 2.0**-24]])
  tokens, log_probs = recurrence.generate(
      cells.load("lstm"), weights, 0, draws, kernels=True
  )
  np.testing.assert_array_equal(tokens, np.ones((1, 3)))
  np.testing.assert_array_equal(log_probs[0, 0], logits)


@pytest.mark.slow
@needs_kernels
def test_no_draw_is_beyond_the_last_symbol():
  """Wherever rounding lets the probabilities end."""
  _, weights, _ = _writers("elman", 1, 1, 5, (4,), 5)
  draws = jnp.array([[1 - 2.0**-24, 1.0, np.inf]])
  tokens, _ = recurrence.generate(cells.load("elman"), weights, 0, draws)
  np.testing.assert_array_equal(tokens, np.full((1, 3), 4))


@pytest.mark.parametrize("first, outputs", [(3, 3), (-1, 3), (0, 4)])
def test_a_network_that_cannot_read_what_it_writes_is_refused(first, outputs):
  rnn, weights, draws = _writers("elman", 2, 2, 3, (4,), outputs)
  with pytest.raises(ValueError, match="can't read all that it writes"):
    rnn.generate(weights, first, draws)


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
  """Functions of vector.h as such of arrays: `functions(name, xs)`."""
  folder = tmp_path_factory.mktemp("functions")
  code_file, library = folder / "functions.cc", folder / "functions.so"
  one = (
      'extern "C" void {0}(const float* x, float* y, long n) {{ for (long i ='
      " 0; i < n; i += kWidth) Store(y + i, weightspace::{0}(Load(x + i, n -"
      " i)), n - i); }}\n"
  )
  code_file.write_text(
      '#include "vector.h"\nusing namespace weightspace;\n'
      + "".join(map(one.format, ("Exp", "Log")))
  )
  subprocess.run(
      [
          *COMPILER, *build._FLAGS, "-shared", f"-I{build._FOLDER}", code_file,
          "-o", library,
      ],
      check=True,
  )  # fmt: skip
  loaded = ctypes.CDLL(str(library))

  def call(name, xs):
    xs = np.ascontiguousarray(xs, np.float32)
    ys = np.empty_like(xs)
    getattr(loaded, name)(
        *(a.ctypes.data_as(ctypes.c_void_p) for a in (xs, ys)),
        ctypes.c_long(xs.size),
    )
    return xs.astype(np.float64), ys

  return call


@pytest.mark.slow
@needs_kernels
def test_exponentials_and_logarithms_are_right_everywhere(functions):
  xs, actual = functions("Exp", np.linspace(-87.3, 88, 100_001))
  np.testing.assert_allclose(actual, np.exp(xs), rtol=2e-7)
  _, actual = functions("Exp", [0, -0.0, -100, -1e30, -np.inf, np.nan])
  np.testing.assert_array_equal(actual, [1, 1, 0, 0, 0, np.nan])
  near = 1 + np.linspace(-0.5, 2, 100_001)
  far = np.exp(np.linspace(-87, 88, 100_001))
  xs, actual = functions("Log", np.concatenate([near, far]))
  np.testing.assert_allclose(actual, np.log(xs), rtol=2e-7)
  _, actual = functions("Log", [1, np.nan])
  np.testing.assert_array_equal(actual, [0, np.nan])


def _lowered_layer(cell, kernels, dtype, platform):
  arguments = jax.tree.map(
      lambda a: a.astype(dtype), _arguments("lstm", 2, (3,), 4, 5)
  )
  traced = jax.jit(_with_gradients, static_argnums=(0, 1)).trace(
      cell, kernels, *arguments
  )
  return traced.lower(lowering_platforms=(platform,)).as_text()


def _lowered_sampling(cell, kernels, dtype, platform):
  _, weights, draws = _writers("lstm", 2, 3, 4, (5,), 3)
  arguments = jax.tree.map(lambda a: a.astype(dtype), (weights, draws))
  traced = jax.jit(
      lambda weights, draws: recurrence.generate(
          cell, weights, 0, draws, kernels
      )
  ).trace(*arguments)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("lowered", [_lowered_layer, _lowered_sampling])
def test_kernels_serve_float32_on_cpu_and_cells_they_know(lowered):
  cell = cells.load("lstm")
  # The same in other words, which no kernel knows
  other = cell._replace(output=lambda state: cell.output(state))
  assert "weightspace." in lowered(cell, True, jnp.float32, "cpu")
  for text in (
      lowered(cell, False, jnp.float32, "cpu"),
      lowered(cell, True, jnp.float32, "cuda"),
      lowered(cell, True, jnp.float32, "tpu"),
      lowered(cell, True, jnp.bfloat16, "cpu"),
      lowered(other, True, jnp.float32, "cpu"),
  ):
    assert "weightspace." not in text
    assert "stablehlo.while" in text


def test_samples_have_the_dtype_of_the_weights():
  with jax.enable_x64(True):
    _, weights, draws = _writers("gru", 2, 3, 4, (5,), 3)
    double = jax.tree.map(lambda a: a.astype(jnp.float64), (weights, draws))
    tokens, log_probs = recurrence.generate(
        cells.load("gru"), double[0], 0, double[1]
    )
    assert (tokens.dtype, log_probs.dtype) == (jnp.int32, jnp.float64)
