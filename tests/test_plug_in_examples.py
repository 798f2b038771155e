"""The examples of docs/plug-ins.md satisfy the contracts of their kind."""

import importlib
import pathlib
import re
import sys

import pytest

from weightspace import cells, encoders, properties, tasks, testing

PAGE = pathlib.Path(__file__).parents[1] / "docs/plug-ins.md"
EXAMPLES = dict(
    re.findall(
        r"```python\n# (weightspace/\w+/\w+\.py)\n(.*?)```",
        PAGE.read_text(),
        re.DOTALL,
    )
)


@pytest.fixture(autouse=True)
def plug_ins(tmp_path, monkeypatch):
  """The examples, each as a file in its package."""
  for path, text in EXAMPLES.items():
    _, package, file = path.split("/")
    (tmp_path / package).mkdir(exist_ok=True)
    (tmp_path / package / file).write_text(text)
    module = importlib.import_module(f"weightspace.{package}")
    folder = str(tmp_path / package)
    monkeypatch.setattr(module, "__path__", [*module.__path__, folder])
    name = f"weightspace.{package}.{file.removesuffix('.py')}"
    monkeypatch.delitem(sys.modules, name, raising=False)
  yield
  for path in EXAMPLES:
    sys.modules.pop(path.removesuffix(".py").replace("/", "."), None)


def test_every_kind_has_an_example():
  kinds = {path.split("/")[1] for path in EXAMPLES}
  assert kinds == {"cells", "encoders", "properties", "tasks"}


@pytest.mark.parametrize("check", testing.cells.CHECKS)
def test_cell(check):
  check(cells.load("mgu"))


@pytest.mark.parametrize("check", testing.tasks.CHECKS)
def test_task_family(check):
  check(tasks.make("counting", {"length": 8, "eval_strings": 8}))


@pytest.mark.parametrize("check", testing.encoders.CHECKS)
def test_encoder(check):
  rnn = testing.encoders.rnn_of("lstm")
  encoder = encoders.make("norms", {"code": 5}, rnn, encoders.Inputs("token"))
  check(testing.encoders.Case(encoder))


@pytest.mark.parametrize("check", testing.properties.CHECKS)
def test_property(check):
  check(testing.properties.Case(properties.load("log_step")))
