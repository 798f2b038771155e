"""The figure of tables that were read out of networks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weightspace.report import style, text

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_LOOKS = (style.Look(style.BLUE, "-", "o"), style.Look(style.ORANGE, "--", "s"))


@style.styled
def draw(measured: Mapping[str, Any]) -> "Figure":
  """Tables right against accuracy and states; words queried."""
  figure = style.new(3.4)
  by_accuracy, by_states, words = figure.subplots(1, 3)
  for (name, reader), look in zip(measured["readers"].items(), _LOOKS):
    cells = reader["by_accuracy"]
    _line(by_accuracy, [c["accuracy"] for c in cells], cells, look, name)
    cells = list(reader["by_states"].values())
    states = [int(n) for n in reader["by_states"]]
    _line(by_states, states, cells, look, name)
    words.plot(
        states, [c["words"] for c in cells], look.marker, linestyle=look.line,
        color=look.colour, label=name,
    )  # fmt: skip
  for axes in (by_accuracy, by_states):
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(lambda value, _: text.percent(value))
  by_accuracy.set(title="Whole tables right", xlabel="accuracy of the network")
  by_accuracy.xaxis.set_major_formatter(lambda value, _: text.percent(value))
  by_accuracy.locator_params(axis="x", nbins=4)
  by_states.set(title="Whole tables right", xlabel="states of its automaton")
  words.set(title="Words queried, median", xlabel="states of its automaton")
  words.set_yscale("log")
  words.yaxis.set_major_formatter(lambda value, _: text.count(value))
  for axes in (by_states, words):
    axes.set_xticks(states)
  for axes in (by_accuracy, by_states, words):
    axes.grid(color=style.FAINT, linewidth=0.4)
  handles, labels = by_accuracy.get_legend_handles_labels()
  figure.legend(handles, labels, loc="outside lower center", ncols=2)
  return figure


def _line(axes, places, cells, look, name):
  values = [c["value"] for c in cells]
  spread = [
      [value - c["low"] for value, c in zip(values, cells)],
      [c["high"] - value for value, c in zip(values, cells)],
  ]
  axes.errorbar(
      places, values, yerr=spread, color=look.colour, linestyle=look.line,
      marker=look.marker, markersize=4.5, elinewidth=1, label=name,
  )  # fmt: skip
