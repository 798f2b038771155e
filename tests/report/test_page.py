"""The page is whole, loads nothing from outside, and bears missing parts."""

import base64
import copy
import html.parser
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tests.report import example
from weightspace.report import (
    figures,
    frame,
    schema,
    statements,
    study_page,
    vocabulary,
)

FAMILY = "formal_language"
ROOT = pathlib.Path(__file__).parents[2]
VOID = {"meta", "link", "img", "br", "hr", "input"}
EVIL = "</script><script>alert(1)</script>\"'&"


class Reader(html.parser.HTMLParser):
  """Collects what is loaded and insists that every tag is closed."""

  def __init__(self, page_text):
    super().__init__()
    self.open, self.loaded, self.tags = [], [], []
    self.feed(page_text)
    self.close()
    assert not self.open, f"never closed: {self.open}"

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    self.loaded += [
        value
        for name, value in attrs
        if name in ("src", "href", "srcset", "data", "action", "poster")
    ]
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open and self.open.pop() == tag, f"stray </{tag}>"


@pytest.fixture(scope="module")
def results():
  return example.make(
      rows=24, seeds=2, encoders=("constant", "flat", "dws", "interactive")
  )


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
  folder = tmp_path_factory.mktemp("report")
  return study_page.write(results, folder, example.interrogations(results))


@pytest.fixture(scope="module")
def page_text(written):
  return written.read_text(encoding="utf-8")


def _of_one(results, *parts):
  """Some parts of the results, of one family only, to be changed."""
  few = {part: {FAMILY: results[part][FAMILY]} for part in parts}
  return copy.deepcopy(few)


def test_page_is_html_and_names_each_section(page_text):
  reader = Reader(page_text)
  titles = re.findall("<h2>(.*?)</h2>", page_text)
  assert len(titles) == len(set(titles)) > 10
  links = [value for value in reader.loaded if value.startswith("#")]
  assert links == [f"#section-{i}" for i in range(1, len(titles) + 1)]
  identities = [a["id"] for _, a in reader.tags if "id" in a]
  assert len(set(identities)) == len(identities)
  assert {link[1:] for link in links} <= set(identities)
  assert all(a["alt"] for tag, a in reader.tags if tag == "img")


def test_nothing_is_loaded_from_outside(page_text):
  for address in Reader(page_text).loaded:
    assert address.startswith(("data:", "#section-")), address[:80]
  # The names of XML inside pictures are packed in base64
  outside = r"https?:|@import|url\(|fetch\(|XMLHttp|//\w+\."
  assert not re.search(outside, page_text)
  pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', page_text)
  for picture in pictures[:4]:
    for element in ElementTree.fromstring(base64.b64decode(picture)).iter():
      for name, value in element.attrib.items():
        if name.endswith(("href", "src")):
          assert value.startswith(("data:", "#")), value[:80]


def test_figures_are_files_and_all_are_on_the_page(written, page_text):
  names = set(re.findall('<figure id="([^"]*)">', page_text))
  files = {p.name for p in (written.parent / "figures").iterdir()}
  assert names
  assert files == {f"{n}.{ending}" for n in names for ending in ("png", "svg")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    ["zoos", "search", "emulation", "prediction", "clones", "codes",
     "transcripts", "variants", "labels", "invariance", "neighbours"],
)  # fmt: skip
def test_each_part_is_enough(results, tmp_path, part):
  few = {"search": {"emulation": results["search"]["emulation"]}}
  if part != "search":
    few = _of_one(results, part)
  page_text = study_page.write(few, tmp_path).read_text(encoding="utf-8")
  Reader(page_text)
  assert len(re.findall("<h2>", page_text)) == 1


def test_claims_come_first_with_their_verdicts(page_text, written):
  first = re.search(r"(?s)<section.*?</section>", page_text).group()
  assert "<h2>Claims</h2>" in first
  assert re.search(r"(?s)Codes tell tasks\..*>holds<.*0\.90", first)
  assert re.search(r"(?s)Codes tell time\..*>not decided here<", first)
  saved = (written.parent / "tables/claims.csv").read_text()
  assert "python -m x" in saved


