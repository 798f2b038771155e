"""Comparing encoders: which runs there are, and the table of them."""

import json
import pathlib

import pytest

from experiments import comparison, results
from weightspace import zoo
from weightspace.training.progress import Progress

FEW = (
    "emulation.steps=2",
    "emulation.batch=8",
    "encoder.code=3",
    "emulator.cell=gru",
)


@pytest.fixture(scope="module")
def source(tiny_zoo):
  return zoo.open(tiny_zoo)


def plan(source, encoders=("constant",), seeds=("0",), **kwargs):
  return comparison.plan(source, encoders, seeds, size="tiny", **kwargs)


def test_a_run_for_each_encoder_and_seed(source):
  planned = plan(
      source, ("flat", "interactive"), ("0", "7"), changes=FEW, label="few"
  )
  assert list(planned) == [
      "flat-few-0", "flat-few-7", "interactive-few-0", "interactive-few-7",
  ]  # fmt: skip
  config = planned["interactive-few-7"]
  assert config["encoder"]["name"] == "interactive"
  assert config["emulation"]["seed"] == 7
  assert config["emulation"]["steps"] == 2
  assert config["emulator"]["cell"] == "gru"


def test_what_is_finished_is_not_run_again(source, tmp_path):
  def run(seeds):
    comparison.train(
        source,
        tmp_path,
        plan(source, seeds=seeds, changes=FEW, label="few"),
        progress=Progress.silent(),
    )
    return comparison.gather(tmp_path)

  (first,) = run("0")
  assert first["run"] == "constant-few-0"
  assert first["commit"] == results.commit()
  file = tmp_path / first["run"] / comparison.RUN
  before = file.stat()
  both = run("01")
  assert file.stat() == before
  assert both[0] == first
  assert first["ood"]["total_variation"] != both[1]["ood"]["total_variation"]
  comparison.write(tmp_path, both)
  text = (tmp_path / comparison.ALL).read_text()
  assert json.loads(text)["runs"] == both


def _run(name, loss):
  each = {"total_variation": loss, "reverse_kl": 10 + loss}
  return {"run": name, "validation": each, "ood": each, "seconds": 90}


def test_the_table_has_means_and_extremes_and_the_best_last():
  table = comparison.table([
      _run("a-0", 0.1), _run("a-1", 0.3), _run("b-x-0", 0.4), _run("b-0", 0.05),
  ]).splitlines()  # fmt: skip
  names = [line.split("|")[1].strip() for line in table]
  assert names == ["encoder", "---", "b-x", "a", "b"]
  assert ".2000 (.1000 to .3000)" in table[3]
  assert "10.2000 (10.1000 to 10.3000)" in table[3]
  assert table[4].endswith("| 1 | .0500 | 10.0500 | .0500 | 10.0500 | 1.5 |")


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"seeds": ("x",)}, "'x' is not a whole number"),
        ({"encoders": ("flut",)}, "did you mean 'flat'"),
        ({"changes": ("encoder.code=3",)}, "--set and --label go together"),
        ({"label": "x"}, "--set and --label go together"),
        ({"changes": ("encoder.c=3",), "label": "x"}, "not PART.FIELD=VALUE"),
        ({"changes": ("code",), "label": "x"}, "not PART.FIELD=VALUE"),
    ],
)
def test_what_cannot_be_is_refused(source, kwargs, message):
  with pytest.raises(ValueError, match=message):
    plan(source, **kwargs)


def test_the_table_in_the_readme_is_that_of_the_results():
  root = pathlib.Path(__file__).parents[1]
  file = "results/small/emulation.json"
  runs = json.loads((root / file).read_text())["runs"]
  readme = (root / "README.md").read_text()
  shown = readme.split(f"<!-- {file} -->")[1].split("<!-- end -->")[0]
  assert shown.strip() == comparison.table(runs)


def test_a_folder_without_runs_is_refused(tmp_path):
  with pytest.raises(ValueError, match="no finished run"):
    comparison.gather(tmp_path)
