"""The notebooks of the documentation run, and are rendered with what they say.

They share one folder, as in `python -m docs.build`: the zoo is made once.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.figure import Figure

from docs import build, pages, percent, reference
from weightspace import encoders, tasks

# None is loaded by a page that somebody reads offline
_REMOTE = re.compile(r'(?:src|<link[^>]* href)="?(?:https?:)?//|@import|url\(h')


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(autouse=True)
def plug_ins(monkeypatch):
  """Those of a notebook are gone after it."""
  for package in (tasks, encoders):
    monkeypatch.setattr(package, "__path__", list(package.__path__))
  yield
  for package, name in ((tasks, "echo"), (encoders, "spectra")):
    sys.modules.pop(f"{package.__name__}.{name}", None)
    vars(package).pop(name, None)


def test_all_are_listed():
  found = (pages.HERE / "notebooks").glob("*.py")
  assert sorted(build.NOTEBOOKS) == sorted(path.stem for path in found)


@pytest.mark.parametrize("name", build.NOTEBOOKS)
def test_notebook(name, workdir, monkeypatch):
  monkeypatch.setenv("WEIGHTSPACE_NOTEBOOKS", str(workdir))
  path = pages.HERE / "notebooks" / f"{name}.py"
  cells = percent.parse(path.read_text())
  found = list(percent.run(cells, str(path)))
  outputs = [output for _, output in found if output]
  printed = "".join(output.printed for output in outputs)
  pictures = [o.value for o in outputs if isinstance(o.value, Figure)]
  assert printed and pictures
  assert "nan" not in printed
  assert (workdir / f"{name}.png").stat().st_size > 10_000
  html = pages.page(pages.title(cells), pages.notebook(found))
  assert html.count("<img ") == len(pictures)
  assert not _REMOTE.search(html)
  CLAIMS[name](printed, pictures)


def _zoo(printed, pictures):
  right = re.findall(r"after \d+ steps, (\d+)% of strings", printed)
  assert int(right[-1]) > int(right[0])


def _network(printed, pictures):
  assert "outside of what it was trained on" in printed
  assert "of 6 units, those of its zoo lstm of 12 units" in printed
  # As its weights were written down: a letter again, or the next one
  assert "after ^: 1.00 0.00 0.00 0.00 0.00 0.00" in printed
  assert "after b: 0.00 0.50 0.50 0.00 0.00 0.00" in printed


def _task(printed, pictures):
  assert "families: echo, formal_language" in printed
  (right,) = re.findall(r"(\d+) of 30 depend most on what", printed)
  assert int(right) > 10  # of 17 symbols; by chance it would be 2


def _encoder(printed, pictures):
  weights, code = re.findall(r"change by up to (\S+)", printed)
  assert float(weights) > 0.1 and float(code) < 1e-4
  loss = dict(re.findall(r"(\w+) +validation loss (\S+)", printed))
  assert float(loss["spectra"]) < float(loss["constant"])


CLAIMS = {
    "look_at_a_zoo": _zoo,
    "your_own_network": _network,
    "your_own_task": _task,
    "your_own_encoder": _encoder,
}


def test_a_cell_shows_its_last_expression():
  cells = percent.parse("# %%\nx = 2\nprint(x)\nx + 1\n# %%\nx = 5\n")
  outputs = [output for _, output in percent.run(cells, "n.py")]
  assert outputs == [("2\n", 3), ("", None)]


def test_a_traceback_names_the_line():
  cells = percent.parse("# %% [markdown]\n# # A\n# %%\nx = 1\n1 / 0\n")
  with pytest.raises(ZeroDivisionError) as error:
    list(percent.run(cells, "n.py"))
  last = error.traceback[-1]
  assert (str(last.path), last.lineno + 1) == ("n.py", 5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n# %%\n", "line 1: a notebook begins with a cell"),
        ("# %%\n# %% [raw]\n# a\n", r"line 2: a cell begins .* '# %% \[raw\]'"),
        ("# %% [markdown]\n# a\nb\n", "line 3: prose is written as comments"),
    ],
)
def test_what_is_no_notebook_is_refused(source, message):
  with pytest.raises(ValueError, match=message):
    percent.parse(source)


def test_code_is_escaped_and_files_are_code():
  file = "A = '''\\\nif 1 < 2:\n  pass\n'''\n"
  cells = percent.parse("# %%\n" + file + "print('<b>')\n")
  html = pages.notebook(percent.run(cells, "n.py"))
  assert "<b>" not in html and "&lt;b&gt;" in html
  assert '<span class="k">if</span>' in html


def test_the_picture_names_packages_that_exist():
  root = ElementTree.parse(pages.HERE / "architecture.svg").getroot()
  words = {"".join(e.itertext()) for e in root.iter() if e.get("class")}
  named = {w for w in words if re.fullmatch(r"weightspace\.\w+", w)}
  assert len(named) > 10
  for name in named:
    __import__(name)


def test_the_index_leads_to_every_page():
  html = pages.index([("a.html", "A <b>", "Of `x`.")])
  assert '<a href="a.html">A &lt;b&gt;</a>' in html
  assert "<svg" in html and not _REMOTE.search(html)


def test_the_reference_says_what_docstrings_say(tmp_path):
  reference.write(tmp_path, ("weightspace.rnn",))
  html = (tmp_path / "weightspace" / "rnn.html").read_text()
  assert "Cells stacked, with a linear read-out" in html
  assert "Alias for field" not in html and "Create new instance" not in html
  assert "url=../index.html" in (tmp_path / "index.html").read_text()
