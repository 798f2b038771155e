"""Kernels compute what loops of JAX do, or step aside."""

import ctypes
import functools
import logging
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, kernels, precision, recurrence
from weightspace.kernels import _build
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.types import Linear, Weights

needs_kernels = pytest.mark.skipif(
    not kernels.available(), reason="no C++ compiler"
)
# Steps, batch, inputs, units: widths that fill vectors, panels and tiles and
# such that do not; sums of one share and of several.
SIZES = [
    (5, (3, 2), 4, 20),
    (2, (13,), 130, 16),
    (3, (), 70, 70),
    (1, (7,), 3, 1),
]


def _arguments(cell, steps, batch, inputs, units):
  """Weights, inputs and gradients of outputs."""
  rnn = make_rnn(RNNSpec(cell, (units,), inputs, 1))
  xs, dhs = (
      jax.random.normal(jax.random.key(i), (steps, *batch, size))
      for i, size in enumerate((inputs, units))
  )
  return rnn.init(jax.random.key(2)).layers[0], xs, dhs


def _looped(cell):
  """The same in other words, which no kernel knows."""
  return cell._replace(output=lambda state: cell.output(state))


def _with_gradients(cell, layer, xs, dhs):
  unroll = functools.partial(recurrence.unroll_layer, cell, 1)
  hs, vjp = jax.vjp(unroll, layer, xs)
  return hs, vjp(dhs)


def _assert_close(a, b):
  """Up to rounding of sums whose terms are of the size of the largest one."""
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.shape == y.shape
    scale = np.max(np.abs(y), initial=0)
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * scale + 1e-30)


@needs_kernels
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", cells.names())
def test_kernels_compute_what_loops_do(name, sizes):
  cell = cells.load(name)
  arguments = _arguments(name, *sizes)
  run = jax.jit(_with_gradients, static_argnums=0)
  _assert_close(
      run(cell, *arguments), run(_looped(cell), *arguments)
  )


@needs_kernels
@pytest.mark.parametrize("sizes", [
    (5, (3, 7), 40, 36), (3, (33,), 300, 48), (2, (16,), 3, 130),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", cells.names())
@pytest.mark.parametrize("precise, least, most", [
    ("tensorfloat32", 0, 1e-4), ("bfloat16", 1e-4, 2e-2),
])  # fmt: skip
def test_layers_in_halves_are_nearly_those_of_float32(
    precise, least, most, name, sizes
):
  """And are traced as such where they are differentiated afterwards."""
  cell = cells.load(name)
  layer, xs, dhs = _arguments(name, *sizes)

  def run(precise):
    def unroll(layer, xs):
      with precision.products(precise):
        return recurrence.unroll_layer(cell, 1, layer, xs)

    hs, vjp = jax.vjp(unroll, layer, xs)
    return hs, vjp(dhs)

  exact, halves = (
      jax.jit(run, static_argnums=0)(p) for p in ("float32", precise)
  )
  errors = [
      np.max(np.abs(x - y)) / np.max(np.abs(y))
      for x, y in zip(jax.tree.leaves(halves), jax.tree.leaves(exact))
  ]
  assert max(errors) <= most
  off = [error > least for error in errors]
  with precision.products(precise):
    assert any(off) == all(off) == kernels.serve_in_halves(xs)


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
  run = jax.jit(_with_gradients, static_argnums=0)
  found = run(cell, layer, xs, dhs)
  _assert_close(found, run(_looped(cell), layer, xs, dhs))
  _, (_, dxs) = found
  for row, end in enumerate(ends):
    assert not np.any(dxs[end:, row])
    assert np.all(np.any(dxs[:end, row], axis=-1))


@needs_kernels
@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, None), (None, 0, 0),
                                  (None, None, 0), (0, 0, None)])  # fmt: skip
def test_networks_side_by_side_are_those_alone_to_the_bit(axes):
  cell = cells.load("lstm")
  trees = _arguments("lstm", 4, (3,), 5, 18)
  trees = [
      tree if axis is None
      else jax.tree.map(lambda a: jnp.stack([a, -a, 2 * a]), tree)
      for tree, axis in zip(trees, axes)
  ]  # fmt: skip
  run = functools.partial(_with_gradients, cell)
  together = jax.jit(jax.vmap(run, axes))(*trees)
  alone = jax.jit(run)
  for i in range(3):
    own = [
        tree if axis is None else jax.tree.map(lambda a, i=i: a[i], tree)
        for tree, axis in zip(trees, axes)
    ]
    jax.tree.map(
        lambda a, b, i=i: np.testing.assert_array_equal(a[i], b),
        together,
        alone(*own),
    )


