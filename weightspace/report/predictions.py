"""Figures of what heads predict from codes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weightspace.report import charts, style, vocabulary
from weightspace.report.frame import ALL, FINAL, select

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.figure import Figure

MOST_PROPERTIES = 6  # whose predictions are drawn, in two lines
WORST_R2 = -1.0  # that is drawn
_ACROSS = 4  # properties in a line


@style.styled
def prediction(
    frame: "pd.DataFrame", task: str, guesses: "pd.DataFrame"
) -> "Figure":
  """Headline metrics on the OOD test: a panel a property and protocol.

  Of what a task is, final snapshots where they are known apart; else all. A
  dashed line is the guess of the most frequent class of training. R² that is
  less than `WORST_R2` is drawn there.
  """
  rows = charts.headlines(select(frame, part="test", snapshot=[ALL, FINAL]))
  of_final = select(rows, snapshot=FINAL, property=["task", "angle"])
  names_of_final = set(of_final["property"])
  rows = _of_snapshots(rows, names_of_final)
  numbers = ["value", "low", "high"]
  clipped = rows[numbers].clip(lower=WORST_R2)
  rows = rows.assign(**clipped.where(rows["metric"] == "r2", rows[numbers]))
  guesses = select(guesses, snapshot=[ALL, FINAL])
  guesses = _of_snapshots(guesses, names_of_final)
  names, places = charts.of_encoders(rows)
  shown = list(dict.fromkeys(zip(rows["property"], rows["metric"])))
  protocols = [p for p in charts.PROTOCOLS if p in set(rows["protocol"])]
  across = min(len(shown), _ACROSS)
  blocks = -(-len(shown) // across)
  figure = style.new(
      ((0.75 + 0.27 * len(names)) * len(protocols) + 0.3) * blocks
  )
  panels = figure.subplots(
      blocks * len(protocols), across, squeeze=False, sharey=True
  )

  def drawn(row):
    frozen = row.way == "frozen"
    return style.look(row.encoder), frozen, 0.14 if frozen else -0.14

  for i, (property_, metric) in enumerate(shown):
    block, column = divmod(i, across)
    above = panels[block * len(protocols) : (block + 1) * len(protocols)]
    for axes, protocol in zip(above[:, column], protocols):
      wanted = {"protocol": protocol, "property": property_, "metric": metric}
      charts.dots(axes, select(rows, **wanted), places, drawn, size=5)
      charts.name_encoders(axes, names)
      for guess in select(guesses, **wanted)["value"]:
        axes.axvline(
            guess, color=style.GREY, linewidth=1, linestyle=(0, (4, 3))
        )
      axes.sharex(above[0, column])
      if column == 0:
        title = charts.PROTOCOLS[protocol].format(task=task)
        axes.set_title(charts.capital(title), fontweight="bold")
    better = "less" if vocabulary.less_is_better(metric) else "more"
    final = ", final networks" if property_ in names_of_final else ""
    axes.set_xlabel(
        f"{vocabulary.property_(property_)}{final}:\n"
        f"{vocabulary.measure(metric)}, {better} is better"
    )
    axes.locator_params(axis="x", nbins=4)
    charts.set_unit(axes.xaxis, metric)
  for axes in panels[-len(protocols):, (len(shown) - 1) % across + 1 :].flat:
    axes.set_visible(False)
  return figure


def _of_snapshots(rows, names_of_final):
  """Rows of final snapshots of these properties, of all of others."""
  final = rows["property"].isin(names_of_final)
  return rows[(rows["snapshot"] == FINAL) == final]


@style.styled
def accuracy(entry: Mapping[str, Any], family: str) -> "Figure":
  """Accuracy that a head predicts from codes against the actual one."""
  words = vocabulary.of_family(family)
  figure = style.new(3.6)
  axes, errors = figure.subplots(1, 2, width_ratios=(1.15, 1))
  predicted = style.floats(entry["predicted"])
  actual = style.floats(entry["actual"])
  axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=1)
  axes.scatter(
      actual, predicted, s=14, alpha=0.35, color=style.BLUE, linewidths=0,
      rasterized=True,
  )  # fmt: skip
  axes.set(
      title=f"Networks of held-out {words.tasks}",
      xlabel=f"actual {words.accuracy}",
      ylabel="accuracy predicted from the code",
      xlim=(-0.03, 1.03),
      ylim=(
          min(-0.03, *(predicted - 0.02)), max(1.03, *(predicted + 0.02))
      ),
  )  # fmt: skip
  style.shares(axes.xaxis)
  style.shares(axes.yaxis)
  error = style.finite(predicted - actual)
  most = max(0.3, float(np.abs(error).max(initial=0)))
  errors.hist(
      error, bins=np.linspace(-most, most, 31), color=style.BLUE,
      edgecolor="white",
  )  # fmt: skip
  errors.axvline(0, color=style.INK, linewidth=1, linestyle=(0, (2, 2)))
  errors.set(
      title="Error", xlabel="predicted − actual [percentage points]",
      ylabel="networks", xlim=(-most, most),
  )  # fmt: skip
  style.shares(errors.xaxis, signed=True)
  return figure


@style.styled
def predicted(entry: Mapping[str, Any]) -> "Figure":
  """Numbers and angles that heads predict from codes against actual ones."""
  shown = entry["properties"][:MOST_PROPERTIES]
  figure, panels = style.grid(len(shown), 2.5)
  for axes, one in zip(panels.ravel(), shown):
    points = [style.floats(one[name]) for name in ("actual", "predicted")]
    ends = (0, 360)
    if one["kind"] != "direction":
      known = np.concatenate([values[np.isfinite(values)] for values in points])
      margin = 0.05 * max(np.ptp(known), 1e-9)
      ends = (known.min() - margin, known.max() + margin)
    axes.plot(ends, ends, color=style.GREY, linewidth=1)
    axes.scatter(
        *points, s=14, alpha=0.5, color=style.BLUE, linewidths=0,
        rasterized=True,
    )  # fmt: skip
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_title(vocabulary.property_(one["name"]))
    for axis in (axes.xaxis, axes.yaxis):
      if one["kind"] == "direction":
        axis.set_ticks(range(0, 361, 90), [f"{v}°" for v in range(0, 361, 90)])
      else:
        axis.get_major_locator().set_params(nbins=5)
    axes.set_xlabel("actual")
  for line in panels:
    line[0].set_ylabel("predicted from the code")
  return figure
