"""Plug-ins are found by their files."""

import sys

import pytest

from weightspace import cells, plugins

MODULE = "NAME = __name__"


def test_names_are_those_of_the_files():
  names = plugins.names("weightspace.cells")
  assert {"elman", "gru", "lstm"} <= set(names)
  assert list(names) == sorted(names)


def test_a_new_file_is_a_plugin(plant):
  plant("weightspace.cells", "minimal", MODULE)
  assert "minimal" in cells.names()
  module = plugins.load("weightspace.cells", "minimal")
  assert module.NAME == "weightspace.cells.minimal"


def test_a_planted_plugin_is_gone_afterwards():
  assert "minimal" not in cells.names()


def test_modules_with_an_underscore_are_no_plugins(plant):
  plant("weightspace.cells", "_shared", MODULE)
  assert "_shared" not in plugins.names("weightspace.cells")
  with pytest.raises(ValueError, match="no plug-in '_shared'"):
    plugins.load("weightspace.cells", "_shared")


def test_an_unknown_name_is_refused_naming_the_nearest():
  with pytest.raises(ValueError) as error:
    plugins.load("weightspace.cells", "lstn")
  assert "weightspace.cells has no plug-in 'lstn'" in str(error.value)
  assert "did you mean 'lstm'?" in str(error.value)
  assert "elman, gru, lstm" in str(error.value)


def test_nothing_is_named_when_nothing_is_near():
  with pytest.raises(ValueError) as error:
    plugins.load("weightspace.cells", "transformer")
  assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("name", ["", "lstm.State", "..rnn", "lstm ", "LSTM"])
def test_only_names_of_files_are_accepted(name):
  with pytest.raises(ValueError, match="no plug-in"):
    plugins.load("weightspace.cells", name)


def test_an_error_inside_a_plugin_is_not_hidden(plant):
  plant("weightspace.cells", "faulty", "import a_module_that_is_not_there")
  with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
    plugins.load("weightspace.cells", "faulty")


@pytest.mark.parametrize(
    "name, known, expected",
    [
        ("legnth", ("length", "width"), ", did you mean 'length'?"),
        ("length", (), ""),
        ("zzz", ("length",), ""),
    ],
)
def test_nearest(name, known, expected):
  assert plugins.nearest(name, known) == expected


@pytest.fixture
def installed(tmp_path, monkeypatch):
  """`installed(group, name, text)` makes a package with an entry point."""

  def install(group, name, text):
    (tmp_path / "my_plug_in.py").write_text(text)
    info = tmp_path / "my_plug_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: my_plug_in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = my_plug_in\n")

  monkeypatch.syspath_prepend(tmp_path)
  plugins._installed.cache_clear()
  yield install
  plugins._installed.cache_clear()
  sys.modules.pop("my_plug_in", None)


def test_installed_packages_add_plug_ins_by_entry_points(installed):
  installed("weightspace.cells", "minimal", "NAME = __name__")
  assert "minimal" in cells.names()
  assert plugins.load("weightspace.cells", "minimal").NAME == "my_plug_in"
  assert "minimal" not in plugins.names("weightspace.tasks")


def test_entry_points_take_names_that_are_free(installed):
  installed("weightspace.cells", "lstm", "")
  with pytest.raises(ValueError, match="'lstm' of my_plug_in names a plug-in"):
    cells.load("lstm")
