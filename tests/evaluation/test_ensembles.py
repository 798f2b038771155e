"""Heads agree where codes tell, and say so where they do not."""

import dataclasses
import types

import numpy as np
import pytest

from tests.evaluation import test_prediction as example
from weightspace import properties
from weightspace.evaluation import ensembles
from weightspace.progress import Progress

pytestmark = pytest.mark.slow

MEMBERS = 2
CONFIG = dataclasses.replace(example.CONFIG, steps=100, resamples=10)


def train(codes, data):
  return ensembles.train(
      codes, data, example.rows_of(data["task"]), example.SCOPE,
      CONFIG, members=MEMBERS, progress=Progress.silent(),
  )  # fmt: skip


@pytest.fixture(scope="module")
def trained():
  generator = np.random.default_rng(0)
  data = example.columns(generator)
  informative = np.concatenate(
      [data["task"] / 2, data["accuracy"][:, None] - 0.5], axis=1
  ).astype(np.float32)
  noise = generator.standard_normal(informative.shape).astype(np.float32)
  return data, {
      name: (codes, dict(zip(("task", "accuracy"), train(codes, data))))
      for name, codes in (("informative", informative), ("noise", noise))
  }


def test_the_metrics_are_of_the_ensemble(trained):
  data, (codes, ensemble) = trained[0], trained[1]["informative"]
  rows = example.rows_of(data["task"])
  for name, entry in ensemble.items():
    assert entry.members == MEMBERS
    property_ = properties.load(name)
    mean = entry.outputs(example.SCOPE, codes).mean(axis=0)
    target = property_.target(data, example.SCOPE)
    for part in ("validation", "test"):
      chosen = getattr(rows, part)
      metrics = property_.metrics(mean[chosen], target[chosen])
      for metric, value in metrics.items():
        assert entry.metrics[part][metric]["value"] == pytest.approx(value)
        assert set(entry.metrics[part][metric]) == {"value", "low", "high"}
  assert ensemble["accuracy"].metrics["test"]["r2"]["value"] > 0.8


def test_heads_are_more_certain_with_informative_codes(trained):
  sure, unsure = (
      {
          entry.property: entry.predict(example.SCOPE, codes[70])
          for entry in ensemble.values()
      }
      for codes, ensemble in trained[1].values()
  )
  assert sure["accuracy"].spread < 0.5 * unsure["accuracy"].spread
  best = [p["task"].probabilities.max(axis=-1) for p in (sure, unsure)]
  assert best[0].mean() > best[1].mean() + 0.2


def test_spreads_are_as_wide_as_errors_on_validation_tasks(trained):
  data, (codes, ensemble) = trained[0], trained[1]["noise"]
  entry = ensemble["accuracy"]
  outputs = entry.outputs(example.SCOPE, codes)[..., 0]
  rows = example.rows_of(data["task"]).validation
  errors = outputs.mean(axis=0)[rows] - data["accuracy"][rows]
  spreads = entry.widening * outputs.std(axis=0, ddof=1)[rows]
  assert np.mean(errors**2) == pytest.approx(np.mean(spreads**2), rel=1e-3)
  within = np.mean(np.abs(errors) <= 2 * spreads)
  reported = entry.metrics["validation"]["within_2_spreads"]["value"]
  assert reported == pytest.approx(within)


def test_each_head_sees_training_tasks_of_its_own(monkeypatch):
  data = example.columns(np.random.default_rng(0))
  rows = example.rows_of(data["task"])
  seen, chosen = [], []

  class EnoughError(Exception):
    pass

  def make_trainer(*args):
    def train(codes, columns, drawn, validation, seed):
      if not chosen:  # the form of all heads, from all training tasks
        np.testing.assert_array_equal(drawn, rows.train)
        chosen.append("linear")
        return types.SimpleNamespace(form="linear")
      np.testing.assert_array_equal(validation, rows.validation)
      seen.append(drawn)
      if len(seen) == MEMBERS:
        raise EnoughError

    return train

  monkeypatch.setattr(ensembles.prediction, "make_trainer", make_trainer)
  with pytest.raises(EnoughError):
    train(np.zeros((len(data["task"]), 4), np.float32), data)
  for drawn in seen:
    assert len(drawn) <= len(rows.train)
    assert set(drawn) < set(rows.train)  # a third of the tasks is not drawn
  assert len({tuple(sorted(drawn)) for drawn in seen}) == MEMBERS


def test_one_head_has_no_spread():
  with pytest.raises(ValueError, match="members=1: the spread"):
    ensembles.train(
        None, {}, None, None, CONFIG, members=1,
        progress=Progress.silent(),
    )  # fmt: skip
