"""The notebook on networks of torch runs, and its claims hold."""

import re
import runpy

import pytest

from tests.test_notebooks import FOLDER

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.mark.slow
def test_codes_of_networks_of_torch_tell_their_delay(
    tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv("WEIGHTSPACE_NOTEBOOKS", str(tmp_path))
  runpy.run_path(str(FOLDER / "your_networks.py"))
  printed = capsys.readouterr().out
  (r2,) = re.findall(r"R2 of the delay, .*: (\S+)", printed)
  assert float(r2) > 0.8
  assert (tmp_path / "your_networks.png").stat().st_size > 10_000
