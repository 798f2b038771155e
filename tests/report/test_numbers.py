"""Every number of tables and files is a number of the results."""

import copy
import csv
import io
import json
import pathlib
import re

import pytest

from experiments import tables as fill_tables
from tests.report import example
from weightspace.report import contents, documents, frame, tables, text
from weightspace.report.frame import ALL, FINAL, select

FAMILY = "formal_language"
ROOT = pathlib.Path(__file__).parents[2]
SMALL = "results/small/results.json"


@pytest.fixture(scope="module")
def results():
  return example.make(rows=8, seeds=2)


@pytest.fixture(scope="module")
def tidy(results):
  return frame.tidy(results)


def _cells(value):
  """All estimates that lie in results."""
  if isinstance(value, dict):
    if {"value", "low", "high"} <= set(value):
      yield value["value"], value["low"], value["high"]
      return
    value = list(value.values())
  if isinstance(value, list):
    for item in value:
      yield from _cells(item)


@pytest.mark.parametrize("which", ["example", "small"])
def test_the_frame_holds_every_estimate(results, which):
  if which == "small":
    results = json.loads((ROOT / SMALL).read_text())
  tidy = frame.tidy(results)
  held = set(zip(tidy["value"], tidy["low"], tidy["high"]))
  estimates = [cell for cell in _cells(results) if cell[0] is not None]
  assert len(estimates) > 100
  assert set(estimates) <= held
  keys = [n for n in frame.COLUMNS if n not in ("value", "low", "high", "runs")]
  assert not tidy.duplicated(keys).any()


def test_final_is_the_last_step_and_not_the_last_key(results, tidy):
  for way in ("frozen", "supervised"):
    report = results["prediction"][FAMILY][way]["dws"]["task"]["strict"]
    assert next(iter(report["by_step"])) != min(report["by_step"], key=int)
    for snapshot, of in ((FINAL, report["by_step"]["20000"]), (ALL, report)):
      (row,) = select(
          tidy, table="prediction", family=FAMILY, way=way, encoder="dws",
          property="task", protocol="strict", part="test", snapshot=snapshot,
          metric="all_right",
      ).itertuples()  # fmt: skip
      assert row.value == of["test"]["all_right"]["value"]
      assert row.runs.split() == of["test"]["all_right"]["runs"]


def test_tables_of_properties_show_final_beside_all_snapshots(tidy):
  rows = select(tidy, table="prediction", family=FAMILY, way="frozen")
  table = contents.prediction(rows, "language")
  assert table.head[3:] == ("final networks", "all snapshots") * 2
  for row in table.rows:
    property_, metric, encoder = (cell.value for cell in row[:3])
    expected = [
        select(
            rows, property=property_, metric=metric, encoder=encoder,
            protocol=protocol, snapshot=snapshot, part="test",
        )["value"].item()
        for protocol in ("strict", "paper")
        for snapshot in (FINAL, ALL)
    ]  # fmt: skip
    assert [cell.value["value"] for cell in row[3:]] == expected


def test_html_shows_values_and_intervals(results, tidy):
  rows = select(tidy, table="emulation", family=FAMILY)
  html = tables.to_html(contents.emulation(rows))
  for name, one in results["emulation"][FAMILY]["encoders"].items():
    cell = one["ood"]["reverse_kl"]
    ends = text.between(cell["low"], cell["high"])
    shown = f'{text.number(cell["value"])}<span class="interval">{ends}</span>'
    assert shown in html, name
    assert f'title="runs: {" ".join(cell["runs"])}"' in html