@needs_kernels
@pytest.mark.parametrize("rows, inputs, outputs", [
    ((4, 5), 32, 6), ((7,), 3, 40), ((), 70, 2), ((300,), 20, 17),
])  # fmt: skip
def test_the_read_out_is_a_linear_layer(rows, inputs, outputs):
  shapes = (outputs, inputs), (outputs,), (*rows, inputs), (*rows, outputs)
  w, b, hs, dys = (
      jax.random.normal(jax.random.key(i), shape)
      for i, shape in enumerate(shapes)
  )

  def run(f, layer, hs, dys):
    ys, vjp = jax.vjp(f, layer, hs)
    return ys, vjp(dys)

  def plain(layer, hs):
    return hs @ layer.w.T + layer.b

  found, wanted = (
      jax.jit(functools.partial(run, f))(Linear(w, b), hs, dys)
      for f in (recurrence.read_out, plain)
  )
  _assert_close(found, wanted)


@needs_kernels
def test_activations_are_right_everywhere():
  """Through one unit without memory; what is not a number stays so."""
  xs = np.linspace(-30, 30, 6001, dtype=np.float32)
  xs = np.concatenate([xs, 1e-4 * xs, [np.inf, -np.inf, np.nan, 0.0]])
  layer = jax.tree.map(
      jnp.zeros_like, _arguments("elman", 1, (), 1, 1)[0]
  )._replace(wx=jnp.ones((1, 1, 1)))
  unroll = jax.jit(functools.partial(recurrence.unroll_layer,
                                     cells.load("elman"), 1))  # fmt: skip
  found = unroll(layer, xs.astype(np.float32)[None, :, None])[0, :, 0]
  np.testing.assert_allclose(found, np.tanh(xs), rtol=5e-7, atol=1e-30)