def test_optional_keys_may_be_missing(results, tmp_path):
  few = _of_one(results, "emulation", "clones", "zoos", "prediction")
  for encoder in few["emulation"][FAMILY]["encoders"].values():
    for name in ("curve", "validation_curve", "ood", "gain", "parameters"):
      encoder.pop(name, None)
  del few["emulation"][FAMILY]["paper"], few["zoos"][FAMILY]["splits"]
  for one in few["clones"][FAMILY].values():
    for name in ("original", "clone", "split"):
      del one[name]
  for way in ("frozen", "supervised"):
    for properties in few["prediction"][FAMILY][way].values():
      for protocols in properties.values():
        for report in protocols.values():
          del report["by_step"]
  page_text = study_page.write(few, tmp_path).read_text(encoding="utf-8")
  Reader(page_text)
  assert ">final networks<" not in page_text


def test_no_gain_is_not_called_one(results):
  few = _of_one(results, "emulation")
  plain = statements.verdict(frame.tidy(few), FAMILY)
  for one in few["emulation"][FAMILY]["encoders"].values():
    if "gain" in one:
      one["gain"]["ood"] |= {"value": 0.02, "low": -0.03, "high": 0.05}
  beaten = statements.verdict(frame.tidy(few), FAMILY)
  assert "do not clearly beat" in beaten and "do not" not in plain


def test_the_page_says_why_numbers_are_missing(results):
  few = _of_one(results, "prediction")
  frozen = few["prediction"][FAMILY]["frozen"]
  tidy = frame.tidy(few)
  assert not statements.undefined(tidy) and not statements.left_out(frozen)
  for properties in frozen.values():
    report = properties["accuracy"]["strict"]
    report["test"]["r2"] |= {"value": None, "low": None, "high": None}
    report["unknown"] = {"train": 7, "ood_train": 3, "test": 2}
  assert "R² of accuracy is missing, it is undef" in statements.undefined(
      frame.tidy(few)
  )
  (sentence,) = statements.left_out(frozen).split(". ")[:-1]
  assert sentence.endswith("are 7 training, 3 OOD training and 2 test rows")


def test_encoders_that_are_not_on_the_page_are_not_described(results, tmp_path):
  few = _of_one(results, "emulation")
  entry = few["emulation"][FAMILY]
  entry.pop("paper", None)
  entry["encoders"] = {"interactive": entry["encoders"]["interactive"]}
  text = study_page.write(few, tmp_path).read_text(encoding="utf-8")
  assert vocabulary.description("interactive") in text
  assert "of the constant code, the more the codes say" not in text
  for name in ("constant", "flat", "dws"):
    assert vocabulary.description(name) not in text


def test_a_claim_holds_where_intervals_say_so(results):
  few = _of_one(results, "labels")
  gains = few["labels"][FAMILY]["properties"]["task"]["improvement"]
  for cell, (value, low) in zip(
      gains["per_cent"], ((30, 26), (30, 10), *[(5, 1)] * 4)
  ):
    cell |= {"value": value, "low": low, "high": 40}
  (claim,) = statements.claims(frame.tidy(few), "labelled")
  assert "whole interval, at 1;" in claim and "mean alone at 2 " in claim


def test_clones_are_drawn_where_they_are(results):
  points = {"dws": results["clones"][FAMILY]["dws"]}
  rows = frame.select(frame.tidy(results), table="clones", family=FAMILY)
  figure = figures.clones(rows, points, "accuracy")
  drawn = np.concatenate([
      np.asarray(c.get_offsets()) for c in figure.axes[0].collections
  ])
  given = np.stack([points["dws"]["original"], points["dws"]["clone"]], 1)
  assert sorted(map(tuple, drawn)) == sorted(map(tuple, given))


