"""The page of a reproduction is whole, traceable, and bears missing parts."""

import base64
import copy
import csv
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tests.report import reproduced
from tests.report.test_page import Reader
from weightspace.report import reproduction
from weightspace.report import tables as plain_tables
from weightspace.report.reproduction import figures, schema, sections, tables

FAMILY = "formal_language"
TITLES = {
    "zoos": "The zoos",
    "search": "Hyper-parameter search",
    "emulation": "Emulation",
    "prediction": "What codes tell",
    "clones": "Clones",
    "codes": "Code space",
    "ablations": "How much to ask",
    "remedies": "A steadier interrogator",
    "labels": "Few labels",
    "invariance": "What the code keeps",
    "neighbours": "What the code keeps",
}


@pytest.fixture(scope="module")
def results():
  return reproduced.make(
      rows=24, seeds=2, encoders=("constant", "flat", "dws", "interactive")
  )


@pytest.fixture(scope="module")
def interrogations(results):
  return reproduced.interrogations(results)


@pytest.fixture(scope="module")
def written(results, interrogations, tmp_path_factory):
  folder = tmp_path_factory.mktemp("reproduction")
  return reproduction.write(results, folder, interrogations)


@pytest.fixture(scope="module")
def source(written):
  return written.read_text(encoding="utf-8")


def _of_one(results, *parts):
  """Some parts of the results, of one family only."""
  few = {part: {FAMILY: results[part][FAMILY]} for part in parts}
  return copy.deepcopy(few)


def _sections(results):
  return {s.title: s.blocks for s in sections.make(schema.present(results), {})}


def test_page_is_html_with_every_section(source):
  reader = Reader(source)
  titles = re.findall("<h2>(.*?)</h2>", source)
  assert titles == [
      "What was run", *dict.fromkeys(
          TITLES[part] for part in (
              "zoos", "emulation", "prediction", "clones", "codes",
              "ablations", "remedies", "labels", "invariance", "search",
          )
      ), "Appendix: all runs",
  ]  # fmt: skip
  for i in range(1, len(titles) + 1):
    assert f'href="#section-{i}"' in source
    assert ("section", {"id": f"section-{i}"}) in reader.tags
  pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
  assert len(pictures) == 20 and all(attrs["alt"] for attrs in pictures)
  identities = [a["id"] for _, a in reader.tags if "id" in a]
  assert len(set(identities)) == len(identities)


def test_nothing_is_loaded_from_outside(source):
  for address in Reader(source).loaded:
    assert address.startswith(("data:", "#section-")), address[:80]
  # The names of XML inside pictures are packed in base64
  assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|//\w+\.", source)
  pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', source)
  for picture in pictures[:4]:
    for element in ElementTree.fromstring(base64.b64decode(picture)).iter():
      for name, value in element.attrib.items():
        if name.endswith(("href", "src")):
          assert value.startswith(("data:", "#")), value[:80]


def test_figures_are_files_and_all_are_on_the_page(written, source):
  names = set(re.findall('<figure id="([^"]*)">', source))
  files = {p.name for p in (written.parent / "figures").iterdir()}
  assert files == {f"{n}.{ending}" for n in names for ending in ("png", "svg")}


def test_every_number_names_its_runs(results, written, source):
  """In tables of the page, in CSV files, and in the list of all runs."""
  cells = results["emulation"][FAMILY]["encoders"]["dws"]
  cell = cells["ood"]["reverse_kl"]
  shown = re.search(
      f'<td class="number" title="runs: ([^"]*)">{cell["value"]:.3f}<', source
  )
  assert shown[1] == " ".join(cell["runs"])
  listed = set()
  for path in (written.parent / "tables").iterdir():
    with path.open(newline="", encoding="utf-8") as lines:
      for row in csv.DictReader(lines):
        for key, value in row.items():
          if key.endswith("_runs"):
            listed |= set(value.split())
          elif key.endswith("_low") and value and "paper_v" not in key:
            assert row[key.replace("_low", "_runs")], (path.name, key)
  with (written.parent / "tables" / "runs.csv").open(newline="") as lines:
    runs = {row["run"]: row for row in csv.DictReader(lines)}
  assert listed and listed <= set(runs) == set(results["runs"])
  assert '"learning_rate": 0.0003' in runs[cell["runs"][0]]["config"]


