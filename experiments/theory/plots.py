"""Figures of the theory's page: results -> matplotlib Figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from weightspace.report import style, text

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# In the order of tables and legends
ARMS = {
    "interactive, echoing": 0,
    "interactive": 1,
    "non-interactive": 2,
    "non-interactive, one string": 3,
}
_LOOKS = {
    "interactive, echoing": style.look("interactive"),
    "interactive": style.Look("#009e73", (0, (5, 1.5)), "s"),
    "non-interactive": style.Look(style.ORANGE, (0, (1.5, 1)), "^"),
    "non-interactive, one string": style.Look("#cc79a7", (0, (3, 1)), "v"),
}
_KINDS = {
    "noninteractive": ("non-interactive", _LOOKS["non-interactive"]),
    "interactive": ("interactive", _LOOKS["interactive, echoing"]),
}


@style.styled
def exact(families: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Figure":
  """Queries against functions, solved and in closed form, a panel each."""
  figure = style.new(3.3)
  panels = figure.subplots(1, len(families), sharey=True)
  for axes, (name, solved) in zip(panels, families.items()):
    solved = [one for one in solved if one["functions"] > 1]
    count = [one["functions"] for one in solved]
    axes.plot(
        count, [n - 1 for n in count], color=style.GREY, linewidth=1,
        linestyle=(0, (4, 3)), label="|D| − 1",
    )  # fmt: skip
    for kind, (label, look) in _KINDS.items():
      closed = [one["closed_form"][kind] for one in solved]
      axes.plot(count, closed, color=look.colour, linewidth=1.2)
      shown = _spread(count)
      axes.plot(
          [count[i] for i in shown], [solved[i][kind] for i in shown],
          look.marker, color=look.colour, label=label,
          markersize=4 if kind == "interactive" else 6.5,
          markerfacecolor="white" if kind == "interactive" else look.colour,
      )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.xaxis.set_major_formatter(_plain)
    axes.yaxis.set_major_formatter(_plain)
    axes.grid(color=style.FAINT, linewidth=0.4)
    axes.set(title=name.capitalize(), xlabel="functions |D|")
  panels[0].set_ylabel("queries that are needed")
  panels[-1].legend(loc="upper left")
  return figure


def _plain(value, _):
  return text.count(value)


def _spread(values):
  """Indices of values that stand well apart on a logarithmic axis."""
  kept = []
  for i, value in enumerate(values):
    if not kept or value >= 1.35 * values[kept[-1]]:
      kept.append(i)
  return kept


@style.styled
def revealed(built: Sequence[Mapping[str, Any]]) -> "Figure":
  """Bits of the word that one rollout tells, against its length."""
  figure = style.new(3.3)
  axes, near = figure.subplots(1, 2)
  depths = sorted({row["depth"] for row in built})
  fine = np.linspace(min(depths), max(depths), 200)
  echo, fixed = _LOOKS["interactive, echoing"], _LOOKS["non-interactive"]
  for panel in (axes, near):
    panel.plot(fine, 2 - 2.0 ** (1 - fine), color=fixed.colour, linewidth=1.2)
    for row in built:
      bits = row["bits"]
      panel.plot(
          [row["depth"]] * 2, [bits["least"], bits["most"]], fixed.marker,
          color=fixed.colour, markersize=5,
      )  # fmt: skip
    panel.set_xlabel("depth d")
    panel.set_xticks(depths)
    panel.grid(axis="y", color=style.FAINT, linewidth=0.4)
  axes.plot(fine, fine, color=echo.colour, linewidth=1.2)
  read = [row for row in built if row["echoed"] == row["networks"]]
  axes.plot(
      [row["depth"] for row in read], [row["depth"] for row in read],
      echo.marker, color=echo.colour, markersize=5, markerfacecolor="white",
  )  # fmt: skip
  end = max(depths)
  axes.annotate(
      "echoed answers", (end, end), xytext=(-12, -2),
      textcoords="offset points", ha="right", color=echo.colour,
  )  # fmt: skip
  axes.annotate(
      "fixed string", (end, 2), xytext=(0, 8), textcoords="offset points",
      ha="right", color=fixed.colour,
  )  # fmt: skip
  axes.set(title="Bits of the word revealed by one rollout", ylim=(0, None))
  near.set(title="The fixed string, closer: 2 − 2$^{1−d}$", ylim=(0.95, 2.05))
  near.axhline(2, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)))
  return figure


@style.styled
def learning(learned: Mapping[str, Any]) -> "Figure":
  """Accuracy and bits of trained encoders beside their predictions."""
  figure = style.new(4.3)
  panels = figure.subplots(1, 2)
  depths = learned["config"]["depths"]
  for axes, measure in zip(panels, ("accuracy", "bits")):
    for name, place in ARMS.items():
      arms = [arm for arm in learned["arms"] if arm["arm"] == name]
      if arms:
        _arm(axes, arms, measure, _LOOKS[name], 0.12 * (place - 1.5))
    axes.set_xticks(depths)
    axes.set_xlabel("depth d, bits of the word")
    axes.grid(axis="y", color=style.FAINT, linewidth=0.4)
  panels[0].yaxis.set_major_formatter(lambda value, _: text.percent(value))
  panels[0].set(title="Words identified, all bits right", ylim=(-0.03, 1.05))
  panels[1].set(title="Bits of the word read", ylim=(0, max(depths) + 0.5))
  handles, labels = panels[0].get_legend_handles_labels()
  (line,) = panels[0].plot([], [], color=style.GREY, linewidth=1.3)
  budget = learned["config"]["budget"]
  labels = [
      label if label.endswith("one string") else f"{label}, {budget} queries"
      for label in labels
  ]
  figure.legend(
      [*handles, line], [*labels, "predicted"], loc="outside lower center",
      ncols=3, columnspacing=3,
  )  # fmt: skip
  return figure


def _arm(axes, arms, measure, look, shift):
  """One encoder: the line predicted, means with intervals, single seeds."""
  depths = np.array([arm["depth"] for arm in arms], float)
  if arms[0]["arm"] != "interactive":  # it shares the line of the echoing one
    axes.plot(
        depths, [arm["predicted"][measure] for arm in arms], color=look.colour,
        linestyle=look.line, linewidth=1.3,
    )  # fmt: skip
  estimates = [arm[measure] for arm in arms]
  for x, estimate in zip(depths + shift, estimates):
    axes.plot(
        [x, x], [estimate["low"], estimate["high"]], color=look.colour,
        linewidth=1.3,
    )  # fmt: skip
    axes.plot(
        [x] * len(estimate["seeds"]), estimate["seeds"], look.marker,
        color=look.colour, markersize=2.8, alpha=0.7, linestyle="none",
    )  # fmt: skip
  axes.plot(
      depths + shift, [estimate["value"] for estimate in estimates],
      look.marker, color=look.colour, markersize=6.5, markerfacecolor="white",
      markeredgewidth=1.4, linestyle="none", label=arms[0]["arm"],
  )  # fmt: skip
