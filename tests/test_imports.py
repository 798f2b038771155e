"""Who may import whom, and what importing must not do."""

import ast
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PLUGIN_PACKAGES = ("cells", "tasks", "encoders", "properties")
MODULES = sorted((ROOT / "weightspace").rglob("*.py"))


def _run(*command, cwd=ROOT):
  # The tree under test comes first, also where another one is installed.
  env = os.environ | {"PYTHONPATH": str(cwd)}
  return subprocess.run(
      [sys.executable, *command],
      cwd=cwd,
      env=env,
      capture_output=True,
      text=True,
      check=False,
  )


def _lint_imports(cwd):
  program = "from importlinter.cli import lint_imports_command as f; f()"
  return _run("-c", program, "--no-cache", "--config=setup.cfg", cwd=cwd)


def _copy_of_the_tree(folder):
  shutil.copy(ROOT / "setup.cfg", folder)
  for package in ("weightspace", "zoo_gen", "experiments"):
    shutil.copytree(
        ROOT / package,
        folder / package,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
  return folder


def test_imports_point_down():
  result = _lint_imports(ROOT)
  assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "path, line, broken",
    [
        (
            "weightspace/rnn.py",
            "from weightspace import symmetry",
            "weightspace.rnn is not allowed to import weightspace.symmetry",
        ),
        (
            "weightspace/encoders/planted.py",
            "import weightspace.tasks",
            "weightspace.encoders is not allowed to import weightspace.tasks",
        ),
        (
            "weightspace/theory/families.py",
            "from weightspace.tasks import secret_path",
            "weightspace.theory is not allowed to import weightspace.tasks",
        ),
        (
            "weightspace/plugins.py",
            "from weightspace import launch",
            "weightspace.plugins -> weightspace.launch",
        ),
        (
            "weightspace/tasks/_idx.py",
            "def load():\n  from weightspace.tasks import _digits",
            "_idx -> ._digits",
        ),
        (
            "weightspace/keys.py",
            "import zoo_gen",
            "weightspace.keys is not allowed to import zoo_gen",
        ),
    ],
)
def test_a_wrong_import_is_noticed(tmp_path, path, line, broken):
  tree = _copy_of_the_tree(tmp_path)
  with (tree / path).open("a") as file:
    file.write(f"\n{line}\n")
  result = _lint_imports(tree)
  assert result.returncode == 1, result.stdout + result.stderr
  assert broken in " ".join(result.stdout.split())


def imported(code: str, module: str) -> set[str]:
  """Dotted names that a module's code imports, at any depth."""
  names = set()
  for node in ast.walk(ast.parse(code)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      base = module.split(".")[: -node.level] if node.level else []
      base = ".".join([*base, *filter(None, [node.module])])
      names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
  return names


def siblings_imported(code: str, package: str, name: str, plugins) -> set:
  """The other plug-ins of its package that the plug-in `name` imports."""
  names = imported(code, f"{package}.{name}")
  others = {f"{package}.{other}" for other in plugins if other != name}
  return {o for o in others for f in names if f == o or f.startswith(f"{o}.")}


@pytest.mark.parametrize("package", PLUGIN_PACKAGES)
def test_plugins_import_no_sibling(package):
  files = {
      path.stem: path
      for path in (ROOT / "weightspace" / package).glob("*.py")
      if not path.stem.startswith("_")
  }
  for name, path in files.items():
    code = path.read_text()
    assert not siblings_imported(
        code, f"weightspace.{package}", name, files
    ), path


@pytest.mark.parametrize(
    "line",
    [
        "from weightspace.cells import lstm",
        "from weightspace.cells.lstm import CELL",
        "import weightspace.cells.lstm as base",
        "from . import lstm",
        "from .lstm import CELL",
        "def f():\n  from weightspace.cells.lstm import CELL",
    ],
)
def test_an_imported_sibling_is_noticed(line):
  known = ("lstm", "gru", "peephole")
  package = "weightspace.cells"
  siblings = siblings_imported(line, package, "peephole", known)
  assert siblings == {"weightspace.cells.lstm"}
  assert not siblings_imported(
      "from weightspace.cells import Cell, _private\nimport numpy",
      package,
      "peephole",
      known,
  )


def _at_import(tree):
  """Nodes that run when a module is imported: those in no function."""
  for node in ast.iter_child_nodes(tree):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
      continue
    yield node
    yield from _at_import(node)


def _called(node):
  return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def offences(code: str) -> list[str]:
  """Prints and flags anywhere, changes of global state at import."""
  tree, problems = ast.parse(code), []
  for node in ast.walk(tree):
    if _called(node) in ("print", "rich.print"):
      problems.append(f"line {node.lineno} prints")
  names = imported(code, "weightspace.x")
  if names & {"absl.flags", "absl.app", "argparse"}:
    problems.append("has flags")
  for node in _at_import(tree):
    if _called(node).endswith("config.update"):
      problems.append(f"line {node.lineno} configures JAX at import")
    if "os.environ" in ast.unparse(node) and isinstance(
        node, (ast.Assign, ast.Expr, ast.Delete)
    ):
      problems.append(f"line {node.lineno} changes the environment at import")
  return problems


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.name != "launch.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_library_has_no_flags_no_prints_no_global_settings(path):
  assert not offences(path.read_text())


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n  print('hello')",
        "from absl import flags",
        "import absl.flags",
        "import jax\njax.config.update('jax_enable_x64', True)",
        "from jax import config\nif True:\n  config.update('x', 1)",
        "import os\nos.environ['XLA_FLAGS'] = ''",
        "import os\nos.environ.setdefault('XLA_FLAGS', '')",
    ],
)
def test_an_offence_is_noticed(code):
  assert len(offences(code)) == 1


def test_what_launchers_call_is_no_offence():
  assert not offences(
      "import jax\ndef f():\n  jax.config.update('jax_num_cpu_devices', 2)"
  )


def test_import_of_the_package_is_light():
  program = "import sys, weightspace; print(*sys.modules)"
  result = _run("-W", "error", "-c", program)
  assert result.returncode == 0, result.stderr
  modules = set(result.stdout.split())
  assert "weightspace" in modules
  assert not modules & {"jax", "numpy", "flax", "optax", "orbax", "rich"}


def test_import_of_every_module_takes_no_device_and_nothing_heavy():
  program = """
import importlib, pkgutil, sys
import weightspace
for module in pkgutil.walk_packages(weightspace.__path__, "weightspace."):
  importlib.import_module(module.name)
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "a device was taken"
print(*sys.modules)
"""
  result = _run("-W", "error", "-c", program)
  assert result.returncode == 0, result.stderr
  modules = set(result.stdout.split())
  assert "weightspace.rnn" in modules
  assert not modules & {
      "array_record",
      "matplotlib",
      "mlxtend",
      "sklearn",
      "tensorflow",
      "tensorflow_datasets",
      "torch",
  }