@needs_kernels
def test_a_network_that_diverged_stays_so():
  layer, xs, dhs = _arguments("lstm", 3, (2,), 4, 20)
  layer = layer._replace(wh=layer.wh.at[0, 3, 7].set(jnp.nan))
  hs, (of_weights, _) = jax.jit(_with_gradients, static_argnums=0)(
      cells.load("lstm"), layer, xs, dhs
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
  rnn = make_rnn(RNNSpec(name, hidden, inputs, outputs))
  weights = jax.tree.map(lambda w: 3 * w, rnn.init(jax.random.key(3)))
  draws = jax.random.uniform(jax.random.key(4), (steps, strings))
  return rnn, weights, draws


def _assert_written(rnn, weights, first, draws, found):
  """Tokens are those of the draws, by distributions as of `rnn.unroll`."""
  tokens, log_probs = found
  outputs = rnn.spec.outputs
  assert tokens.dtype == jnp.int32
  assert tokens.shape == draws.shape
  read = np.pad(tokens[:-1], ((1, 0), (0, 0)), constant_values=first)
  logits = rnn.unroll(weights, jax.nn.one_hot(read, rnn.spec.inputs))
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


@needs_kernels
@pytest.mark.parametrize("how", [lambda cell: cell, _looped],
                         ids=["kernel", "loop"])  # fmt: skip
@pytest.mark.parametrize("sizes", WRITTEN, ids=str)
@pytest.mark.parametrize("name", cells.names())
def test_what_is_written_is_drawn_and_read_again(name, sizes, how):
  rnn, weights, draws = _writers(name, *sizes)
  first = sizes[2] - 1
  run = jax.jit(functools.partial(recurrence.generate, how(cells.load(name))),
                static_argnums=1)  # fmt: skip
  found = run(weights, first, draws)
  _assert_written(rnn, weights, first, draws, found)
  if sizes[4] > 1 and sizes[1] > 1:
    assert len(np.unique(found[0])) > 1


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


@needs_kernels
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", cells.names())
def test_what_a_diverged_network_writes_is_no_number_where_loops_say_so(
    name, bad
):
  """Wherever it diverged; what has no distribution is symbol 0."""
  cell = cells.load(name)
  _, weights, draws = _writers(name, 4, 20, 6, (5, 18), 3)
  leaves, treedef = jax.tree.flatten(weights)
  kernel, loop = (
      jax.jit(functools.partial(recurrence.generate, c), static_argnums=1)
      for c in (cell, _looped(cell))
  )
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


@needs_kernels
def test_what_is_impossible_is_not_written():
  """Not even by a draw of 0, or of nearly 1."""
  _, weights, _ = _writers("lstm", 1, 1, 4, (5,), 4)
  logits = jnp.array([-np.inf, 0.0, -np.inf, -np.inf])
  weights = weights._replace(
      readout=Linear(0 * weights.readout.w, logits)
  )
  draws = jnp.array([[0.0, 0.5, 1 - 2.0**-24]])
  tokens, log_probs = recurrence.generate(cells.load("lstm"), weights, 0, draws)
  np.testing.assert_array_equal(tokens, np.ones((1, 3)))
  np.testing.assert_array_equal(log_probs[0, 0], logits)


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
  source, library = folder / "functions.cc", folder / "functions.so"
  one = (
      'extern "C" void {0}(const float* x, float* y, long n) {{ for (long i ='
      " 0; i < n; i += kWidth) Store(y + i, weightspace::{0}(Load(x + i, n -"
      " i)), n - i); }}\n"
  )
  source.write_text(
      '#include "vector.h"\nusing namespace weightspace;\n'
      + "".join(map(one.format, ("Exp", "Log")))
  )
  compiler = _build.shutil.which(_build.os.environ.get("CXX", "c++"))
  subprocess.run(
      [
          compiler, *_build._FLAGS, "-shared", f"-I{_build._FOLDER}", source,
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


@needs_kernels
def test_exponentials_and_logarithms_are_right_everywhere(functions):
  xs, found = functions("Exp", np.linspace(-87.3, 88, 100_001))
  np.testing.assert_allclose(found, np.exp(xs), rtol=2e-7)
  _, found = functions("Exp", [0, -0.0, -100, -1e30, -np.inf, np.nan])
  np.testing.assert_array_equal(found, [1, 1, 0, 0, 0, np.nan])
  near = 1 + np.linspace(-0.5, 2, 100_001)
  far = np.exp(np.linspace(-87, 88, 100_001))
  xs, found = functions("Log", np.concatenate([near, far]))
  np.testing.assert_allclose(found, np.log(xs), rtol=2e-7)
  _, found = functions("Log", [1, np.nan])
  np.testing.assert_array_equal(found, [0, np.nan])


def _lowered(cell, dtype=jnp.float32, platform="cpu"):
  arguments = jax.tree.map(
      lambda a: a.astype(dtype), _arguments("lstm", 2, (3,), 4, 5)
  )
  traced = jax.jit(_with_gradients, static_argnums=0).trace(cell, *arguments)
  return traced.lower(lowering_platforms=(platform,)).as_text()


def _assert_chosen(lowered, cell, kernel, times):
  """Kernels in float32 on CPU and for that very cell, else loops."""
  assert lowered(cell).count(kernel) == times
  for text in (
      lowered(cell, platform="cuda"),
      lowered(cell, platform="tpu"),
      lowered(cell, dtype=jnp.bfloat16),
      lowered(_looped(cell)),
  ):
    assert "weightspace." not in text
    assert "stablehlo.while" in text


@needs_kernels
def test_kernels_write_in_float32_on_cpu_of_cells_they_know():
  def lowered(cell, dtype=jnp.float32, platform="cpu"):
    _, weights, draws = _writers("gru", 2, 3, 4, (5,), 3)
    arguments = jax.tree.map(lambda a: a.astype(dtype), (weights, draws))
    traced = jax.jit(
        lambda weights, draws: recurrence.generate(cell, weights, 0, draws)
    ).trace(*arguments)
    return traced.lower(lowering_platforms=(platform,)).as_text()

  gru = cells.load("gru")
  _assert_chosen(lowered, gru, "weightspace.GenerateStrings", 1)
  with jax.enable_x64(True):
    _, weights, draws = _writers("gru", 2, 3, 4, (5,), 3)
    double = jax.tree.map(lambda a: a.astype(jnp.float64), (weights, draws))
    tokens, log_probs = recurrence.generate(gru, double[0], 0, double[1])
    assert (tokens.dtype, log_probs.dtype) == (jnp.int32, jnp.float64)


@needs_kernels
def test_kernels_serve_float32_on_cpu_and_cells_they_know():
  _assert_chosen(_lowered, cells.load("lstm"), "weightspace.Layer", 4)


@pytest.fixture
def compiler(tmp_path, monkeypatch):
  """`compiler(body)`: a C++ compiler that is a shell script, and its calls."""
  monkeypatch.setenv("WEIGHTSPACE_CACHE", str(tmp_path / "cache"))
  monkeypatch.delenv("WEIGHTSPACE_KERNELS", raising=False)
  path, calls = tmp_path / "compiler", tmp_path / "calls"
  calls.touch()

  def make(body):
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit\n'
        f'echo "$@" >> {calls}\nwhile [ "$1" != -o ]; do shift; done\n{body}\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return calls

  return make


@needs_kernels
def test_kernels_are_built_once_and_anew_where_a_source_changes(
    compiler, tmp_path, monkeypatch
):
  real = kernels._library()._name
  calls = compiler(f'cp {real} "$2"')
  once = len([*_build._FOLDER.glob("*.cc"), "linked"])
  assert _build.load() is not None
  assert _build.load() is not None
  assert len(calls.read_text().splitlines()) == once
  kept = [p.name for p in (tmp_path / "cache").iterdir()]
  assert sum(name.endswith(".so") for name in kept) == 1
  assert len(kept) == 2  # the lock and nothing unfinished

  sources = tmp_path / "sources"
  shutil.copytree(_build._FOLDER, sources)
  with open(sources / "vector.h", "a") as file:
    file.write("// changed\n")
  monkeypatch.setattr(_build, "_FOLDER", sources)
  assert _build.load() is not None
  assert len(calls.read_text().splitlines()) == 2 * once


@needs_kernels
def test_a_cache_that_cannot_be_written_is_done_without(
    compiler, tmp_path, monkeypatch
):
  real = kernels._library()._name
  compiler(f'cp {real} "$2"')
  file = tmp_path / "file"
  file.touch()
  monkeypatch.setenv("WEIGHTSPACE_CACHE", str(file / "cache"))
  assert _build.load() is not None


@pytest.mark.parametrize("body, said", [
    ("echo no such flag >&2; exit 1", "no such flag"),
    ('echo no library > "$2"', "file too short"),
])  # fmt: skip
def test_a_compiler_that_fails_is_named_and_loops_serve(
    compiler, caplog, body, said
):
  compiler(body)
  with caplog.at_level(logging.WARNING):
    assert _build.load() is None
  assert "computed by XLA on CPU" in caplog.text
  assert said in caplog.text


def test_without_a_compiler_loops_serve(compiler, monkeypatch, caplog):
  compiler("exit 1")
  monkeypatch.setenv("CXX", "no-such-compiler")
  with caplog.at_level(logging.INFO):
    assert _build.load() is None
  assert "install g++ or clang++" in caplog.text
  monkeypatch.setenv("WEIGHTSPACE_KERNELS", "0")
  assert _build.load() is None


def test_kernels_can_be_left_out():
  """In a process of its own, where nothing is loaded yet."""
  code = """
import jax, jax.numpy as jnp
from weightspace import kernels
from weightspace.rnn import RNNSpec, make_rnn
assert kernels.name() == "none"
rnn = make_rnn(RNNSpec("gru", (3,), 2, 2))
ys = jax.jit(rnn.unroll)(rnn.init(jax.random.key(0)), jnp.ones((4, 2)))
assert ys.shape == (4, 2)
"""
  root = pathlib.Path(__file__).parent.parent
  subprocess.run(
      [sys.executable, "-c", code],
      env={"WEIGHTSPACE_KERNELS": "0", "PATH": "", "JAX_PLATFORMS": "cpu"},
      cwd=root,
      check=True,
      timeout=120,
  )
