"""The whole study, small: all its parts, what it reads when, and resuming."""

import json
import shutil

import pytest

from experiments.configs import reproduce
from experiments.study import gathering, pipeline
from experiments.study import study as study_lib
from tests.study import example
from weightspace.progress import Progress
from weightspace.report import frame

FAMILY = example.FAMILY
# The study that they share takes long
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def zoo_path(tmp_path_factory):
  return example.make_zoo(tmp_path_factory.mktemp("zoo") / "zoo")


def run(folder, zoo_path, stages=("*",), config=None):
  return pipeline.run(
      config or example.config(),
      folder,
      zoos={FAMILY: zoo_path},
      stages=stages,
      workers=0,
      command="python -m experiments.reproduce",
      progress=Progress.silent(),
  )


@pytest.fixture(scope="module")
def study(tmp_path_factory, zoo_path):
  """The results of all stages and their folder."""
  folder = tmp_path_factory.mktemp("study") / "run"
  return run(folder, zoo_path), folder


def cells(value):
  """All entries of tables that lie in results."""
  if isinstance(value, dict):
    if {"value", "low", "high"} <= set(value):
      yield value
      return
    value = list(value.values())
  if isinstance(value, list):
    for item in value:
      yield from cells(item)


def test_every_part_is_there_and_every_number_knows_its_runs(study):
  results, _ = study
  parts = {
      "search", "emulation", "prediction", "clones", "codes", "variants",
      "labels", "invariance", "neighbours", "transcripts",
  }  # fmt: skip
  assert parts <= set(results)
  every = list(cells(results))
  named = [cell for cell in every if cell["runs"]]
  assert len(named) > 80
  for cell in named:
    assert set(cell["runs"]) <= set(results["runs"])
  for record in results["runs"].values():
    assert {"commit", "config", "seed", "seconds", "encoder"} <= set(record)


def test_every_encoder_had_the_same_trials(study):
  results, _ = study
  once = [{"learning_rate": 1e-3, "warmup": 0.5}]
  twice = [{"learning_rate": rate, "layers": 0} for rate in (3e-3, 1e-2)]
  trials = {
      "emulation": once, "supervised": once,
      "head on task": twice, "head on accuracy": twice,
  }  # fmt: skip
  assert set(results["search"]) == set(trials)
  for kind, expected in trials.items():
    for one in results["search"][kind][FAMILY]["encoders"].values():
      assert [t["setting"] for t in one["trials"]] == expected
      best = min(one["trials"], key=lambda t: t["validation"])
      assert one["chosen"] == best["setting"]


def test_held_out_tasks_are_tested_after_all_else_is_chosen(study):
  _, folder = study
  lines = [
      json.loads(line)
      for line in (folder / study_lib.LEDGER).read_text().splitlines()
  ]
  tests = [i for i, line in enumerate(lines) if line["why"].startswith("test ")]
  assert len(tests) == len(example.config()["encoders"]) + 2
  for line in lines[: tests[0]]:
    test_data = "labels" in line["what"] or "rollouts" in line["what"]
    if line["split"].startswith("ood") and test_data:
      assert "half" in line["split"] or "labelled" in line["split"]
  for line in lines[tests[-1] + 1 :]:
    assert line["why"].startswith("codes ")


def test_what_is_done_is_not_done_again(study, zoo_path):
  results, folder = study
  before = {p: p.stat() for p in folder.rglob("part.json")}
  ledger = (folder / study_lib.LEDGER).read_bytes()
  assert run(folder, zoo_path) == results
  assert {p: p.stat() for p in folder.rglob("part.json")} == before
  assert (folder / study_lib.LEDGER).read_bytes() == ledger


def test_a_study_in_parts_is_the_study_in_one(study, zoo_path, tmp_path):
  """A job that was lost is done again, with what others left."""
  results, folder = study
  copy = shutil.copytree(folder, tmp_path / "copy")
  shutil.rmtree(copy / "heads" / FAMILY / "constant")
  again = run(copy, zoo_path, ("heads/*",))
  assert again["prediction"] == results["prediction"]


def test_another_config_is_refused_before_anything_is_lost(
    study, zoo_path, tmp_path
):
  _, folder = study
  copy = shutil.copytree(folder, tmp_path / "copy")
  config = example.config()
  config["heads"]["fields"]["steps"] += 1
  with pytest.raises(ValueError, match=r"heads/.* another config \(heads\)"):
    run(copy, zoo_path, ("heads/*",), config)
  run(copy, zoo_path, ("emulation/*",), config)


def test_the_test_comes_last(zoo_path, tmp_path):
  with pytest.raises(ValueError, match="first run search/formal_language"):
    run(tmp_path / "new", zoo_path, ("test/*",))
  with pytest.raises(ValueError, match="stage 'search' comes first"):
    run(tmp_path / "new", zoo_path, ("emulation/*",))
  with pytest.raises(ValueError, match="--stages=tset/"):
    run(tmp_path / "new", zoo_path, ("tset/*",))


def test_no_zoo_is_made_where_another_cannot_be(tmp_path):
  config = example.config()
  config["zoos"] = {
      family: reproduce.get_config("smoke").to_dict()["zoos"][family]
      for family in ("formal_language", "tiled_mnist")
  }
  config["zoos"]["tiled_mnist"]["task"]["digits"] = f"idx:{tmp_path}/none"
  with pytest.raises((OSError, ValueError), match="none"):
    pipeline.run(
        config, tmp_path / "new", zoos={}, stages=("zoos/*",), workers=0,
        command="", progress=Progress.silent(),
    )  # fmt: skip
  assert not (tmp_path / "new").exists()


def test_too_few_networks_are_refused_at_once(zoo_path, tmp_path):
  config = example.config()
  config["few_labels"]["networks"] = (50,)
  with pytest.raises(ValueError, match=r"too few for counts=\(50,\)"):
    run(tmp_path / "new", zoo_path, ("zoos/*",), config)


def test_final_snapshots_are_measured_apart(study):
  """A property is reported of each step, the last one included."""
  results, _ = study
  last = str(results["zoos"][FAMILY]["steps"][-1])
  for way in results["prediction"][FAMILY].values():
    for properties in way.values() if "encoder" not in way else ():
      for protocols in properties.values():
        for report in protocols.values():
          assert report["by_step"][last]["test"].keys() == report["test"].keys()


def test_gains_are_shares_of_the_baselines_loss(study):
  results, _ = study
  encoders = results["emulation"][FAMILY]["encoders"]
  divergence = results["emulation"][FAMILY]["divergence"]
  for part in ("validation", "ood"):
    own, baseline = (
        encoders[name][part][divergence]["value"]
        for name in ("watching", "constant")
    )
    gain = encoders["watching"]["gain"][part]
    assert gain["value"] == pytest.approx(1 - own / baseline, abs=1e-6)
    assert gain["low"] <= gain["value"] <= gain["high"]
  assert "gain" not in encoders["constant"]


def test_the_kept_numbers_are_all_numbers(study):
  results, _ = study
  kept = gathering.numbers(results)
  points = "original"  # of a scatter plot
  assert points in json.dumps(results) and points not in json.dumps(kept)
  assert "codes" not in kept
  assert frame.tidy(kept).equals(frame.tidy(results))
