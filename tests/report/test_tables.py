"""Every number of the tables is a number of the results."""

import csv
import html.parser

import pytest

from tests.report import example
from weightspace.report import tables, text


@pytest.fixture(scope="module")
def results():
  return example.make(rows=20)


class Cells(html.parser.HTMLParser):
  """Rows of a table's body; a value and its interval are told apart."""

  def __init__(self, source):
    super().__init__()
    self.rows, self.in_body = [], False
    self.feed(source)

  def handle_starttag(self, tag, attrs):
    if tag == "tbody":
      self.in_body = True
    if not self.in_body:
      return
    if tag == "tr":
      self.rows.append([])
    elif tag in ("td", "th"):
      self.rows[-1].append([""])
    elif tag == "span":
      self.rows[-1][-1].append("")

  def handle_data(self, data):
    if self.in_body and self.rows and self.rows[-1]:
      self.rows[-1][-1][-1] += data.strip("\n")


def _decimal(estimate):
  value, low, high = (estimate[k] for k in ("value", "low", "high"))
  return [f"{value:.3f}", f"{low:.3f}–{high:.3f}"]


def _percent(estimate):
  value, low, high = (100 * estimate[k] for k in ("value", "low", "high"))
  space = "\N{NO-BREAK SPACE}"
  return [f"{value:.1f}{space}%", f"{low:.1f}–{high:.1f}{space}%"]


def test_emulation(results):
  rows = Cells(tables.to_html(tables.emulation(results))).rows
  found = results["emulation"]
  names = ["constant", "statistics", "interactive"]
  assert [row[0] for row in rows] == [[text.encoder(n)] for n in names]
  for name, row in zip(names, rows):
    one = found["encoders"][name]
    assert row[1] == [f"{one['parameters']:,}"]
    assert row[2] == _decimal(one["validation"]["total_variation"])
    assert row[3] == _decimal(one["ood"]["total_variation"])
    assert row[4] == _decimal(one["validation"]["reverse_kl"])
    assert row[5] == _decimal(one["ood"]["reverse_kl"])
    if name == "constant":
      assert row[6:] == [["–"]] * 3
      continue
    assert row[6] == _percent(one["gain"]["validation"])
    assert row[7] == _percent(one["gain"]["ood"])
    value, low, high = found["paper"][name]
    assert row[8] == [f"{value:.3f}", f"{low:.3f}–{high:.3f}"]


def test_prediction(results):
  rows = Cells(tables.to_html(tables.prediction(results))).rows
  found = results["prediction"]["encoders"]
  expected = [
      (property_, measure, name)
      for property_, measures in (
          ("task", ("per_count_accuracy", "all_right")),
          ("accuracy", ("mse", "r2", "kendall_tau")),
      )
      for measure in measures
      for name in ("statistics", "interactive")
  ]
  assert len(rows) == len(expected)
  for (property_, measure, name), row in zip(expected, rows):
    shown = _percent if property_ == "task" else _decimal
    assert row[2] == [text.encoder(name)]
    assert row[3:] == [
        shown(report["test"][measure])
        for protocol in ("strict", "paper")
        for one in (found[name][property_][protocol],)
        for report in (one["by_step"]["500"], one)
    ]


def test_csv_of_emulation_is_exact(results):
  lines = tables.to_csv(tables.emulation(results)).splitlines()
  read = {row["encoder"]: row for row in csv.DictReader(lines)}
  found = results["emulation"]["encoders"]
  assert list(read) == ["constant", "statistics", "interactive"]
  for name, row in read.items():
    for split in ("validation", "ood"):
      for divergence, estimate in found[name][split].items():
        key = f"{divergence}_{split}"
        assert float(row[key]) == estimate["value"]
        assert float(row[f"{key}_low"]) == estimate["low"]
        assert float(row[f"{key}_high"]) == estimate["high"]
  assert read["constant"]["gain_ood"] == ""
  assert float(read["interactive"]["paper_validation_high"]) == 0.022


def test_csv_of_prediction_is_exact(results):
  lines = tables.to_csv(tables.prediction(results)).splitlines()
  found = results["prediction"]["encoders"]
  for row in csv.DictReader(lines):
    by_protocol = found[row["encoder"]][row["property"]]
    for protocol in ("strict", "paper"):
      report = by_protocol[protocol]
      final = report["by_step"]["500"]
      for part, of in (("test_final", final), ("test", report)):
        estimate = of["test"][row["measure"]]
        assert float(row[f"{protocol}_{part}"]) == estimate["value"]
        assert float(row[f"{protocol}_{part}_low"]) == estimate["low"]


def test_what_was_not_measured_is_a_dash(results):
  found = results["prediction"]["encoders"]
  few = {
      "statistics": {"task": found["statistics"]["task"]},
      "interactive": {"task": {"paper": found["interactive"]["task"]["paper"]}},
  }
  table = tables.prediction({"prediction": {"encoders": few}})
  rows = Cells(tables.to_html(table)).rows
  assert len(rows) == 4
  assert rows[1][3:5] == [["–"], ["–"]]
  assert rows[1][5] != ["–"]


def test_bare_numbers_and_missing_ones(results):
  estimate = {"value": None, "low": None, "high": None}
  part = {"mse": 0.25, "r2": estimate, "kendall_tau": float("nan")}
  one = {"accuracy": {"strict": {"validation": part, "test": part}}}
  table = tables.prediction({"prediction": {"encoders": {"flat": one}}})
  rows = Cells(tables.to_html(table)).rows
  assert [row[4] for row in rows] == [["0.250"], ["–"], ["–"]]
  assert [row[3] for row in rows] == [["–"]] * 3  # no snapshots apart


def test_labels_and_titles_are_escaped():
  table = tables.Table(
      ("<b>", "&"), ("a", "b"), [[tables.Cell("<i>"), tables.Cell("<u>")]]
  )
  source = tables.to_html(table)
  assert not any(tag in source for tag in ("<b>", "<i>", "<u>"))
