"""Results that cannot be reported are refused, and the reason is given."""

import copy

import pytest

from tests.report import example
from weightspace.report import schema


def _without(results, *path):
  results = copy.deepcopy(results)
  inner = results
  for name in path[:-1]:
    inner = inner[name]
  del inner[path[-1]]
  return results


@pytest.fixture(scope="module")
def results():
  return example.make(rows=20)


def test_good_results_pass(results):
  schema.check(results)


@pytest.mark.parametrize(
    "path, message",
    [
        (("zoo", "steps"), "results['zoo'] lacks 'steps'"),
        (
            ("zoo", "curves", "loss", "median"),
            "results['zoo']['curves']['loss'] lacks 'median'",
        ),
        (("emulation", "divergence"), "results['emulation'] lacks"),
        (
            ("emulation", "encoders", "interactive", "validation"),
            "results['emulation']['encoders']['interactive'] lacks",
        ),
        (
            ("emulation", "encoders", "statistics", "gain", "ood", "low"),
            "['statistics']['gain']['ood'] lacks 'low'",
        ),
        (("prediction", "scatter", "actual"), "lacks 'actual'"),
        (
            ("prediction", "encoders", "statistics", "task", "paper", "test"),
            "['task']['paper'] lacks 'test'",
        ),
        (("codes", "statistics", "explained"), "lacks 'explained'"),
        (("rows", "split"), "results['rows'] lacks 'split'"),
        (("rows",), "no results['rows']"),
        (("transcripts", 1, "answers"), "['transcripts'][1] lacks 'answers'"),
    ],
)
def test_what_is_missing_is_named(results, path, message):
  with pytest.raises(ValueError) as error:
    schema.check(_without(results, *path))
  assert message in str(error.value)


def test_optional_keys_may_be_missing(results):
  for path in (
      ("zoo", "curves", "accuracy_counts"),
      ("emulation", "paper"),
      ("emulation", "encoders", "interactive", "ood"),
      ("prediction", "scatter"),
      ("rows", "language"),
      ("note",),
  ):
    schema.check(_without(results, *path))


@pytest.mark.parametrize(
    "results, message",
    [
        ({}, "nothing to report"),
        ({"title": "x"}, "nothing to report"),
        ([1], "must be a mapping, got list"),
        ({"zoo": [1]}, "results['zoo'] must be a mapping, got list"),
        ({"splits": {}}, "results['splits'] is empty"),
    ],
)
def test_what_is_no_result_at_all(results, message):
  with pytest.raises(ValueError) as error:
    schema.check(results)
  assert message in str(error.value)


def test_rows_and_codes_must_fit(results):
  results = copy.deepcopy(results)
  results["codes"]["statistics"]["pca"].pop()
  with pytest.raises(ValueError, match=r"codes\.statistics\.pca 19"):
    schema.check(results)
