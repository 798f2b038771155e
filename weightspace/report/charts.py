"""Figures of numbers with intervals, made of the rows of a tidy frame."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from weightspace.report import style, text, vocabulary
from weightspace.report.frame import select

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.figure import Figure

CLAIM = 25  # per cent, the claimed gain of pretraining with few labels
PROTOCOLS = {
    "strict": "heads saw no OOD {task}",
    "paper": "heads saw half of them",
}


def dots(axes, rows, places, style_of, *, size=6):
  """A dot with its interval for each row, at the place of its encoder.

  Args:
    axes: to draw on.
    rows: of a tidy frame.
    places: y by encoder.
    style_of: (row) -> how to draw it, whether it is filled, offset in y.
    size: of dots.
  """
  for row in rows.itertuples():
    drawn, filled, offset = style_of(row)
    y = places[row.encoder] + offset
    axes.plot([row.low, row.high], [y, y], color=drawn.colour, linewidth=1.6)
    axes.plot(
        [row.value], [y], drawn.marker, color=drawn.colour, markersize=size,
        markerfacecolor=drawn.colour if filled else "white",
        markeredgewidth=1.3,
    )  # fmt: skip


def name_encoders(axes, names):
  """The names of encoders at the ticks of the y axis, the last on top."""
  axes.set_yticks(range(len(names)), [vocabulary.encoder(n) for n in names])
  axes.set_ylim(-0.6, len(names) - 0.4)
  axes.tick_params(axis="y", length=0)
  axes.spines["left"].set_visible(False)
  axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
  axes.set_axisbelow(True)


def of_encoders(rows):
  """Encoders of rows by their place, the paper's order from top to bottom."""
  names = vocabulary.ordered(dict.fromkeys(rows["encoder"]))[::-1]
  return names, {name: y for y, name in enumerate(names)}


def _line(axes, rows, drawn, label, hollow=False):
  """A line through rows, over their settings, with intervals."""
  x = rows["setting"].astype(float)
  axes.fill_between(
      x, rows["low"], rows["high"], color=drawn.colour, alpha=0.13, linewidth=0
  )
  axes.plot(
      x, rows["value"], color=drawn.colour, linestyle=drawn.line,
      marker=drawn.marker, markersize=5, label=label,
      markerfacecolor="white" if hollow else drawn.colour,
  )  # fmt: skip
  axes.vlines(x, rows["low"], rows["high"], color=drawn.colour, linewidth=0.9)


def _doublings(axes, values):
  """A logarithmic axis with just these values as its ticks."""
  from matplotlib.ticker import FixedLocator, NullLocator

  values = sorted(set(values))
  if min(values) > 0:
    axes.set_xscale("log", base=2)
  axes.xaxis.set_major_locator(FixedLocator(values))
  axes.xaxis.set_minor_locator(NullLocator())
  axes.xaxis.set_major_formatter(lambda v, _: text.count(float(v)))


def set_unit(axis, metric):
  """Ticks in the unit of a metric."""
  shown = vocabulary.write(metric)(0.0)
  if shown.endswith("%"):
    axis.set_major_formatter(lambda v, _: text.percent(v))
  elif shown.endswith("°"):
    axis.set_major_formatter(lambda v, _: f"{v:.0f}°")


def capital(words: str) -> str:
  """The words as a sentence begins."""
  return words[:1].upper() + words[1:]


@style.styled
def emulation(frame: "pd.DataFrame", divergence: str, tasks: str) -> "Figure":
  """Losses with 95 % intervals, the paper's in a panel of their own."""
  rows = select(frame, metric=divergence)
  own, paper = select(rows, way=""), select(rows, way="paper")
  shown = [part for part in (own, paper) if len(part)]
  heights = [part["encoder"].nunique() for part in shown]
  figure = style.new(0.9 + 0.42 * sum(heights) + 0.5 * len(heights))
  panels = figure.subplots(
      len(shown), 1, sharex=True, height_ratios=heights, squeeze=False
  )[:, 0]

  def drawn(row):
    held_out = row.part == "ood"
    if row.way == "paper":
      look = style.look(row.encoder)
      return look._replace(colour=style.GREY), True, 0
    return style.look(row.encoder), not held_out, -0.13 if held_out else 0.13

  for axes, part in zip(panels, shown):
    names, places = of_encoders(part)
    dots(axes, part, places, drawn, size=6.5)
    name_encoders(axes, names)
    if part is paper:
      axes.set_facecolor("#f3f3f3")
      axes.set_title(
          "The paper, validation: another scale, not comparable one to one"
      )
    else:
      axes.set_title(
          f"This run: filled, validation {tasks}; hollow, held-out ones"
      )
  panels[-1].set_xlim(left=0)
  words = capital(vocabulary.divergence(divergence))
  panels[-1].set_xlabel(f"{words}, less is better")
  return figure


def headlines(frame: "pd.DataFrame") -> "pd.DataFrame":
  """The rows of each property's headline metric."""
  first = {
      name: vocabulary.headline(name, rows["metric"].unique())
      for name, rows in frame.groupby("property", sort=False)
  }
  return frame[frame["metric"] == frame["property"].map(first)]


