"""Results of strangers are refused in one line that names the key."""

import base64
import copy

import pytest

from tests.report import reproduced
from weightspace.report import reproduction
from weightspace.report.reproduction import schema

FAMILY = "formal_language"


@pytest.fixture(scope="module")
def results():
  return reproduced.make(rows=8, seeds=1)


@pytest.fixture(scope="module")
def interrogations(results):
  return reproduced.interrogations(results)


def _changed(results, path, value=None, *, delete=False):
  results = copy.deepcopy(results)
  inner = results
  for name in path[:-1]:
    inner = inner[name]
  if delete:
    del inner[path[-1]]
  else:
    inner[path[-1]] = value
  return results


def test_good_results_pass(results, interrogations):
  schema.check(results, interrogations)


@pytest.mark.parametrize(
    "path",
    [
        ("zoos", FAMILY, "steps"),
        ("zoos", FAMILY, "curves", "loss", "median"),
        ("search", "emulation", FAMILY, "encoders", "dws", "trials", 2,
         "validation"),
        ("emulation", FAMILY, "divergence"),
        ("emulation", FAMILY, "encoders", "dws", "validation",
         "total_variation", "runs"),
        ("prediction", FAMILY, "frozen", "dws", "task", "strict", "test",
         "all_right", "low"),
        ("clones", FAMILY, "dws", "original"),
        ("codes", FAMILY, "rows"),
        ("codes", FAMILY, "pictures", "dws", "explained"),
        ("ablations", FAMILY, "interactive", "length", 1, "setting"),
        ("remedies", FAMILY, "own samples", "validation"),
        ("labels", FAMILY, "properties", "task", "arms"),
        ("invariance", FAMILY, "dws", "signed", "distance"),
        ("neighbours", FAMILY, "dws", "precision", 0, "k"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(results, path):
  with pytest.raises(ValueError) as error:
    schema.check(_changed(results, path, delete=True))
  where = "".join(f"[{key!r}]" for key in path[:-1])
  assert str(error.value) == f"results{where} lacks {path[-1]!r}"


@pytest.mark.parametrize(
    "path, value, message",
    [
        (("emulation",), [1], "results['emulation'] must be a mapping"),
        (
            ("emulation", FAMILY, "encoders", "dws", "validation",
             "total_variation", "value"),
            "0.1", "['value'] must be a number or null, got str",
        ),
        (
            ("emulation", FAMILY, "paper", "statistics"), [1.0],
            "must be [value, low, high], got 1",
        ),
        (
            ("codes", FAMILY, "pictures", "dws", "pca", 3), [1.0],
            "['pca'][3] must be 2 numbers, got 1",
        ),
        (
            ("codes", FAMILY, "pictures", "dws", "tsne"), [[1.0, 2.0]],
            "lengths differ: rows.step 8",
        ),
        (("codes", FAMILY, "rows", "task", 1), [1], "tasks of one length"),
        (("clones", FAMILY, "dws", "split"), ["ood"], "lengths differ"),
        (
            ("labels", FAMILY, "properties", "task", "arms",
             "interactive, pretrained"),
            [], "networks 6, arms.interactive, pretrained 0",
        ),
        (
            ("zoos", FAMILY, "curves", "accuracy", "low"), [0.1],
            "curves.accuracy.low 1",
        ),
        (("runs", "x"), 3, "results['runs']['x'] must be a mapping, got int"),
        (("title",), 3, "results['title'] must be a string, got int"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(results, tmp_path, path, value, message):
  with pytest.raises(ValueError) as error:
    reproduction.write(_changed(results, path, value), tmp_path / "report")
  assert message in str(error.value)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("found", [{}, {"title": "x"}, {"emulation": {}}])
def test_nothing_to_report(found, tmp_path):
  with pytest.raises(ValueError, match="nothing to report"):
    reproduction.write(found, tmp_path)


@pytest.mark.parametrize("found", [[1], None, "x"])
def test_no_results_at_all(found, tmp_path):
  with pytest.raises(ValueError, match="results must be a mapping"):
    reproduction.write(found, tmp_path)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("probes", "*", "['probes'] is not base64"),
        ("answers", base64.b64encode(b"abc").decode(), "it holds 3"),
        ("rows", [99] * 6, "must be places in results['codes']"),
        ("symbols", 3, "['symbols'] must be a list, got int"),
        ("shape", {"length": 22}, "['shape'] lacks 'parallel'"),
    ],
)
def test_interrogations_must_fit(results, interrogations, key, value, message):
  with pytest.raises(ValueError) as error:
    schema.check(results, _changed(interrogations, (FAMILY, key), value))
  assert message in str(error.value)
  assert str(error.value).startswith(f"interrogations[{FAMILY!r}]")
