"""Figures: results -> matplotlib Figure, nothing global, nothing shown."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weightspace.report import style, text, wording

if TYPE_CHECKING:
  from matplotlib.figure import Figure

SHOWN_SEQUENCES = 4  # of an interrogation's parallel ones


@style.styled
def zoo(results: Mapping[str, Any]) -> "Figure":
  """How the networks learned: accuracy, loss, and where they ended."""
  found, words = results["zoo"], wording.of(results)
  figure = style.new(3.1)
  accuracy, loss, final = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
  second = {"colour": style.ORANGE, "line": (0, (4, 1.5)), "marker": "s"}
  first = {"colour": style.BLUE, "line": "-", "marker": "o"}
  _bands(accuracy, found, (
      ("accuracy_counts", "counts only", second), ("accuracy", "strict", first),
  ))  # fmt: skip
  _shares(accuracy.yaxis)
  accuracy.set(title="Accuracy", ylim=(-0.02, 1.03), xlabel="training step")
  _bands(loss, found, (
      ("train_loss", "training", second), ("eval_loss", "evaluation", first),
      ("loss", "loss", first),
  ))  # fmt: skip
  loss.set(title=f"Loss [{words.loss_unit}]", xlabel="training step")
  loss.set_ylim(bottom=0)
  ends = _finite(found["final_accuracy"])
  final.hist(
      ends, bins=np.linspace(0, 1, 21), color=style.BLUE, edgecolor="white"
  )
  if len(ends):
    median = float(np.median(ends))
    final.axvline(median, color=style.INK, linewidth=1, linestyle=(0, (2, 2)))
    final.annotate(
        f"median {text.percent(median)}",
        (median, 0.97), xycoords=("data", "axes fraction"),
        xytext=(-5 if median > 0.5 else 5, 0), textcoords="offset points",
        ha="right" if median > 0.5 else "left", va="top", fontsize=8.5,
    )  # fmt: skip
  _shares(final.xaxis)
  final.set(
      title="At the end", xlabel=words.accuracy, ylabel="networks",
      xlim=(-0.02, 1.02),
  )  # fmt: skip
  return figure


def _bands(axes, found, listed):
  """The curves there are; named where there are several."""
  there = [one for one in listed if one[0] in found["curves"]]
  for name, label, look in there:
    _band(axes, found, name, **look).set_label(label)
  if len(there) > 1:
    axes.legend(loc="best")


def _band(axes, found, name, colour, line, marker):
  steps, curve = found["steps"], found["curves"][name]
  low, middle, high = (
      np.asarray(curve[k], float) for k in ("low", "median", "high")
  )
  axes.fill_between(steps, low, high, color=colour, alpha=0.16, linewidth=0)
  (drawn,) = axes.plot(
      steps, middle, color=colour, linestyle=line, marker=marker, markersize=4
  )
  return drawn


@style.styled
def emulation_curves(results: Mapping[str, Any]) -> "Figure":
  """The emulation loss of each encoder while it was trained."""
  from matplotlib.ticker import MaxNLocator

  found = results["emulation"]
  figure = style.new(3.3)
  panels = figure.subplots(1, 2, sharey=True)
  for name in text.ordered(found["encoders"]):
    one, look = found["encoders"][name], style.look(name)
    pen = {"color": look.colour, "linestyle": look.line}
    curve, held = one.get("curve"), one.get("validation_curve")
    if curve:
      panels[0].plot(curve["step"], _floats(curve["train"]), **pen)
    if held:
      panels[1].plot(
          held["step"], _floats(held["loss"]), marker=look.marker,
          markersize=3.5, label=text.encoder(name), **pen,
      )  # fmt: skip
  for axes, title in zip(panels, ("Training networks", "Validation networks")):
    axes.set(title=title, xlabel="training step of encoder and emulator")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    axes.set_ylim(0, _top(found["encoders"]))
  panels[0].set_ylabel(_capital(text.divergence(found["divergence"])))
  if panels[1].get_legend_handles_labels()[0]:
    panels[1].legend(loc="best")
  return figure


def _top(encoders):
  """Twice the largest loss at the end: the first steps' are far above."""
  ends = [
      _finite(one["validation_curve"]["loss"])[-1:]
      for one in encoders.values()
      if one.get("validation_curve")
  ]
  ends = np.concatenate([*ends, np.zeros(0)])
  return 2 * ends.max() if len(ends) else None


