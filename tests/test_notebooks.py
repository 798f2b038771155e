"""The notebooks of the documentation run, and their claims hold.

They are scripts and share one folder, as in the documentation's build: the zoo
is trained once.
"""

import pathlib
import re
import runpy
import sys

import pytest

from weightspace import encoders, tasks

pytestmark = pytest.mark.slow

FOLDER = pathlib.Path(__file__).parents[1] / "docs/notebooks"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(autouse=True)
def plug_ins(monkeypatch):
  """The plug-ins of a notebook are removed after it."""
  for package in (tasks, encoders):
    monkeypatch.setattr(package, "__path__", list(package.__path__))
  yield
  for package, name in ((tasks, "echo"), (encoders, "spectra")):
    sys.modules.pop(f"{package.__name__}.{name}", None)
    vars(package).pop(name, None)


def _zoo(printed):
  right = re.findall(r"after \d+ steps, (\d+)% of strings", printed)
  assert int(right[-1]) > int(right[0])


def _network(printed):
  # As its weights were written down: a letter again, or the next one
  assert "after ^: 1.00 0.00 0.00 0.00 0.00 0.00" in printed
  assert "after b: 0.00 0.50 0.50 0.00 0.00 0.00" in printed
  assert "of 6 units, those of its zoo LSTM of 1 layer of 12 units" in printed


def _task(printed):
  assert re.search("families: .*echo, formal_language", printed)
  (right,) = re.findall(r"(\d+) of 30 depend most on", printed)
  assert int(right) > 10  # of 17 symbols; chance gives 2


def _encoder(printed):
  weights, code = re.findall(r"change by up to (\S+)", printed)
  assert float(weights) > 0.1 and float(code) < 1e-4
  loss = dict(re.findall(r"(\w+) +validation loss (\S+)", printed))
  assert float(loss["spectra"]) < float(loss["constant"])


CLAIMS = {
    "look_at_a_zoo": _zoo,
    "your_own_network": _network,
    "your_own_task": _task,
    "your_own_encoder": _encoder,
}


def test_every_notebook_is_tested():
  tested_elsewhere = {"your_networks"}  # in test_torch_notebook
  names = {path.stem for path in FOLDER.glob("*.py")}
  assert names == CLAIMS.keys() | tested_elsewhere


@pytest.mark.parametrize("name", CLAIMS)
def test_notebook(name, workdir, monkeypatch, capsys):
  monkeypatch.setenv("WEIGHTSPACE_NOTEBOOKS", str(workdir))
  runpy.run_path(str(FOLDER / f"{name}.py"))
  printed = capsys.readouterr().out
  assert "nan" not in printed
  assert (workdir / f"{name}.png").stat().st_size > 10_000
  CLAIMS[name](printed)
