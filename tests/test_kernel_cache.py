"""Kernels are built once, on request, and what is cached is checked."""

import pathlib
import subprocess
import sys

import pytest

from tests.test_recurrence import needs_kernels
from weightspace import recurrence
from weightspace.recurrence import _cpu
from weightspace.recurrence._cpu import build

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def compiler(tmp_path, monkeypatch):
  """`compiler(body)`: a C++ compiler that is a shell script, and its calls."""
  monkeypatch.setenv("WEIGHTSPACE_CACHE", str(tmp_path / "cache"))
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


@pytest.fixture
def real_library():
  """Requested before `compiler`, which puts another one in place."""
  return pathlib.Path(build.load()._name)


@pytest.mark.slow
@needs_kernels
def test_they_are_built_once_and_anew_where_a_file_changes(
    real_library, compiler, tmp_path, monkeypatch, caplog
):
  calls = compiler(f'cp {real_library} "$2"')

  def times_built():
    return calls.read_text().count("-shared")

  build.load()
  lines = list(caplog.messages)
  assert len(lines) == 2  # before and after
  assert "happens once" in lines[0]
  build.load()
  assert times_built() == 1
  assert len(caplog.messages) == 2

  sources = tmp_path / "sources"
  sources.mkdir()
  for path in build._FOLDER.glob("*.[ch]*"):
    (sources / path.name).write_bytes(path.read_bytes())
  with open(sources / "vector.h", "a") as file:
    file.write("// changed\n")
  monkeypatch.setattr(build, "_FOLDER", sources)
  build.load()
  assert times_built() == 2


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("size", [0, 1000, -1])
@pytest.mark.parametrize("which", ["so", "sha256"])
def test_a_damaged_library_is_built_again(
    real_library, compiler, tmp_path, caplog, which, size
):
  calls = compiler(f'cp {real_library} "$2"')
  build.load()
  (cached,) = (tmp_path / "cache").glob(f"*.{which}")
  content = cached.read_bytes()
  flipped = bytes([content[0] ^ 1]) + content[1:]
  cached.unlink()  # the library may be loaded; its pages stay as they are
  cached.write_bytes(flipped if size < 0 else content[: min(size, 60)])
  caplog.clear()
  build.load()
  assert calls.read_text().count("-shared") == 2
  assert "is damaged" in caplog.text
  build.load()
  assert calls.read_text().count("-shared") == 2


@pytest.mark.slow
@needs_kernels
def test_two_processes_build_once(real_library, compiler, tmp_path):
  calls = compiler(f'sleep 1; cp {real_library} "$2"')
  code = "from weightspace.recurrence._cpu import build; build.load()"
  both = [
      subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in "ab"
  ]
  assert [process.wait(timeout=100) for process in both] == [0, 0]
  assert calls.read_text().count("-shared") == 1


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("home", [False, True])
def test_a_cache_that_cannot_be_written_is_done_without(
    real_library, compiler, tmp_path, monkeypatch, caplog, home
):
  compiler(f'cp {real_library} "$2"')
  if home:  # a container without one

    def fail():
      raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("WEIGHTSPACE_CACHE")
    monkeypatch.setattr(pathlib.Path, "home", fail)
  else:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("WEIGHTSPACE_CACHE", str(file / "cache"))
  assert build.load()
  assert "WEIGHTSPACE_CACHE" in caplog.text


@pytest.mark.slow
@needs_kernels
def test_the_compiler_may_be_several_words(
    real_library, compiler, tmp_path, monkeypatch
):
  calls = compiler(f'cp {real_library} "$2"')
  monkeypatch.setenv("CXX", f"env SOME=1 {tmp_path}/compiler")
  assert build.load()
  assert calls.read_text()


@pytest.mark.parametrize("body, reason", [
    ("echo no such flag >&2; exit 1", "no such flag"),
    ('echo no library > "$2"', "file too short"),
])  # fmt: skip
def test_a_compiler_that_fails_is_named(compiler, body, reason):
  compiler(body)
  with pytest.raises(build.KernelError, match=reason):
    build.load()


@pytest.mark.parametrize("command", ["cxx-999", "no-such-program g++"])
def test_a_compiler_that_is_missing_is_an_error(monkeypatch, command):
  monkeypatch.setenv("CXX", command)
  with pytest.raises(build.KernelError, match=command.split()[0]):
    build.load()


@pytest.mark.parametrize("value, requested", [
    (None, False), ("", False), ("0", False), ("1", True),
])  # fmt: skip
def test_the_environment_requests_them(monkeypatch, value, requested):
  monkeypatch.delenv("WEIGHTSPACE_KERNELS", raising=False)
  if value is not None:
    monkeypatch.setenv("WEIGHTSPACE_KERNELS", value)
  assert recurrence.kernels_requested() == requested
  monkeypatch.setattr(_cpu, "load", lambda: "the library")
  assert (recurrence.kernels_name() == "the library") == requested
  assert recurrence.kernels_name(True) == "the library"
  assert recurrence.kernels_name(False) == recurrence.NO_KERNELS


def test_the_environment_must_be_understood(monkeypatch):
  monkeypatch.setenv("WEIGHTSPACE_KERNELS", "yes")
  with pytest.raises(ValueError, match="must be 0 or 1, got 'yes'"):
    recurrence.kernels_requested()


def test_by_default_nothing_is_compiled():
  """In a process of its own, where nothing is loaded yet."""
  code = """
import jax, jax.numpy as jnp
from weightspace.rnn import RNNSpec, make_rnn
rnn = make_rnn(RNNSpec("gru", (3,), 2, 2))
ys = jax.jit(rnn.unroll)(rnn.init(jax.random.key(0)), jnp.ones((4, 2)))
assert ys.shape == (4, 2)
"""
  subprocess.run(
      [sys.executable, "-c", code],
      env={"CXX": "no-compiler", "PATH": "", "JAX_PLATFORMS": "cpu"},
      cwd=ROOT,
      check=True,
      timeout=120,
  )
