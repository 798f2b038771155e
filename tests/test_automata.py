"""Tables read out of networks: refusals, and the figure of what was kept."""

import json
import pathlib

import numpy as np
import pytest

from experiments.automata import figure, measure
from weightspace.errors import UserError
from weightspace.progress import Progress

KEPT = pathlib.Path(__file__).parents[1] / "results/automata/tables.json"


def test_zoos_of_other_families_are_refused(tiny_zoo):
  with pytest.raises(UserError, match="formal_language, not of regular_lang"):
    measure.measure(
        tiny_zoo, lstar=False, networks=None, progress=Progress.silent()
    )


def test_the_figure_shows_the_numbers_of_both_readers():
  measured = json.loads(KEPT.read_text(encoding="utf-8"))
  drawn = figure.draw(measured)
  for axes, name in zip(drawn.axes, ("by_accuracy", "by_states")):
    lines = [one.lines[0] for one in axes.containers]
    assert len(lines) == 2
    for line, reader in zip(lines, measured["readers"].values()):
      cells = reader[name]
      cells = cells.values() if name == "by_states" else cells
      values = [cell["value"] for cell in cells]
      np.testing.assert_array_equal(line.get_ydata(), values)
