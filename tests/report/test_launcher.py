"""The launcher writes the page, or says in one line why it cannot."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.report import example

ROOT = pathlib.Path(__file__).parents[2]


def _report(*flags):
  return subprocess.run(
      [sys.executable, "-m", "experiments.report", *flags],
      capture_output=True,
      text=True,
      check=False,
      cwd=ROOT,
  )


def test_it_prints_where_the_page_is(tmp_path):
  made = example.make(rows=4, seeds=1, encoders=("dws", "interactive"))
  results = {"emulation": made["emulation"]}
  (tmp_path / "results.json").write_text(json.dumps(results))
  done = _report(f"--workdir={tmp_path}")
  page = tmp_path / "report" / "index.html"
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == str(page)
  assert page.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "content, message",
    [
        (None, "does not exist: run python -m experiments.quickstart"),
        (b"\xff\xfe", "it is not JSON"),
    ],
)
def test_an_error_is_one_line_that_names_the_file(tmp_path, content, message):
  path = tmp_path / "results.json"
  if content is not None:
    path.write_bytes(content)
  done = _report(f"--workdir={tmp_path}")
  assert done.returncode == 1
  assert str(path) in done.stderr
  assert message in done.stderr
  assert done.stderr.count("\n") == 1
  assert not (tmp_path / "report").exists()


def test_interrogations_are_checked(tmp_path):
  made = example.make(rows=4, seeds=1, encoders=("dws", "interactive"))
  (tmp_path / "results.json").write_text(json.dumps({"zoos": made["zoos"]}))
  (tmp_path / "interrogations.json").write_text('{"tiled_mnist": {}, "x": 1}')
  again = _report(f"--workdir={tmp_path}", f"--out={tmp_path / 'again'}")
  assert again.returncode == 1 and again.stderr.count("\n") == 1
  assert "interrogations are damaged" in again.stderr
