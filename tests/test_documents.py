"""The documents agree with the tree: commands, links, sizes, examples."""

import importlib.util
import pathlib
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from weightspace.progress import Progress
from zoo_gen import shards
from zoo_gen.configs import formal_languages

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "results/*/*.md")
    for path in ROOT.glob(pattern)
)
_PROSE = {path: path.read_text() for path in PAGES}


@pytest.mark.parametrize("name, lines", [
    ("README.md", 150), ("BUILD.md", 120), ("CHANGELOG.md", 80),
    ("docs/design.md", 80),
])  # fmt: skip
def test_a_document_stays_short(name, lines):
  assert len(_PROSE[ROOT / name].splitlines()) <= lines


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
  for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", _PROSE[path]):
    if not target.startswith("http"):
      name = re.sub(r"\.md$", "", target)
      assert (path.parent / target).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_name_modules_that_exist(path):
  for name in re.findall(r"python -m ((?:experiments|zoo_gen)[\w.]*\w)",
                         _PROSE[path]):  # fmt: skip
    assert importlib.util.find_spec(name), name
  for name in re.findall(r"`((?:experiments|zoo_gen)\.\w+)`", _PROSE[path]):
    assert importlib.util.find_spec(name), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_configs_exist(path):
  names = re.findall(r"((?:experiments|zoo_gen)/configs/\w+\.py)", _PROSE[path])
  for name in names:
    assert (ROOT / name).exists(), name


def test_the_picture_names_packages_that_exist():
  root = ElementTree.parse(ROOT / "docs/architecture.svg").getroot()
  texts = {"".join(e.itertext()) for e in root.iter() if e.get("class")}
  named = {text for text in texts if re.fullmatch(r"weightspace\.\w+", text)}
  assert named
  for name in named:
    assert importlib.util.find_spec(name), name


@pytest.mark.slow
def test_the_library_example_of_the_readme_runs(tmp_path):
  config = formal_languages.get_config("tiny").to_dict()
  shards.generate(
      tmp_path / "zoo", shards.plan(config), progress=Progress.silent()
  )
  (code,) = re.findall(
      r"```python\n(.*?)```", _PROSE[ROOT / "README.md"], re.DOTALL
  )
  names = {}
  exec(code.replace("/tmp/weightspace", str(tmp_path)), names)
  code_of = names["encoder"].embed
  np.testing.assert_allclose(
      code_of(names["augmented"], names["zoo"].rnn), names["result"].code,
      atol=1e-5,
  )  # fmt: skip
  rnn, weights = names["torch_format"].load(tmp_path / "lstm.safetensors")
  np.testing.assert_array_equal(
      rnn.flatten(weights), rnn.flatten(names["weights"])
  )