def test_csv_of_emulation_is_exact(results, written):
  found = results["emulation"][FAMILY]["encoders"]
  path = written.parent / "tables" / "emulation-formal-language.csv"
  with path.open(newline="", encoding="utf-8") as lines:
    rows = {row["encoder"]: row for row in csv.DictReader(lines)}
  assert list(rows) == [
      "constant", "statistics", "flat", "dws", "interactive",
  ]  # fmt: skip
  only_the_papers = rows.pop("statistics")
  assert only_the_papers["total_variation_ood"] == ""
  assert only_the_papers["paper_validation_high"] == "0.053"
  for name, row in rows.items():
    cell = found[name]["ood"]["total_variation"]
    for key, column in (("value", ""), ("low", "_low"), ("high", "_high")):
      assert float(row[f"total_variation_ood{column}"]) == cell[key]


def test_properties_have_headlines_on_the_page_and_all_metrics_beside(
    results, written
):
  found = results["prediction"]["tiled_mnist"]["frozen"]
  shown = list(tables.told(found, headlines=True))
  assert {(t.property_, t.metric) for t in shown} == {
      ("angle", "degrees"), ("accuracy", "r2"), ("step", "accuracy"),
      ("generalization_gap", "r2"),
  }  # fmt: skip
  path = written.parent / "tables" / "prediction-frozen-tiled-mnist.csv"
  with path.open(newline="", encoding="utf-8") as lines:
    rows = list(csv.DictReader(lines))
  assert len(rows) == 4 * (2 + 3 + 2 + 3)
  for row in rows:
    protocols = found[row["encoder"]][row["property"]]
    for protocol in ("strict", "paper"):
      for split in ("validation", "test"):
        cell = protocols[protocol][split][row["measure"]]
        assert float(row[f"{protocol}_{split}"]) == cell["value"]


@pytest.mark.parametrize("part", sorted(TITLES))
def test_stages_that_have_not_run_are_left_out(results, part):
  few = {part: results[part]}
  if part not in ("search", "zoos"):
    few = _of_one(results, part)
  schema.check(few)
  (title,) = _sections(few)
  assert title == TITLES[part]
  empty = few | {other: {} for other in set(TITLES) - {part}}
  schema.check(schema.present(empty))
  assert list(_sections(empty)) == [title]


def test_parts_of_parts_may_be_missing(results):
  few = _of_one(
      results, "emulation", "prediction", "codes", "ablations", "neighbours",
      "labels",
  )  # fmt: skip
  del few["emulation"][FAMILY]["paper"]
  del few["prediction"][FAMILY]["supervised"]
  few["emulation"][FAMILY]["encoders"]["flat"]["ood"] = {}
  few["prediction"][FAMILY]["frozen"]["flat"]["task"] = {}
  for property_ in few["prediction"][FAMILY]["frozen"]["dws"].values():
    del property_["paper"]
  for picture in few["codes"][FAMILY]["pictures"].values():
    del picture["tsne"]
  del few["ablations"][FAMILY]["interactive"]["length"]
  del few["neighbours"][FAMILY]["chance"]
  del few["labels"][FAMILY]["properties"]["task"]["improvement"]
  few = schema.present(few)
  schema.check(few)
  assert len(_sections(few)) == 6


