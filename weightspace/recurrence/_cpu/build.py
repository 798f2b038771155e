"""Builds the kernels, and keeps one library for each kind of machine.

The cache holds, beside each library, the hash of its bytes: a library that is
damaged is built again. A lock keeps processes from building at the same time.
"""

import atexit
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.metadata
import logging
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from concurrent import futures

import jax

from weightspace.errors import UserError
from weightspace.io import files

_LOG = logging.getLogger("weightspace")
_FOLDER = pathlib.Path(__file__).parent
_FLAGS = "-std=c++20", "-O3", "-march=native", "-fPIC", "-w"


class KernelError(UserError):
  """Kernels were requested and cannot be had; the message says why."""


def load() -> ctypes.CDLL:
  """The library of kernels, built if the cache has none that is whole.

  Environment variables: `CXX` is the compiler's command, by default `c++`;
  `WEIGHTSPACE_CACHE` the folder of the cache, by default
  `~/.cache/weightspace`.

  Raises:
    KernelError: there is no compiler, or it failed.
  """
  compiler = _compiler()
  try:
    return ctypes.CDLL(str(_cached(compiler)))
  except (OSError, subprocess.SubprocessError) as error:
    reason = getattr(error, "stderr", None) or str(error)
    raise KernelError(
        f"the kernels cannot be built with {shlex.join(compiler)}:"
        f" {reason.strip()[-2000:]}. Do without them (neither --kernels nor"
        " WEIGHTSPACE_KERNELS=1), or choose another compiler with CXX"
    ) from error


def _compiler():
  """The compiler's command, word by word."""
  value = os.environ.get("CXX", "")
  words = shlex.split(value) or ["c++"]
  words[0] = os.path.expanduser(words[0])
  if shutil.which(words[0]) is None:
    named = f"CXX={value!r} names no program" if value else "there is no 'c++'"
    raise KernelError(
        f"kernels need a C++ compiler, and {named}: install g++ or clang++,"
        " set CXX, or do without kernels (neither --kernels nor"
        " WEIGHTSPACE_KERNELS=1)"
    )
  return words


def _cached(compiler):
  """The path of a library that is whole."""
  name = f"kernels-{_fingerprint(compiler)}.so"
  with contextlib.suppress(OSError, RuntimeError):  # no home, no permission
    value = os.environ.get("WEIGHTSPACE_CACHE")
    value = files.expand_home(value) if value else None
    folder = pathlib.Path(value or pathlib.Path.home() / ".cache/weightspace")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "kernels.lock", "a") as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      reason = _defect(folder / name)
      if reason:
        _build(compiler, folder / name, reason)
    return folder / name
  folder = pathlib.Path(tempfile.mkdtemp())
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  _build(compiler, folder / name, "no cache can be written: set"
         " WEIGHTSPACE_CACHE to a folder that can")  # fmt: skip
  return folder / name


def _fingerprint(compiler):
  """What a library depends on: sources, compiler, processor, interface."""
  digest = hashlib.sha256()
  for path in sorted([*_FOLDER.glob("*.cc"), *_FOLDER.glob("*.h")]):
    digest.update(path.read_bytes())
  version = subprocess.run(
      [*compiler, "--version"], capture_output=True, check=True
  )
  digest.update(version.stdout)
  jaxlib = importlib.metadata.version("jaxlib")
  digest.update(repr((compiler[1:], _FLAGS, jaxlib, _processor())).encode())
  return digest.hexdigest()[:20]


def _processor():
  """What -march=native depends on, as far as the system tells."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return platform.machine(), platform.processor()
  wanted = "vendor_id", "cpu family", "model\t", "flags", "Features"
  return sorted({line for line in lines if line.startswith(wanted)})


def _hash_file(path):
  """Where the hash of a library's bytes is kept."""
  return path.with_suffix(".sha256")


def _hash(path):
  return hashlib.sha256(path.read_bytes()).hexdigest()


def _defect(path):
  """Why a library cannot be loaded from the cache; None where it can."""
  if not path.exists():
    return f"{path.parent} has none for this machine, compiler and version"
  try:
    recorded = _hash_file(path).read_text().strip()
  except FileNotFoundError:
    recorded = ""
  if recorded != _hash(path):
    return f"{path} is damaged"
  return None


def _build(compiler, path, reason):
  """Compiles to `path`, and logs it before and after."""
  _LOG.warning(
      "building the CPU kernels with %s (%s); this happens once and takes a"
      " minute or two", shlex.join(compiler), reason,
  )  # fmt: skip
  start = time.perf_counter()
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    library = pathlib.Path(folder) / path.name
    _compile(compiler, library)
    with open(library, "rb") as file:
      os.fsync(file.fileno())
    hash_file = _hash_file(library)
    hash_file.write_text(_hash(library) + "\n")
    os.replace(library, path)
    # Killed before this, the library counts as damaged and is built again
    os.replace(hash_file, _hash_file(path))
  seconds = time.perf_counter() - start
  _LOG.warning("built %s in %.0f s", path, seconds)


def _compile(compiler, library):
  """Compiles each source by itself, side by side, and links them."""

  def run(*args):
    subprocess.run(
        [*compiler, *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )

  def compile_file(path):
    made = library.parent / f"{path.stem}.o"
    include = f"-I{jax.ffi.include_dir()}"
    run(*_FLAGS, include, "-c", str(path), "-o", str(made))
    return str(made)

  with futures.ThreadPoolExecutor() as pool:
    objects = list(pool.map(compile_file, sorted(_FOLDER.glob("*.cc"))))
  run("-shared", *objects, "-o", str(library))

