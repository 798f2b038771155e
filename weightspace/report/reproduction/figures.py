"""Figures of a reproduction's numbers: results -> matplotlib Figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from weightspace.report import style, text
from weightspace.report.reproduction import tables, words
from weightspace.report.reproduction.schema import floats

if TYPE_CHECKING:
  from matplotlib.figure import Figure

CLAIM = 25  # per cent that pretraining is said to gain where labels are few
_ACROSS = 3  # panels in a line
_SPLIT_LOOKS = {"validation": "o", "ood": "^"}
_PROTOCOLS = {
    "strict": "heads saw no OOD {task}",
    "paper": "heads saw half of them",
}


def look(source: str) -> style.Look:
  """How to draw an encoder, the weights themselves, or chance."""
  own = {
      "weights": style.Look(style.INK, (0, (1, 1.5)), "*"),
      "chance": style.Look(style.GREY, (0, (4, 3)), "_"),
  }
  return own.get(source, style.look(source))


def _estimates(cells: Sequence[Mapping[str, Any] | None]) -> np.ndarray:
  """[n, 3]: value, low, high; NaN where not measured."""
  return floats([
      [(cell or {}).get(key) for key in ("value", "low", "high")]
      for cell in cells
  ]).reshape(-1, 3)


def _dot(axes, cell, y, drawn, filled, size=6):
  value, low, high = _estimates([cell])[0]
  axes.plot([low, high], [y, y], color=drawn.colour, linewidth=1.5)
  axes.plot(
      [value], [y], drawn.marker, color=drawn.colour, markersize=size,
      markerfacecolor=drawn.colour if filled else "white",
      markeredgewidth=1.3,
  )  # fmt: skip


def _names(axes, names, written):
  axes.set_yticks(range(len(names)), written)
  axes.set_ylim(-0.6, len(names) - 0.4)
  axes.tick_params(axis="y", length=0)
  axes.spines["left"].set_visible(False)
  axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
  axes.set_axisbelow(True)


def _lines(axes, x, cells, drawn, label, hollow=False):
  """A line with 95 % intervals."""
  value, low, high = _estimates(cells).T
  axes.fill_between(x, low, high, color=drawn.colour, alpha=0.13, linewidth=0)
  axes.plot(
      x, value, color=drawn.colour, linestyle=drawn.line, marker=drawn.marker,
      markersize=5, markerfacecolor="white" if hollow else drawn.colour,
      label=label,
  )  # fmt: skip
  for at, bottom, top in zip(x, low, high):
    axes.plot([at, at], [bottom, top], color=drawn.colour, linewidth=0.9)


def _below(figure, axes, columns):
  handles, names = axes.get_legend_handles_labels()
  if handles:
    figure.legend(
        handles, names, loc="outside lower center", ncols=columns,
        columnspacing=2.5, handlelength=3.2,
    )  # fmt: skip


def _grid(count, height):
  """A figure of `count` panels, at most three in a line."""
  across = min(count, _ACROSS)
  lines = -(-count // across)
  figure = style.new(height * lines + 0.4)
  panels = figure.subplots(lines, across, squeeze=False)
  for axes in panels.ravel()[count:]:
    axes.set_visible(False)
  return figure, panels


@style.styled
def prediction(found: Mapping[str, Any], task: str) -> "Figure":
  """Headline metrics on the OOD test: a column a property, a row a protocol."""
  listed = {
      way: list(tables.told(found[way], headlines=True))
      for way in words.WAYS
      if way in found
  }
  everything = [one for rows in listed.values() for one in rows]
  shown = list(dict.fromkeys((t.property_, t.metric) for t in everything))
  names = text.ordered({one.encoder: None for one in everything})[::-1]
  protocols = [
      p for p in _PROTOCOLS if any(p in one.protocols for one in everything)
  ]
  figure = style.new((0.75 + 0.27 * len(names)) * len(protocols) + 0.3)
  panels = figure.subplots(
      len(protocols), len(shown), squeeze=False, sharex="col", sharey=True
  )
  for line, protocol in zip(panels, protocols):
    for axes, (property_, metric) in zip(line, shown):
      for way, rows in listed.items():
        for one in rows:
          if (one.property_, one.metric) == (property_, metric):
            frozen = way == "frozen"
            _dot(
                axes, one.at(protocol, "test"),
                names.index(one.encoder) + (0.14 if frozen else -0.14),
                look(one.encoder), frozen, 5,
            )  # fmt: skip
      _names(axes, names, [text.encoder(name) for name in names])
    said = _PROTOCOLS[protocol].format(task=task)
    line[0].set_title(f"{said[0].upper()}{said[1:]}", fontweight="bold")
  for axes, (property_, metric) in zip(panels[-1], shown):
    better = "less" if words.less_is_better(metric) else "more"
    axes.set_xlabel(
        f"{words.property_(property_)}:\n{words.measure(metric)},"
        f" {better} is better"
    )
    axes.locator_params(axis="x", nbins=4)
    _unit(axes.xaxis, metric)
  return figure


def _unit(axis, metric):
  """Ticks in the unit of a metric."""
  if words.write(metric) is text.precise_percent:
    axis.set_major_formatter(lambda v, _: text.percent(v))
  if words.write(metric) is text.degrees:
    axis.set_major_formatter(lambda v, _: f"{v:.0f}°")


@style.styled
def clones(found: Mapping[str, Any], accuracy: str) -> "Figure":
  """Accuracy of clones against that of originals, a panel per encoder."""
  names = text.ordered(found)
  figure, panels = _grid(len(names), 2.9)
  for axes, name in zip(panels.ravel(), names):
    one, drawn = found[name], look(name)
    original, clone = floats(one["original"]), floats(one["clone"])
    split = np.asarray(one["split"])
    axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.9)
    for part, marker in _SPLIT_LOOKS.items():
      at = split == part
      face = drawn.colour if part == "validation" else "none"
      axes.scatter(
          original[at], clone[at], s=13, marker=marker, facecolors=face,
          edgecolors=drawn.colour, alpha=0.55, linewidths=0.8,
          rasterized=True, label=text.SPLITS[part],
      )  # fmt: skip
    value, low, high = _estimates([one["correlation"]])[0]
    between = text.between(low, high, _two) if np.isfinite(low) else "–"
    axes.set_title(
        f"{text.encoder(name)}\nr = {_two(value)} ({between})"
    )
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
      axis.set_major_locator(_ticks([0, 0.5, 1]))
      axis.set_major_formatter(lambda v, _: text.percent(v))
  figure.supxlabel(f"{accuracy} of the original", fontsize=9.5)
  figure.supylabel(f"{accuracy} of the clone", fontsize=9.5)
  return figure


def _two(value):
  return text.number(float(value), 2)


def _ticks(places):
  from matplotlib.ticker import FixedLocator

  return FixedLocator(places)


@style.styled
def ablations(found: Mapping[str, Any], divergence: str) -> "Figure":
  """Validation loss against M and L, a line an encoder."""
  titles = {
      "parallel": ("Sequences in parallel", "M"),
      "length": ("Length of a sequence", "L, steps"),
  }
  shown = [what for what in titles if any(what in f for f in found.values())]
  figure = style.new(3.5)
  panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
  for axes, what in zip(panels, shown):
    for name in text.ordered(found):
      settings = found[name].get(what, ())
      if settings:
        x = floats([one["setting"] for one in settings])
        cells = [one["validation"] for one in settings]
        _lines(axes, x, cells, look(name), text.encoder(name))
    _doublings(
        axes,
        {one["setting"] for f in found.values() for one in f.get(what, ())},
    )
    title, label = titles[what]
    axes.set(title=title, xlabel=label)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
  panels[0].set_ylabel(f"{divergence}, validation")
  _below(figure, panels[0], 2)
  return figure


def _doublings(axes, values):
  """A logarithmic axis with just these values as its ticks."""
  from matplotlib.ticker import NullLocator

  values = sorted(values)
  if min(values) > 0:
    axes.set_xscale("log", base=2)
  axes.xaxis.set_major_locator(_ticks(values))
  axes.xaxis.set_minor_locator(NullLocator())
  axes.xaxis.set_major_formatter(lambda v, _: text.count(float(v)))


def _arm(name: str, place: int) -> tuple[style.Look, bool]:
  """How to draw an arm: its encoder's colour, hollow where not pretrained."""
  encoder = name.split(",")[0].strip()
  hollow = "scratch" in name or "supervised" in name
  if encoder in text.ENCODERS:
    drawn = look(encoder)
    line = (0, (2, 2)) if hollow else "-"
    return drawn._replace(line=line), hollow
  others = list(text.ENCODERS)[::-1]
  return style.look(others[place % len(others)]), hollow


