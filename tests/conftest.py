"""Settings of all tests: four CPU devices, strict dtypes, quick hypothesis.

Warnings are errors and every test has a time limit: see setup.cfg.
"""

import importlib
import os
import sys

# The tests are about values, not speed, and must be the same everywhere; an
# accelerator is used only where somebody asks for it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of their time is compilation, which takes half as long where LLVM does
# not optimise. With XLA_FLAGS= they run on the code that users get.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import hypothesis
import jax
import pytest

# Before anything touches a device. Four, so that sharding is really tested.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "weightspace",
    deadline=None,  # the first example of each shape pays for a compilation
    max_examples=20,
    derandomize=True,
    database=None,  # derandomized examples need no memory of failed ones
)
hypothesis.settings.load_profile("weightspace")


@pytest.fixture
def plant(monkeypatch, tmp_path):
  """`plant(package, name, text)` adds a plug-in for one test.

  It is loaded as if its file lay in the package: `plant("weightspace.cells",
  "relu", "...")` makes `cells.load("relu")` work.
  """
  planted = []

  def add(package: str, name: str, text: str) -> None:
    folder = tmp_path / "planted" / package
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    module = importlib.import_module(package)
    if str(folder) not in module.__path__:
      path = [*module.__path__, str(folder)]
      monkeypatch.setattr(module, "__path__", path)
    importlib.invalidate_caches()
    planted.append((module, name))

  yield add
  for module, name in planted:
    sys.modules.pop(f"{module.__name__}.{name}", None)
    vars(module).pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory, request):
  """What was compiled before is read from a folder, by other processes too.

  Workers share it, and with JAX_COMPILATION_CACHE_DIR several runs do.
  """
  folder = tmp_path_factory.getbasetemp()
  if hasattr(request.config, "workerinput"):
    folder = folder.parent
  folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", folder / "compilations")
  values = {
      "jax_compilation_cache_dir": str(folder),
      "jax_persistent_cache_min_compile_time_secs": 0.1,
      "jax_persistent_cache_min_entry_size_bytes": -1,
  }
  with pytest.MonkeyPatch.context() as patch:
    for name, value in values.items():
      patch.setenv(name.upper(), str(value))
      jax.config.update(name, value)
    yield


@pytest.fixture(scope="module", autouse=True)
def programs_forgotten():
  """Compiled programs are freed once a file's tests are done.

  On CPU each takes some memory mappings, of which Linux allows a process 65,530
  by default: beyond them XLA ends in a segmentation fault.
  """
  yield
  jax.clear_caches()


@pytest.fixture(scope="session")
def torch():
  """The module; tests that need it are skipped where it is not installed."""
  return pytest.importorskip("torch")


@pytest.hookimpl(tryfirst=True)  # so that -m torch selects them
def pytest_collection_modifyitems(items):
  for item in items:
    if "torch" in item.fixturenames:
      item.add_marker("torch")


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory):
  """The folder of a tiny real zoo; nobody may change it."""
  from tests import tiny_zoo

  return tiny_zoo.generate(tmp_path_factory.mktemp("tiny") / "zoo")
