"""The theory's experiment: its results and its page."""

import json

import numpy as np
import pytest

from experiments.configs import theory as configs
from experiments.theory import learning, page, queries, run
from experiments.theory.config import ARMS, Config
from tests.report.test_page import Reader
from weightspace.progress import Progress
from weightspace.theory import families

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
  folder = tmp_path_factory.mktemp("theory")
  config = configs.get_config("tiny").to_dict()
  # Each arm is compiled once
  config["learning"] |= {
      "arms": ("interactive, echoing",), "unseen": ("non-interactive",),
      "cell": "elman", "tune_steps": 3,
  }  # fmt: skip
  return (*run.run(folder, config, Progress.silent()), folder)


@pytest.mark.slow
def test_what_was_solved(ran):
  results, _, _ = ran
  for name, solved in results["exact"]["families"].items():
    assert len(solved) > 2, name
    for one in solved:
      for kind, cost in one["closed_form"].items():
        assert one[kind] == cost
  (every,) = results["exact"]["every"]
  assert sum(cost["families"] for cost in every["costs"]) == 12
  assert max(cost["noninteractive"] for cost in every["costs"]) == 2


@pytest.mark.slow
def test_what_was_built(ran):
  results, _, _ = ran
  assert {row["cell"] for row in results["built"]} == set(queries.CELLS)
  for row in results["built"]:
    assert row["wrong"] == 0
    assert row["echoed"] == row["networks"] == 2 ** row["depth"]
    bits = row["bits"]
    closed = 2 - 2 ** (1 - row["depth"])
    assert bits["least"] == bits["most"] == bits["closed_form"] == closed


def test_a_wrong_network_would_be_counted(monkeypatch):
  build = queries.networks.build
  monkeypatch.setattr(
      queries.networks, "build", lambda rnn, word: build(rnn, 1 - word)
  )
  monkeypatch.setattr(queries, "CELLS", ("elman",))
  (row,) = queries.built((2,))
  assert row["wrong"] > 0
  assert row["echoed"] == 0


@pytest.mark.slow
def test_what_was_learned(ran):
  """The first bit is read; no encoder can know more than there is."""
  results, _, _ = ran
  learned = results["learning"]
  (echoing,), (fixed,) = learned["arms"], learned["unseen"]
  for arm in (echoing, fixed):
    assert len(arm["accuracy"]["seeds"]) == 2
    assert arm["bits"]["value"] <= 2
    assert (arm["parallel"], arm["queries"]) == (2, 4)
  assert echoing["bits"]["value"] > 0.8
  assert echoing["accuracy"]["value"] > 0.3
  assert fixed["predicted"] == {"bits": 2, "accuracy": 1}
  assert fixed["arm"] == "non-interactive"


@pytest.mark.slow
def test_tuned_networks_still_compute_their_functions(ran):
  accuracy = ran[0]["learning"]["networks"]["2"]["accuracy"]
  assert list(accuracy) == ["built", "disturbed", "tuned", "moved"]
  assert min(accuracy.values()) > 0.95
  assert accuracy["moved"] == pytest.approx(accuracy["tuned"])


def test_the_arms():
  config = Config(budget=24)
  one = ARMS["non-interactive, one string"]
  assert one.parallel(config, 6) == 1
  assert ARMS["non-interactive"].parallel(config, 6) == 4
  assert set(config.arms) == set(ARMS)
  with pytest.raises(ValueError, match="'talkative'"):
    Config(arms=("talkative",))


def test_functions_held_out_are_of_no_training_network():
  config = Config(seed=3)
  words = np.random.default_rng(0).integers(0, 2, (200, 4))
  train, test = learning._unseen_functions(config, words)
  assert sorted([*train, *test]) == list(range(200))
  assert len(np.unique(words[test], axis=0)) == 2
  assert not {*map(tuple, words[train])} & {*map(tuple, words[test])}


@pytest.mark.slow
def test_the_page_is_whole(ran):
  results, _, folder = ran
  written = json.loads((folder / "results.json").read_text())
  assert written["exact"] == json.loads(json.dumps(results["exact"]))
  learned = results["learning"]
  arms = [*learned["arms"], *learned["unseen"]]  # to be compared
  index = page.write(
      results | {"learning": learned | {"arms": arms}}, folder / "compared"
  )
  assert "identified by trained encoders" in index.read_text()
  reader = Reader(index.read_text())
  assert all(url.startswith(("data:", "#")) for url in reader.loaded)
  pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
  assert len(pictures) == 3
  for name in ("every-family", "networks", "learning", "unseen"):
    assert (index.parent / "tables" / f"{name}.csv").exists()


@pytest.mark.slow
def test_a_family_of_ones_own(tmp_path):
  file = tmp_path / "family.csv"
  file.write_text(",barks,legs\ndog,yes,4\ncat,no,4\nbird,no,2\n")
  lines = queries.solve(file).splitlines()
  assert lines[:3] == ["3 functions", "interactive: 2 queries", "  ask barks"]
  assert lines[-2:] == ["non-interactive: 2 queries", "  barks, legs"]


def test_closed_forms_are_not_taken_from_the_solver(monkeypatch):
  monkeypatch.setattr(
      families, "points_cost", lambda n: families.Cost(n, n)
  )
  (first, *_) = queries.exact(0.0001, ())["families"]["points"]
  assert first["closed_form"] != {
      k: first[k] for k in ("interactive", "noninteractive")
  }