@style.styled
def labels(found: Mapping[str, Any]) -> "Figure":
  """What arms reach, against how many labels there are; the gain below."""
  properties = found["properties"]
  lines = 2 if any("improvement" in p for p in properties.values()) else 1
  figure = style.new(2.9 + 2.0 * (lines - 1) + 0.5)
  panels = figure.subplots(
      lines, len(properties), squeeze=False, sharex=True,
      height_ratios=(1.5, 1)[:lines],
  )  # fmt: skip
  arms = list(dict.fromkeys(a for p in properties.values() for a in p["arms"]))
  x = floats(found["networks"])
  for column, (name, one) in zip(panels.T, properties.items()):
    for arm, cells in one["arms"].items():
      _lines(column[0], x, cells, *_arm_drawn(arm, arms))
    better = "less" if one["better"] == "lower" else "more"
    title = words.property_(name)
    column[0].set(
        title=title[0].upper() + title[1:],
        ylabel=f"{words.measure(one['metric'])}\n({better} is better)",
    )
    _unit(column[0].yaxis, one["metric"])
    if lines == 2:
      _improvement(column[1], x, one)
    for axes in column:
      axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
      _doublings(axes, found["networks"])
    column[-1].set_xlabel(found["unit"])
  handles = {
      label: handle
      for axes in panels[0]
      for handle, label in zip(*axes.get_legend_handles_labels())
  }
  figure.legend(
      handles.values(), handles.keys(), loc="outside lower center", ncols=2,
      columnspacing=2.5, handlelength=3.2,
  )  # fmt: skip
  return figure