@style.styled
def emulation_losses(results: Mapping[str, Any]) -> "Figure":
  """Losses with 95 % intervals, the paper's in a panel of their own."""
  found, words = results["emulation"], wording.of(results)
  names = text.ordered(found["encoders"])[::-1]
  paper = found.get("paper", {})
  others = text.ordered(paper)[::-1]
  rows = [len(names), *([len(others)] if others else [])]
  figure = style.new(0.9 + 0.42 * sum(rows) + 0.5 * len(rows))
  panels = figure.subplots(
      len(rows), 1, sharex=True, height_ratios=rows, squeeze=False
  )[:, 0]
  for y, name in enumerate(names):
    one, look = found["encoders"][name], style.look(name)
    for split, offset, face in (
        ("validation", 0.13, look.colour), ("ood", -0.13, "white"),
    ):  # fmt: skip
      estimate = one.get(split, {}).get(found["divergence"])
      if estimate:
        _dot(panels[0], estimate, y + offset, look.colour, look.marker, face)
  panels[0].set_title(
      f"This run: filled, validation {words.tasks}; hollow, held-out ones"
  )
  if others:
    for y, name in enumerate(others):
      value, low, high = paper[name]
      estimate = {"value": value, "low": low, "high": high}
      look = style.look(name)
      _dot(panels[1], estimate, y, style.GREY, look.marker, style.GREY)
    panels[1].set_facecolor("#f3f3f3")
    panels[1].set_title(
        "The paper, validation: another scale, not comparable one to one"
    )
  for axes, listed in zip(panels, (names, others)):
    axes.set_yticks(range(len(listed)), [text.encoder(n) for n in listed])
    axes.set_ylim(-0.6, len(listed) - 0.4)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_axisbelow(True)
  panels[-1].set_xlim(left=0)
  name = _capital(text.divergence(found["divergence"]))
  panels[-1].set_xlabel(f"{name}, less is better")
  return figure


def _dot(axes, estimate, y, colour, marker, face):
  value, low, high = (
      np.asarray(estimate.get(k), float) for k in ("value", "low", "high")
  )
  axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
  axes.plot(
      [value], [y], marker, color=colour, markerfacecolor=face, markersize=6.5,
      markeredgewidth=1.4,
  )  # fmt: skip


