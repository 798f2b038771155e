"""Builds the kernels and keeps them, one library for each kind of machine."""

import atexit
import ctypes
import fcntl
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
from concurrent import futures

import jax
from absl import logging

_FOLDER = pathlib.Path(__file__).parent
_FLAGS = "-std=c++20", "-O3", "-march=native", "-fPIC", "-pthread", "-w"


def load() -> ctypes.CDLL | None:
  """The library; None, with a word in the log, where it can't be built."""
  if os.environ.get("WEIGHTSPACE_KERNELS", "1") == "0":
    return None
  compiler = shutil.which(os.environ.get("CXX", "c++"))
  if compiler is None:
    logging.info(
        "no C++ compiler: layers and products are computed by XLA on CPU, which"
        " takes about twice as long; install g++ or clang++, or set CXX"
    )
    return None
  try:
    library = ctypes.CDLL(str(_built(compiler)))
    library.MostHalves.restype = ctypes.c_int64
    library.TimesHelped.restype = ctypes.c_int64
    return library
  except (OSError, subprocess.SubprocessError) as error:
    why = getattr(error, "stderr", None) or str(error)
    logging.warning(
        "layers and products are computed by XLA on CPU, which takes up to"
        " twice as long: %s failed to build %s: %s",
        compiler,
        _FOLDER,
        why.strip()[-2000:],
    )
    return None


def _built(compiler):
  """The path of the library, built if no process has done so before."""
  name = f"kernels-{_fingerprint(compiler)}.so"
  cache = os.environ.get("WEIGHTSPACE_CACHE")
  folder = pathlib.Path(cache or pathlib.Path.home() / ".cache/weightspace")
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "kernels.lock", "a") as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not (folder / name).exists():
        _compile(compiler, folder / name)
  except OSError:  # nothing can be kept here: for this process alone
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _compile(compiler, folder / name)
  return folder / name


def _fingerprint(compiler):
  """What a library depends on: sources, compiler, processor, interface."""
  digest = hashlib.sha256()
  for path in sorted(_FOLDER.glob("*.[ch]*")):
    digest.update(path.read_bytes())
  version = subprocess.run(
      [compiler, "--version"], capture_output=True, check=True
  )
  digest.update(version.stdout)
  others = _FLAGS, importlib.metadata.version("jaxlib"), _processor()
  digest.update(repr(others).encode())
  return digest.hexdigest()[:20]


def _processor():
  """What -march=native looks at, as far as it can be told from here."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return platform.machine(), platform.processor()
  wanted = "vendor_id", "cpu family", "model\t", "flags", "Features"
  return sorted({line for line in lines if line.startswith(wanted)})


def _compile(compiler, path):
  """Each source by itself, as many at a time as there are cores."""

  def run(*args):
    subprocess.run(
        [compiler, *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    folder = pathlib.Path(folder)

    def compiled(source):
      made = folder / f"{source.stem}.o"
      include = f"-I{jax.ffi.include_dir()}"
      run(*_FLAGS, include, "-c", str(source), "-o", str(made))
      return str(made)

    with futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
      objects = list(pool.map(compiled, sorted(_FOLDER.glob("*.cc"))))
    library = folder / path.name
    run("-shared", "-pthread", *objects, "-o", str(library))
    os.replace(library, path)