@pytest.mark.parametrize(
    "table, make",
    [
        ("emulation", contents.emulation),
        ("prediction", lambda rows: contents.prediction(rows, "task")),
        ("clones", contents.clones),
        ("few labels", contents.few_labels),
        ("neighbours", contents.neighbours),
        ("invariance", contents.invariance),
    ],
)
def test_csv_files_are_exact(tidy, table, make):
  rows = select(tidy, table=table, family="tiled_mnist")
  if table == "prediction":
    rows = select(rows, way="frozen")
  read = list(csv.DictReader(io.StringIO(tables.to_csv(make(rows)))))
  assert [float(row["value"]) for row in read] == rows["value"].tolist()
  for row, low in zip(read, rows["low"]):
    assert row.get("low", "") == ("" if low != low else repr(low))


def test_what_was_not_measured_is_a_dash(results):
  few = copy.deepcopy(results["prediction"][FAMILY])
  del few["supervised"], few["frozen"]["dws"]["task"]["paper"]
  bare = few["frozen"]["flat"]["accuracy"]["strict"]
  bare["test"] = {"r2": 0.25, "mse": {"value": None, "low": None, "high": None}}
  table = contents.prediction(
      frame.tidy({"prediction": {FAMILY: few}}), "language"
  )
  html = tables.to_html(table)
  assert re.search(">DWSNet</th>.*?–</td><td[^>]*>–</td></tr>".replace(
      "</td><td", "</td>\\s*<td"), html, re.S)  # fmt: skip
  assert "0.250</td>" in html and "nan" not in html


def test_exact_values_of_other_tables_are_in_csv_too():
  cell = {"value": 1 / 3, "low": 0.1, "high": 0.5, "runs": ["a", "b"]}
  table = tables.Table(
      ("<b>", "&"), ("name", "loss"),
      [[tables.Cell("<i>"), tables.Cell(cell, text.number)],
       [tables.Cell("x"), tables.Cell(None)]],
  )  # fmt: skip
  first, second = csv.DictReader(io.StringIO(tables.to_csv(table)))
  assert float(first["loss"]) == 1 / 3 and float(first["loss_low"]) == 0.1
  assert first["loss_runs"] == "a b" and second["loss"] == ""
  html = tables.to_html(table)
  assert "<i>" not in html and "<b>" not in html


@pytest.mark.parametrize("name", documents.TABLES)
def test_documents_are_filled_with_the_results(results, name):
  if name == "ingredients":
    results = json.loads(
        (ROOT / "results/codes/ingredients_languages.json").read_text()
    )
  family = documents.PREDICTED.get(name.partition(" of ")[2])
  if family and family not in results["prediction"]:
    prediction = {family: results["prediction"][FAMILY]}
    results = {**results, "prediction": prediction}
  place = f"a\n<!-- {name} of x.json -->\nold\n<!-- end -->\nb"
  filled = documents.fill(place, "x.json", results)
  assert "old" not in filled
  assert documents.fill(filled, "x.json", results) == filled
  assert documents.fill(filled, "y.json", results) == filled
  lines = filled.splitlines()[2:-2]
  assert len(lines) > 2 and len({line.count("|") for line in lines}) == 1


def test_another_number_is_another_table(results):
  changed = copy.deepcopy(results)
  one = changed["emulation"][FAMILY]["encoders"]["dws"]["validation"]
  one["reverse_kl"]["value"] += 0.01
  place = "<!-- emulation of x -->\n<!-- end -->"
  assert documents.fill(place, "x", changed) != documents.fill(
      place, "x", results
  )


def test_documents_quote_results_as_they_are():
  quoted = set()
  for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
    document = path.read_text(encoding="utf-8")
    for name in set(re.findall(r"<!-- [a-z ]+ of (\S+) -->", document)):
      filled = fill_tables.fill(document, name, ROOT / name)
      assert filled == document, (path, name)
      quoted.add(name)
  assert {SMALL, "results/worlds"} <= quoted


def test_tables_that_cannot_be_are_refused(results):
  with pytest.raises(ValueError, match="no table 'losses'; there are"):
    documents.fill("<!-- losses of x -->\n<!-- end -->", "x", results)
  with pytest.raises(ValueError, match="not closed"):
    documents.fill("<!-- emulation of x -->\n", "x", results)