@style.styled
def codes(results: Mapping[str, Any], encoder: str) -> "Figure":
  """Two principal components of the codes, coloured by what is known.

  Each axes that shows points has the label "points", so that whoever embeds
  the figure finds where they are.
  """
  rows, found = results["rows"], results["codes"][encoder]
  tasks = np.asarray(rows["task"], float).reshape(len(rows["task"]), -1)
  words = wording.of(results)
  names = {"language": ("$m_b$", "$m_c$", "$m_d$"), "angle": ("",)}
  names = names.get(words.task, ())
  if tasks.shape[1] != len(names):
    names = tuple(f"task {i + 1}" for i in range(tasks.shape[1]))
  task_kind = "angle" if words.task == "angle" else "levels"
  colourings = [
      *(
          (task_kind, t, f"{words.task}: {n}" if n else words.task)
          for n, t in zip(names, tasks.T)
      ),
      ("share", _floats(rows["accuracy"]), words.accuracy),
  ]
  if len(set(rows["step"])) > 1:
    title = "training step of the network"
    colourings.append(("levels", _floats(rows["step"]), title))
  columns = 2 if len(colourings) == 3 else 3
  lines = -(-(len(colourings) + 1) // columns)
  figure = style.new({2: 3.8, 3: 3.0}[columns] * lines)
  panels = figure.subplots(lines, columns, sharex=True, sharey=True).ravel()
  held = np.asarray([s == "ood" for s in rows["split"]])
  xy = np.asarray(found["pca"], float).reshape(-1, 2)
  for axes, (kind, values, title) in zip(panels, colourings):
    _coloured(figure, axes, xy, values, held, kind)
    axes.set_title(_capital(title))
  last = panels[len(colourings)]
  _by_split(last, xy, rows["split"], words.task)
  for axes in panels[len(colourings) + 1 :]:
    axes.set_visible(False)
  shares = [text.percent(share) for share in found["explained"][:2]]
  for axes in panels[: len(colourings) + 1]:
    axes.set_label("points")
    axes.set(xticks=[], yticks=[])
    axes.label_outer()
  figure.supxlabel(f"first component ({shares[0]} of variance)", fontsize=9.5)
  figure.supylabel(f"second component ({shares[1]})", fontsize=9.5)
  return figure


def _coloured(figure, axes, xy, values, held, kind):
  """Points by value; those held out on top, larger and outlined.

  Kinds of values: "levels", one colour each where they are few; "share", from
  0 to 1; "angle" in degrees, where 0 has the colour of 360.
  """
  import matplotlib

  levels = np.unique(values[np.isfinite(values)])
  bar = {"shrink": 0.8, "aspect": 18, "pad": 0.02}
  if kind == "levels" and 0 < len(levels) <= 10:
    map_ = matplotlib.colormaps[style.SEQUENTIAL].resampled(len(levels))
    shown, limits = np.searchsorted(levels, values), (-0.5, len(levels) - 0.5)
    bar["ticks"] = range(len(levels))
  else:
    cyclic = kind == "angle"
    map_ = matplotlib.colormaps[style.CYCLIC if cyclic else style.SEQUENTIAL]
    shown = values
    limits = {"share": (0, 1), "angle": (0, 360)}.get(
        kind, (values.min(), values.max())
    )
  pen = {"cmap": map_, "vmin": limits[0], "vmax": limits[1]}
  size = _size(xy)
  axes.scatter(
      *xy[~held].T, c=shown[~held], s=9 * size, alpha=0.3 + 0.4 * (size == 1),
      linewidths=0,
      rasterized=True, **pen,
  )  # fmt: skip
  axes.scatter(
      *xy[held].T, c=shown[held], s=15 * size, linewidths=0.4 * size,
      edgecolors=style.INK, rasterized=True, **pen,
  )  # fmt: skip
  scale = matplotlib.cm.ScalarMappable(
      matplotlib.colors.Normalize(*limits), map_
  )
  drawn = figure.colorbar(scale, ax=axes, **bar)
  drawn.outline.set_visible(False)
  drawn.ax.tick_params(length=0, labelsize=8)
  if "ticks" in bar:
    drawn.ax.set_yticklabels([_tick(v) for v in levels])
  elif kind == "share":
    _shares(drawn.ax.yaxis)
  elif kind == "angle":
    drawn.set_ticks(range(0, 361, 90))


def _size(xy):
  """A factor for the area of points: the more there are, the smaller."""
  return min(1.0, (600 / max(len(xy), 1)) ** 0.5)


def _by_split(axes, xy, splits, task):
  splits = np.asarray(splits)
  for name, colour, marker, size, alpha in (
      ("train", style.GREY, "o", 7, 0.25),
      ("validation", style.ORANGE, "s", 11, 0.8),
      ("ood", style.INK, "^", 14, 1),
  ):
    axes.scatter(
        *xy[splits == name].T, s=size * _size(xy), color=colour, alpha=alpha,
        marker=marker, linewidths=0, rasterized=True, label=text.SPLITS[name],
    )  # fmt: skip
  legend = axes.legend(
      loc="upper left", bbox_to_anchor=(0, -0.01), ncols=3, fontsize=8,
      handletextpad=0, columnspacing=0.8, borderpad=0,
  )  # fmt: skip
  for handle in legend.legend_handles:
    handle.set(alpha=1, sizes=[20])
  axes.set_title(f"Split the {task} belongs to")


@style.styled
def accuracy(results: Mapping[str, Any]) -> "Figure":
  """Accuracy that a head predicts from codes against the actual one."""
  found, words = results["prediction"]["scatter"], wording.of(results)
  figure = style.new(3.6)
  axes, errors = figure.subplots(1, 2, width_ratios=(1.15, 1))
  predicted, actual = _floats(found["predicted"]), _floats(found["actual"])
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
  _shares(axes.xaxis)
  _shares(axes.yaxis)
  error = _finite(predicted - actual)
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
  _shares(errors.xaxis, signed=True)
  return figure


@style.styled
def transcript(found: Mapping[str, Any]) -> "Figure":
  """One interrogation: a column a step, probes above, answers below."""
  probes, answers = (
      np.asarray(found[name], float) for name in ("probes", "answers")
  )
  sequences = min(probes.shape[1], SHOWN_SEQUENCES)
  # A tile is as high as a column is wide
  heights = (1.8 if found["symbols"] else 0.9 * style.WIDTH / len(probes), 1.8)
  figure = style.new(sum(heights) * sequences + 0.35)
  panels = figure.subplots(
      2 * sequences, 1, sharex=True, height_ratios=heights * sequences
  )
  for m in range(sequences):
    which = f"Sequence {m + 1}: t" if probes.shape[1] > 1 else "T"
    asked, said = panels[2 * m : 2 * m + 2]
    if found["symbols"]:
      _rows(asked, probes[:, m], found["symbols"], "Oranges")
    else:
      _tiles(asked, probes[:, m])
    listens = found.get("encoder") == "listening"
    asks = "network generates" if listens else "encoder asks"
    asked.set_title(f"{which}he {asks}")
    _rows(said, answers[:, m], found["symbols"], "Blues")
    said.set_title(f"{which}he network answers")
  panels[-1].set_xlabel("step of the sequence")
  return figure


def _tiles(axes, probes):
  """A column a step: the square of pixels that was shown; ink is dark."""
  length, size = probes.shape
  side = math.isqrt(size)
  gap = 1  # between tiles, transparent
  width = side + gap  # of a column, in pixels; 1 on the axis
  strip = np.full((side, length * width - gap), np.nan)
  for t, tile in enumerate(probes.reshape(length, side, side)):
    strip[:, t * width : t * width + side] = tile
  margin = 0.5 * gap / width
  axes.imshow(
      strip, cmap="Greys", vmin=probes.min(), vmax=probes.max(), aspect="auto",
      interpolation="nearest",
      extent=(margin - 0.5, length - 0.5 - margin, side, 0),
  )  # fmt: skip
  axes.set(yticks=[], xlim=(-0.5, length - 0.5), facecolor="#cfe3f1")
  axes.tick_params(which="both", length=0)
  for spine in axes.spines.values():
    spine.set_visible(False)


def _rows(axes, weights, symbols, colours):
  """A row a symbol, a column a step, the largest of a column written in."""
  length, size = weights.shape
  names = list(symbols) if len(symbols) == size else list(map(str, range(size)))
  axes.imshow(
      weights.T, cmap=colours, vmin=0, vmax=1, aspect="auto",
      interpolation="nearest",
  )  # fmt: skip
  for t, best in enumerate(weights.argmax(1)):
    axes.text(
        t, best, names[best], ha="center", va="center",
        fontsize=8 if length <= 24 else 5.5,
        color="white" if weights[t, best] > 0.55 else style.INK,
    )  # fmt: skip
  axes.set_yticks(range(size), names, fontsize=8)
  axes.set_xticks(range(length), range(1, length + 1), fontsize=8)
  axes.tick_params(length=0)
  axes.set_xticks(np.arange(length + 1) - 0.5, minor=True)
  axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
  axes.grid(which="minor", color="white", linewidth=1)
  axes.tick_params(which="minor", length=0)
  for spine in axes.spines.values():
    spine.set_visible(False)


def _floats(values):
  return np.asarray(values, float)  # None becomes NaN


def _finite(values):
  values = _floats(values)
  return values[np.isfinite(values)]


def _capital(words):
  return words if words.startswith("$") else words[:1].upper() + words[1:]


def _tick(value):
  whole = float(value).is_integer()
  return (f"{value:.0f}" if whole else f"{value:.2g}").replace("-", "−")


def _shares(axis, signed=False):
  """Ticks in percent, or differences of shares in percentage points."""
  from matplotlib.ticker import FuncFormatter, MaxNLocator

  axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))

  def write(share, _):
    percent = round(100 * share)
    sign = "+" if signed and percent > 0 else ""
    unit = "" if signed else " %"
    return f"{sign}{percent}{unit}".replace("-", "−")

  axis.set_major_formatter(FuncFormatter(write))