def test_numbers_that_are_not_finite_are_dashes(results, tmp_path):
  few = _of_one(results, "emulation", "clones")
  encoders = few["emulation"][FAMILY]["encoders"]
  for key in ("value", "low", "high"):
    encoders["flat"]["validation"]["total_variation"][key] = None
  encoders["dws"]["validation"]["total_variation"] = None
  few["clones"][FAMILY] = {"flat": few["clones"][FAMILY]["flat"]}
  few["clones"][FAMILY]["flat"]["clone"][0] = None
  few["clones"][FAMILY]["flat"]["correlation"] = None
  reproduction.write(few, tmp_path)
  table = tables.emulation(few["emulation"][FAMILY])
  flat = plain_tables.to_html(table).split("flattened weights")[1]
  assert re.search(r'<td class="number"[^>]*>–</td>', flat)


@pytest.mark.parametrize(
    "low, value, said",
    [
        (26.0, 30.0, "holds, with the whole interval, at 1, 2, 4"),
        (20.0, 30.0, "holds for the mean alone at 1, 2, 4"),
        (10.0, 20.0, "is seen at no number of labels"),
        (None, None, "is not tested"),
    ],
)
def test_the_claim_is_judged_by_its_interval(results, low, value, said):
  few = _of_one(results, "labels")
  improvement = few["labels"][FAMILY]["properties"]["task"]["improvement"]
  for cell in improvement["per_cent"]:
    cell |= {"value": value, "low": low, "high": value and value + 9}
  (blocks,) = _sections(few).values()
  captions = [b.caption for b in blocks if hasattr(b, "caption")]
  assert said in captions[0]


def test_clones_lie_where_they_are(results):
  found = {"dws": results["clones"][FAMILY]["dws"]}
  figure = figures.clones(found, "accuracy")
  drawn = np.concatenate([
      np.asarray(c.get_offsets()) for c in figure.axes[0].collections
  ])
  given = np.stack([found["dws"]["original"], found["dws"]["clone"]], 1)
  assert sorted(map(tuple, drawn)) == sorted(map(tuple, given))


def test_strings_are_escaped(results, interrogations, tmp_path):
  evil = "</script><script>alert(1)</script>\"'&"
  few = _of_one(results, "codes", "labels", "invariance")
  few |= {"title": evil, "command": evil, "size": evil, "commit": evil}
  few["software"] = {evil: evil}
  few["runs"] = {evil: {"family": evil, "stage": evil, "encoder": evil,
                        "seed": evil, "config": {evil: evil}}}  # fmt: skip
  codes = few["codes"][FAMILY]
  codes["rows"]["describe"][0] = evil
  codes["pictures"] = {evil: codes["pictures"]["dws"]}
  few["codes"] = {evil: codes}
  few["invariance"][FAMILY] = {evil: {evil: few["invariance"][FAMILY]["dws"][
      "signed"]}}  # fmt: skip
  few["invariance"][FAMILY][evil][evil]["distance"]["runs"] = [evil]
  labels = few["labels"][FAMILY]
  labels["unit"] = evil
  task = labels["properties"].pop("task")
  task["arms"] = {evil: task["arms"]["dws, from scratch"]}
  task["improvement"] |= {"of": evil, "over": evil}
  labels["properties"] = {evil: task | {"metric": evil}}
  asked = {evil: interrogations[FAMILY] | {"symbols": [evil] * 6,
                                           "encoder": evil}}  # fmt: skip
  source = reproduction.write(few, tmp_path, asked).read_text()
  assert "<script>alert" not in source
  scripts = [a for tag, a in Reader(source).tags if tag == "script"]
  assert len(scripts) == 3  # the codes, every page's, and ours
  assert not list(tmp_path.rglob("*alert(*"))
  assert {p.parent.name for p in tmp_path.rglob("*.*")} <= {
      tmp_path.name, "figures", "tables",
  }  # fmt: skip


def test_same_results_same_page(results, tmp_path):
  few = _of_one(results, "emulation", "codes")
  few["codes"][FAMILY]["pictures"].pop("weights")
  few["codes"][FAMILY]["pictures"] = dict(
      list(few["codes"][FAMILY]["pictures"].items())[:1]
  )
  first = reproduction.write(few, tmp_path / "a").read_bytes()
  assert first == reproduction.write(few, tmp_path / "b").read_bytes()