@pytest.mark.slow
def test_strings_are_escaped(results, tmp_path):
  few = _of_one(results, "codes", "labels", "invariance", "transcripts")
  few |= {"title": EVIL, "command": EVIL, "size": EVIL, "commit": EVIL,
          "note": EVIL, "software": {EVIL: EVIL}}  # fmt: skip
  few["runs"] = {EVIL: {"family": EVIL, "stage": EVIL, "encoder": EVIL,
                        "seed": EVIL, "config": {EVIL: EVIL}}}  # fmt: skip
  codes = few["codes"][FAMILY]
  codes["rows"]["describe"][0] = EVIL
  codes["pictures"] = {EVIL: codes["pictures"]["dws"]}
  few["codes"] = {EVIL: codes}
  few["transcripts"][FAMILY]["interactive"] |= {
      "describe": EVIL, "sample": EVIL, "symbols": [EVIL] * 6,
  }  # fmt: skip
  drift = few["invariance"][FAMILY]["dws"]["signed"]
  few["invariance"][FAMILY] = {EVIL: {EVIL: drift}}
  drift["distance"]["runs"] = [EVIL]
  labels = few["labels"][FAMILY]
  labels["unit"] = EVIL
  task = labels["properties"].pop("task")
  task["arms"] = {EVIL: task["arms"]["dws, from scratch"]}
  task["improvement"] |= {"of": EVIL, "over": EVIL}
  labels["properties"] = {EVIL: task | {"metric": EVIL}}
  interrogations = {EVIL: example.interrogations(results)[FAMILY] | {
      "symbols": [EVIL] * 6, "encoder": EVIL,
  }}  # fmt: skip
  written = study_page.write(few, tmp_path, interrogations)
  page_text = written.read_text(encoding="utf-8")
  assert "<script>alert" not in page_text
  Reader(page_text)
  assert {p.parent.name for p in tmp_path.rglob("*.*")} <= {
      tmp_path.name, "figures", "tables",
  }  # fmt: skip


@pytest.mark.slow
def test_same_results_same_page(results, tmp_path):
  few = _of_one(results, "emulation", "codes")
  pictures = few["codes"][FAMILY]["pictures"]
  few["codes"][FAMILY]["pictures"] = {"dws": pictures["dws"]}
  first = study_page.write(few, tmp_path / "a").read_bytes()
  assert first == study_page.write(few, tmp_path / "b").read_bytes()


@pytest.mark.slow
def test_global_state_of_matplotlib_is_left_alone(tmp_path):
  program = f"""
import sys
import matplotlib
before = matplotlib.rcParams.copy()
from tests.report import example
from weightspace.report import study_page
results = example.make(rows=4, seeds=1)
study_page.write({{"emulation": results["emulation"]}}, {str(tmp_path)!r})
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
  subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["matplotlib", "pandas", "jinja2"])
def test_missing_libraries_say_what_to_install(
    results, tmp_path, monkeypatch, name
):
  monkeypatch.setitem(sys.modules, name, None)
  with pytest.raises(ImportError, match=r"pip install 'weightspace\[report\]'"):
    study_page.write(results, tmp_path / "report")
  assert not (tmp_path / "report").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "value, path",
    [
        ([1], ["zoos"]),
        (3, ["zoos", FAMILY, "steps"]),
        ([[1, 2, 3]], ["codes", FAMILY, "pictures", "dws", "pca"]),
        ([1.0], ["clones", FAMILY, "dws", "original"]),
        ([0.1], ["transcripts", FAMILY, "interactive", "probes"]),
        ("x", ["prediction", FAMILY, "frozen", "dws", "task", "strict",
               "by_step", "100", "test", "all_right", "value"]),
    ],
)  # fmt: skip
def test_damaged_results_are_refused_in_a_line(results, tmp_path, value, path):
  inner = changed = _of_one(results, path[0])
  for name in path[:-1]:
    inner = inner[name]
  inner[path[-1]] = value
  with pytest.raises(ValueError) as error:
    study_page.write(changed, tmp_path)
  assert "\n" not in str(error.value)


def test_results_of_before_are_named(tmp_path):
  with pytest.raises(ValueError, match="earlier version"):
    study_page.write({"zoo": {"steps": [1]}, "splits": {"x": 1}}, tmp_path)


@pytest.mark.parametrize("nothing", [{}, {"title": "x"}, [1]])
def test_no_results_are_refused(nothing, tmp_path):
  with pytest.raises(ValueError, match=r"nothing to report|must be a mapping"):
    study_page.write(nothing, tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"probes": "AA=="}, {"answers": "%"}, {"rows": [10**6]},
     {"shape": {"length": 0, "parallel": 1, "inputs": 6, "outputs": 6}}],
)  # fmt: skip
def test_damaged_interrogations_are_refused(results, change):
  interrogations = example.interrogations(results)
  interrogations[FAMILY] |= change
  with pytest.raises(ValueError, match="interrogations"):
    schema.check(results, interrogations)
