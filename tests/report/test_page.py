"""The page is whole, asks nothing of the outside, and bears partial results."""

import base64
import copy
import html.parser
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.report import example
from weightspace.report import page

ROOT = pathlib.Path(__file__).parents[2]
VOID = {"meta", "link", "img", "br", "hr", "input"}
SECTIONS = {
    "zoo": "The networks",
    "emulation": "Codes from emulation",
    "codes": "What the codes look like",
    "prediction": "What the codes tell",
    "transcripts": "An interrogation",
    "note": "What it takes",
}


class Reader(html.parser.HTMLParser):
  """Collects what is loaded and insists that every tag is closed."""

  def __init__(self, source):
    super().__init__()
    self.open, self.loaded, self.tags = [], [], []
    self.feed(source)
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
  return example.make(rows=120)


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
  return page.write(results, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def source(written):
  return written.read_text(encoding="utf-8")


def test_page_is_html_with_every_section(source):
  reader = Reader(source)
  titles = re.findall("<h2>(.*?)</h2>", source)
  for title in SECTIONS.values():
    assert any(found.startswith(title) for found in titles), title
  assert ("html", {"lang": "en"}) in reader.tags
  pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
  assert len(pictures) == 8
  assert all(attrs["alt"] for attrs in pictures)


def test_a_page_that_is_not_html_is_noticed(source):
  with pytest.raises(AssertionError, match="stray"):
    Reader(source.replace("</figure>", "", 1))


def test_nothing_is_loaded_from_outside(source):
  for address in Reader(source).loaded:
    assert address.startswith("data:"), address[:80]
  assert "http://" not in source
  assert "https://" not in source
  assert not re.search(r"@import|url\(|fetch\(|XMLHttp|[\"'(]//\w", source)


def test_pictures_load_nothing_either(source):
  found = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', source)
  assert len(found) == 8
  for picture in found:
    for element in ElementTree.fromstring(base64.b64decode(picture)).iter():
      for name, value in element.attrib.items():
        if name.endswith(("href", "src")):
          assert value.startswith(("data:", "#")), value[:80]


def test_every_figure_is_a_file_too(written, source):
  names = set(re.findall('<figure id="([^"]*)">', source))
  folder = written.parent / "figures"
  assert {p.name for p in folder.iterdir()} == {
      f"{name}.{ending}" for name in names for ending in ("png", "svg")
  }
  assert all(p.stat().st_size > 1000 for p in folder.iterdir())
  assert {"zoo", "emulation", "codes-interactive", "accuracy"} <= names


def test_headline_numbers(results, source):
  text = re.sub("<[^>]*>|&nbsp;|\N{NO-BREAK SPACE}", " ", source)
  gain = results["emulation"]["encoders"]["interactive"]["gain"]["ood"]
  assert f"remove {100 * gain['value']:.0f} %" in re.sub(r"\s+", " ", text)
  assert "320 small recurrent networks" in text
  assert "1,638 weights" in text


@pytest.mark.parametrize("kept", sorted(set(SECTIONS) - {"note"}))
def test_sections_without_results_are_left_out(results, tmp_path, kept):
  few = {kept: results[kept]}
  if kept == "codes":
    few = {"codes": {"statistics": results["codes"]["statistics"]}}
    few["rows"] = results["rows"]
  if kept == "transcripts":
    few = {kept: results[kept][:1]}
  source = page.write(few, tmp_path).read_text(encoding="utf-8")
  Reader(source)
  (title,) = re.findall("<h2>(.*?)</h2>", source)
  assert title.startswith(SECTIONS[kept])


def test_optional_keys_may_be_missing(results, tmp_path):
  few = {"emulation": copy.deepcopy(results["emulation"])}
  del few["emulation"]["paper"]
  for encoder in few["emulation"]["encoders"].values():
    for name in ("curve", "validation_curve", "ood", "gain", "parameters"):
      encoder.pop(name, None)
  source = page.write(few, tmp_path).read_text()
  Reader(source)
  assert "the paper" not in source.lower()


def test_no_gain_is_not_called_one(results, tmp_path):
  few = {"emulation": copy.deepcopy(results["emulation"])}
  for name in ("statistics", "interactive"):
    gain = few["emulation"]["encoders"][name]["gain"]
    gain["ood"] = {"value": 0.02, "low": -0.03, "high": 0.05}
  source = page.write(few, tmp_path).read_text()
  assert "do not clearly beat" in re.sub(r"\s+", " ", source)


def test_networks_that_diverged_are_left_out_of_pictures(results, tmp_path):
  few = {k: copy.deepcopy(results[k]) for k in ("zoo", "rows")}
  few["codes"] = {"interactive": copy.deepcopy(results["codes"]["interactive"])}
  few["zoo"]["final_accuracy"][:2] = [None, float("nan")]
  few["zoo"]["diverged"] = 2
  few["rows"]["accuracy"][0] = None
  few["codes"]["interactive"]["pca"][0] = [None, None]
  source = page.write(few, tmp_path).read_text()
  assert "2 diverged" in source
  assert "NaN" not in re.search('id="points.*?</script>', source, re.S)[0]


def test_strings_are_escaped(results, tmp_path):
  evil = "</script><script>alert(1)</script>\"'&"
  few = copy.deepcopy(
      {k: results[k] for k in ("rows", "emulation", "prediction")}
  )
  few["codes"] = {evil: copy.deepcopy(results["codes"]["interactive"])}
  few["rows"]["language"][0] = evil
  few |= {"title": evil, "command": evil, "note": evil, "commit": evil}
  few |= {"software": {evil: evil}, "seconds": {evil: 1.0}, "seed": evil}
  few["emulation"]["encoders"][evil] = few["emulation"]["encoders"].pop(
      "interactive"
  )
  few["transcripts"] = [results["transcripts"][0] | {
      "language": evil, "sample": evil, "symbols": [evil] * 6,
  }]  # fmt: skip
  source = page.write(few, tmp_path).read_text()
  assert "<script>alert" not in source
  scripts = [a for tag, a in Reader(source).tags if tag == "script"]
  assert len(scripts) == 2  # the points and ours


def test_a_zoo_of_digits_is_no_zoo_of_languages(tmp_path):
  written = page.write(example.digits(), tmp_path)
  words = written.read_text()
  for unseen in (r"(?s)<(script|style).*?</\1>", r"<[^>]*>"):
    words = re.sub(unseen, "", words)
  assert "A network for digits rotated by 123.4°" in " ".join(words.split())
  assert "23.4°" in words
  assert "blind guessing: 90°" in words
  assert "No angle is in two splits" in words
  for other in ("anguage", "symbol", "string", "strict accuracy", "OOD task"):
    assert other not in words.replace(example.digits()["note"], "")


def test_same_results_same_page(results, tmp_path):
  few = {"zoo": results["zoo"], "emulation": results["emulation"]}
  first = page.write(few, tmp_path / "a").read_bytes()
  assert first == page.write(few, tmp_path / "b").read_bytes()


def test_global_state_of_matplotlib_is_left_alone(results, tmp_path):
  import matplotlib

  before = dict(matplotlib.rcParams)
  page.write({"emulation": results["emulation"]}, tmp_path)
  assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported(tmp_path):
  program = f"""
import sys
from tests.report import example
from weightspace.report import page
results = example.make(rows=20)
page.write({{"emulation": results["emulation"]}}, {str(tmp_path)!r})
assert "matplotlib.pyplot" not in sys.modules
"""
  subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_missing_matplotlib_says_what_to_install(
    results, tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  with pytest.raises(ImportError, match=r"pip install 'weightspace\[report\]'"):
    page.write(results, tmp_path / "report")
  assert not (tmp_path / "report").exists()