@style.styled
def few_labels(frame: "pd.DataFrame", unit: str) -> "Figure":
  """What arms reach, against how many labels there are; the gain below."""
  properties = list(dict.fromkeys(frame["property"]))
  gains = select(frame, metric="improvement")
  lines = 2 if len(gains) else 1
  figure = style.new(2.9 + 2.0 * (lines - 1) + 0.5)
  panels = figure.subplots(
      lines, len(properties), squeeze=False, sharex=True,
      height_ratios=(1.5, 1)[:lines],
  )  # fmt: skip
  handles = {}
  for column, name in zip(panels.T, properties):
    rows = select(frame, property=name)
    arms = rows[rows["metric"] != "improvement"]
    metric = arms["metric"].iloc[0]
    for (encoder, way), arm in arms.groupby(["encoder", "way"], sort=False):
      hollow = "scratch" in way
      drawn = style.look(encoder)._replace(line=(0, (2, 2)) if hollow else "-")
      label = f"{vocabulary.encoder(encoder)}, {way}"
      _line(column[0], arm, drawn, label, hollow)
    better = "less" if vocabulary.less_is_better(metric) else "more"
    column[0].set(
        title=capital(vocabulary.property_(name)),
        ylabel=f"{vocabulary.measure(metric)}\n({better} is better)",
    )
    set_unit(column[0].yaxis, metric)
    if lines == 2:
      _improvement(column[1], select(rows, metric="improvement"))
    for axes in column:
      axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
      _doublings(axes, frame["setting"])
    column[-1].set_xlabel(unit)
    labelled = column[0].get_legend_handles_labels()
    handles |= dict(zip(labelled[1], labelled[0]))
  figure.legend(
      handles.values(), handles.keys(), loc="outside lower center", ncols=2,
      columnspacing=2.5, handlelength=3.2,
  )  # fmt: skip
  return figure


def _improvement(axes, rows):
  if not len(rows):
    axes.set_visible(False)
    return
  _line(axes, rows, style.Look(style.INK, "-", "D"), None)
  axes.axhline(0, color=style.GREY, linewidth=0.8)
  axes.axhline(
      CLAIM, color=style.ORANGE, linewidth=1.1, linestyle=(0, (4, 2))
  )
  axes.annotate(
      f"{CLAIM} %", (1, CLAIM), xycoords=("axes fraction", "data"),
      xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
      color=style.ORANGE,
  )  # fmt: skip
  axes.set_ylabel("improvement")
  axes.yaxis.set_major_formatter(lambda v, _: text.percent(v / 100))


@style.styled
def kept(drift: "pd.DataFrame", near: "pd.DataFrame", task: str) -> "Figure":
  """What codes keep: their place under symmetries, and their neighbours."""
  draw: list[Callable] = []
  if len(drift):
    draw.append(lambda axes: _drift(axes, drift))
  if len(near):
    draw.append(lambda axes: _near(axes, near, task))
  figure = style.new(3.9)
  for axes, of_panel in zip(figure.subplots(1, len(draw), squeeze=False)[0],
                            draw):  # fmt: skip
    of_panel(axes)
  return figure


def _drift(axes, rows):
  names, places = of_encoders(rows)

  def drawn(row):
    permuted = row.way == "permutation"
    return style.look(row.encoder), permuted, 0.13 if permuted else -0.13

  dots(axes, rows, places, drawn)
  name_encoders(axes, names)
  axes.axvline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
  axes.set_xlim(left=-0.03)
  axes.set(
      title="Codes move: filled, permuted;\nhollow, permuted and negated",
      xlabel="distance, in mean distances of two networks",
  )


def _near(axes, rows, task):
  metric = rows["metric"].iloc[0]
  for name, of_encoder in rows.groupby("encoder", sort=False):
    _line(axes, of_encoder, style.look(name), vocabulary.encoder(name))
  _doublings(axes, rows["setting"])
  axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
  axes.set_ylim(bottom=0)
  axes.set_xlabel("k, number of nearest codes")
  set_unit(axes.yaxis, metric)
  axes.set_title(
      "Angle between a network\nand its k nearest"
      if metric == "degrees"
      else f"Share of the k nearest\nwith the same {task}"
  )
  axes.legend(
      loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3.2,
      fontsize=8,
  )  # fmt: skip


@style.styled
def variants(frame: "pd.DataFrame", divergence: str) -> "Figure":
  """Validation losses of variants: a dot for the mean, a tick for each seed."""
  rows = select(frame, metric=divergence)
  names = list(dict.fromkeys(rows["setting"]))[::-1]
  figure = style.new(0.9 + 0.28 * len(names))
  axes = figure.subplots()
  places = {name: y for y, name in enumerate(names)}
  means, seeds = select(rows, seed=""), rows[rows["seed"] != ""]
  renamed = means.assign(encoder=means["setting"])
  looks = dict(zip(means["setting"], means["encoder"].map(style.look)))
  axes.plot(
      seeds["value"], seeds["setting"].map(places), "|", color=style.GREY,
      markersize=9,
  )  # fmt: skip
  dots(axes, renamed, places, lambda row: (looks[row.encoder], True, 0))
  name_encoders(axes, names)
  axes.set_xlabel(
      f"{capital(vocabulary.divergence(divergence))}, validation; ticks are"
      " seeds"
  )
  return figure
