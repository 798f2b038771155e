"""The examples of docs/plug-ins.md are a package that keeps all contracts."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from weightspace import testing

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = dict(
    re.findall(
        r"```python\n# ([\w/]+\.py)\n(.*?)```",
        (ROOT / "docs/plug-ins.md").read_text(),
        re.DOTALL,
    )
)


@pytest.fixture
def package(tmp_path):
  """A folder with the examples as my_package, and their tests."""
  (tmp_path / "my_package").mkdir()
  (tmp_path / "tests").mkdir()
  (tmp_path / "my_package/__init__.py").touch()
  for path, text in EXAMPLES.items():
    folder, *_, file = path.split("/")
    where = "tests" if folder == "tests" else "my_package"
    (tmp_path / where / file).write_text(text)
  return tmp_path


def run(folder, *flags):
  paths = os.pathsep.join(map(str, (folder, ROOT)))
  return subprocess.run(
      [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags],
      cwd=folder,
      env=os.environ | {"PYTHONPATH": paths},
      capture_output=True,
      text=True,
      check=False,
  )


def test_every_kind_has_an_example():
  kinds = {
      path.split("/")[-2] for path in EXAMPLES if path.startswith("weightspace")
  }
  assert kinds == set(testing.KINDS)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_package_of_ones_own_runs_the_contracts(package):
  done = run(package)
  assert done.returncode == 0, done.stdout
  kinds = (
      testing.cells, testing.tasks, *[testing.encoders] * 2,  # kinds of inputs
      *[testing.properties] * 2, testing.objectives,
  )  # fmt: skip
  checks = sum(len(kind.CHECKS) for kind in kinds)
  assert f"{checks} passed" in done.stdout


@pytest.mark.slow
def test_a_failure_states_the_rule(package):
  file = package / "my_package/log_step.py"
  text = file.read_text()
  assert 'columns["step"]' in text
  file.write_text(text.replace('columns["step"]', '{0: columns["step"]}[1]'))
  done = run(package, "-k", "log_step and target")
  assert "1 failed" in done.stdout
  assert "KeyError: 1" in done.stdout
  assert "The target of a row depends on that row only" in done.stdout
