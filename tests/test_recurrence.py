"""Kernels compute what loops of JAX do, or step aside."""

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

from weightspace import cells, recurrence
from weightspace.recurrence import _build, _kernels
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.types import Linear

needs_kernels = pytest.mark.skipif(
    not _kernels.available(), reason="no C++ compiler"
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


def _lowered(cell, dtype=jnp.float32, platform="cpu"):
  arguments = jax.tree.map(
      lambda a: a.astype(dtype), _arguments("lstm", 2, (3,), 4, 5)
  )
  traced = jax.jit(_with_gradients, static_argnums=0).trace(cell, *arguments)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@needs_kernels
def test_kernels_serve_float32_on_cpu_and_cells_they_know():
  lstm = cells.load("lstm")
  assert _lowered(lstm).count("weightspace.Layer") == 4
  for text in (
      _lowered(lstm, platform="cuda"),
      _lowered(lstm, platform="tpu"),
      _lowered(lstm, dtype=jnp.bfloat16),
      _lowered(_looped(lstm)),
  ):
    assert "weightspace." not in text
    assert "stablehlo.while" in text


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
  real = _kernels._library()._name
  calls = compiler(f'cp {real} "$2"')
  assert _build.load() is not None
  assert _build.load() is not None
  assert len(calls.read_text().splitlines()) == 1
  kept = [p.name for p in (tmp_path / "cache").iterdir()]
  assert sum(name.endswith(".so") for name in kept) == 1
  assert len(kept) == 2  # the lock and nothing unfinished

  sources = tmp_path / "sources"
  shutil.copytree(_build._FOLDER, sources)
  with open(sources / "vector.h", "a") as file:
    file.write("// changed\n")
  monkeypatch.setattr(_build, "_FOLDER", sources)
  assert _build.load() is not None
  assert len(calls.read_text().splitlines()) == 2


@needs_kernels
def test_a_cache_that_cannot_be_written_is_done_without(
    compiler, tmp_path, monkeypatch
):
  real = _kernels._library()._name
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
from weightspace import recurrence
from weightspace.rnn import RNNSpec, make_rnn
assert recurrence.kernels() == "none"
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