def _arm_drawn(arm, arms):
  drawn, hollow = _arm(arm, arms.index(arm))
  return drawn, words.arm(arm), hollow


def _improvement(axes, x, one):
  if "improvement" not in one:
    axes.set_visible(False)
    return
  _lines(
      axes, x, one["improvement"]["per_cent"],
      style.Look(style.INK, "-", "D"), None,
  )  # fmt: skip
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
def kept(
    invariance: Mapping[str, Any] | None, near: Mapping[str, Any] | None
) -> "Figure":
  """What codes keep: their place under symmetries, and who is near."""
  figure = style.new(3.9)
  count = (invariance is not None) + (near is not None)
  panels = iter(figure.subplots(1, count, squeeze=False)[0])
  if invariance is not None:
    _drift(next(panels), invariance)
  if near is not None:
    _near(next(panels), near)
  return figure


def _drift(axes, found):
  names = words.sources(found)[::-1]
  for y, name in enumerate(names):
    for kind, offset in (("permutation", 0.13), ("signed", -0.13)):
      cell = found[name].get(kind, {}).get("distance")
      _dot(axes, cell, y + offset, look(name), kind == "permutation")
  _names(axes, names, [words.source(name) for name in names])
  axes.axvline(1, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
  axes.set_xlim(left=-0.03)
  axes.set(
      title="Codes move: filled, permuted;\nhollow, permuted and negated",
      xlabel="distance, in mean distances of two networks",
  )


def _near(axes, found):
  measure = "degrees" if any("degrees" in f for f in found.values()) else (
      "precision"
  )
  counts = set()
  for name in words.sources(found):
    listed = found[name].get(measure, ())
    if listed:
      x = floats([one["k"] for one in listed])
      cells = [one["value"] for one in listed]
      _lines(axes, x, cells, look(name), words.source(name))
      counts |= {one["k"] for one in listed}
  if counts:
    _doublings(axes, counts)
  axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
  axes.set_ylim(bottom=0)
  axes.set_xlabel("k, nearest codes that are looked at")
  if measure == "degrees":
    axes.set_title("Angle between a network\nand its k nearest")
    axes.yaxis.set_major_formatter(lambda v, _: f"{v:.0f}°")
  else:
    axes.set_title("Share of the k nearest\nwith the same language")
    axes.yaxis.set_major_formatter(lambda v, _: text.percent(v))
  axes.legend(
      loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3.2,
      fontsize=8,
  )  # fmt: skip


@style.styled
def search(found: Mapping[str, Any]) -> "Figure":
  """Validation losses of all trials; what was chosen is ringed."""
  names = text.ordered(found)[::-1]
  figure = style.new(1.0 + 0.34 * len(names))
  axes = figure.subplots()
  losses = floats([
      t["validation"] for name in names for t in found[name]["trials"]
  ])
  top = np.nanmax(losses) if np.isfinite(losses).any() else 1.0
  failed = False
  for y, name in enumerate(names):
    drawn = look(name)
    for trial in found[name]["trials"]:
      loss = trial["validation"]
      if not text.is_number(loss):
        failed = True
        axes.plot([1.06 * top], [y], "x", color=drawn.colour, markersize=6)
        continue
      axes.plot(
          [loss], [y], drawn.marker, color=drawn.colour, markersize=5.5,
          markerfacecolor="none", alpha=0.85,
      )  # fmt: skip
      if trial["setting"] == found[name]["chosen"]:
        axes.plot(
            [loss], [y], "o", color=style.INK, markersize=12,
            markerfacecolor="none", markeredgewidth=1.3,
        )  # fmt: skip
  _names(axes, names, [text.encoder(name) for name in names])
  if failed:
    axes.axvline(1.03 * top, color=style.FAINT, linewidth=0.8)
  axes.set_xlabel(
      "validation loss of a trial; ringed: chosen"
      + ("; ×, right of the line: no finite loss" if failed else "")
  )
  return figure
