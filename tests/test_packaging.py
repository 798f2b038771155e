"""What is imported is declared, and what is declared has a known version."""

import ast
import configparser
import importlib.metadata
import pathlib
import re
import sys

from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parent.parent
OURS = ("weightspace", "zoo_gen", "experiments")
# Where the module is not called like what is installed.
DISTRIBUTION = {
    "absl": "absl-py",
    "orbax": "orbax-checkpoint",
    "sklearn": "scikit-learn",
}


def _normal(name: str) -> str:
  return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> dict[str, list[Requirement]]:
  """Requirements by extra; those of the library itself under ""."""
  config = configparser.ConfigParser()
  config.read(ROOT / "setup.cfg")
  groups = {"": config["options"]["install_requires"]}
  groups |= config["options.extras_require"]
  return {
      group: [Requirement(line) for line in lines.split("\n") if line]
      for group, lines in groups.items()
  }


def _imports(path: pathlib.Path) -> set[str]:
  """Top-level names of what a file imports from elsewhere."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
      names.add(node.module)
  top = {name.split(".")[0] for name in names}
  return top - set(sys.stdlib_module_names) - {*OURS, "tests"}


def test_what_is_imported_is_declared():
  groups = _declared()
  library = {_normal(r.name) for group in groups.values() for r in group}
  for package in OURS:
    for path in (ROOT / package).rglob("*.py"):
      actual = {_normal(DISTRIBUTION.get(n, n)) for n in _imports(path)}
      assert actual <= library, path


def test_bounds_are_lower_bounds():
  for group in _declared().values():
    for requirement in group:
      operators = {specifier.operator for specifier in requirement.specifier}
      assert operators == {">="}, requirement


def test_torch_is_part_of_nothing_else():
  groups = _declared()
  assert [r.name for r in groups.pop("torch")] == ["torch"]
  for group in groups.values():
    assert "torch" not in {requirement.name for requirement in group}


def test_constraints_fit_the_bounds():
  lines = (ROOT / "constraints.txt").read_text().splitlines()
  constraints = [Requirement(li) for li in lines if li and li[0] != "#"]
  for python in ("3.11", "3.12"):
    known = {
        _normal(c.name): next(iter(c.specifier)).version
        for c in constraints
        if not c.marker or c.marker.evaluate({"python_version": python})
    }
    assert "torch" not in known
    for extra in ("", "report", "test"):
      for requirement in _declared()[extra]:
        version = known[_normal(requirement.name)]
        assert version in requirement.specifier, requirement


def test_files_that_are_not_python_are_packaged():
  config = configparser.ConfigParser()
  config.read(ROOT / "setup.cfg")
  patterns = [
      pattern if package == "*" else f"{package.replace('.', '/')}/{pattern}"
      for package, actual in config["options.package_data"].items()
      for pattern in actual.split(", ")
  ]
  for package in OURS:
    for path in (ROOT / package).rglob("*.*"):
      if path.suffix not in (".py", ".pyc"):
        assert any(path.match(pattern) for pattern in patterns), path


def test_licence_is_in_the_metadata():
  assert "Apache License" in (ROOT / "LICENSE").read_text()
  assert "2026 The weightspace authors" in (ROOT / "LICENSE").read_text()
  try:
    metadata = importlib.metadata.metadata("weightspace")
  except importlib.metadata.PackageNotFoundError:
    return  # run from the tree, without installing it
  assert "Apache-2.0" in (
      metadata.get("License-Expression", ""),
      metadata.get("License", ""),
  )
