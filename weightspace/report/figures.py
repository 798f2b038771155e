"""Figures of networks, learning curves and transcripts."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weightspace.report import charts, style, text, vocabulary
from weightspace.report.frame import select

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.figure import Figure

SHOWN_SEQUENCES = 3  # of parallel ones; more do not fit on a printed page
_COLUMNS = 3  # of a legend below the panels


@style.styled
def zoo(entry: Mapping[str, Any], family: str) -> "Figure":
  """How the networks learned: accuracy, loss, and their final accuracy."""
  words = vocabulary.of_family(family)
  curves = entry["curves"] if len(entry["steps"]) > 1 else {}
  draw = [
      part
      for part, there in (
          (_accuracies, "accuracy" in curves),
          (_losses, bool({"train_loss", "eval_loss", "loss"} & set(curves))),
          (_final, True),
      )
      if there
  ]
  figure = style.new(3.1)
  panels = figure.subplots(1, len(draw), squeeze=False)[0]
  for axes, part in zip(panels, draw):
    part(axes, entry, words)
  return figure


_SECOND = {"colour": style.ORANGE, "line": (0, (4, 1.5)), "marker": "s"}
_FIRST = {"colour": style.BLUE, "line": "-", "marker": "o"}


def _accuracies(axes, entry, words):
  del words
  _bands(axes, entry, (
      ("accuracy_counts", "counts only", _SECOND),
      ("accuracy", "strict", _FIRST),
  ))  # fmt: skip
  style.shares(axes.yaxis)
  axes.set(title="Accuracy", ylim=(-0.02, 1.03), xlabel="training step")


def _losses(axes, entry, words):
  _bands(axes, entry, (
      ("train_loss", "training", _SECOND), ("eval_loss", "evaluation", _FIRST),
      ("loss", "loss", _FIRST),
  ))  # fmt: skip
  axes.set(title=f"Loss [{words.loss_unit}]", xlabel="training step")
  axes.set_ylim(bottom=0)


def _final(final, entry, words):
  ends = style.finite(entry["final_accuracy"])
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
  style.shares(final.xaxis)
  final.set(
      title="At the end", xlabel=words.accuracy, ylabel="networks",
      xlim=(-0.02, 1.02),
  )  # fmt: skip


def _bands(axes, entry, listed):
  """The curves there are; named where there are several."""
  there = [one for one in listed if one[0] in entry["curves"]]
  for name, label, look in there:
    _band(axes, entry, name, **look).set_label(label)
  if len(there) > 1:
    axes.legend(loc="best")


def _band(axes, entry, name, colour, line, marker):
  steps, curve = entry["steps"], entry["curves"][name]
  low, middle, high = (
      np.asarray(curve[k], float) for k in ("low", "median", "high")
  )
  axes.fill_between(steps, low, high, color=colour, alpha=0.16, linewidth=0)
  (drawn,) = axes.plot(
      steps, middle, color=colour, linestyle=line, marker=marker, markersize=4
  )
  return drawn


@style.styled
def learning_curves(
    encoders: Mapping[str, Any], divergence: str
) -> "Figure":
  """The losses of each encoder while it was trained.

  Args:
    encoders: with the curves of the loss that was minimized on training
      networks, and of the score on validation networks.
    divergence: the score, a divergence or another loss.
  """
  from matplotlib.ticker import MaxNLocator

  below = -(-len(encoders) // _COLUMNS)  # rows of the legend
  figure = style.new(3.3 + 0.22 * below)
  panels = figure.subplots(1, 2)
  sides = (
      ("Training networks", "curve", "train", "loss that is minimized"),
      ("Validation networks", "validation_curve", "loss",
       vocabulary.divergence(divergence)),
  )  # fmt: skip
  for axes, (title, curve, values, loss) in zip(panels, sides):
    last = []
    for name in vocabulary.ordered(encoders):
      if drawn := encoders[name].get(curve):
        losses, look = style.floats(drawn[values]), style.look(name)
        axes.plot(
            drawn["step"], losses, color=look.colour, linestyle=look.line,
            marker=look.marker, markersize=3.5, label=vocabulary.encoder(name),
        )  # fmt: skip
        last += style.finite(losses)[-1:].tolist()
    axes.set(title=title, xlabel="training step of the encoder", ylabel=loss)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    # The losses of the first steps are far above those at the end
    axes.set_ylim(0, 2 * max(last) if last else None)
  labelled = panels[1].get_legend_handles_labels()
  figure.legend(*labelled, loc="outside lower center", ncols=_COLUMNS)
  return figure


@style.styled
def transcript(
    entry: Mapping[str, Any], encoder: str = "", tiles: bool = True
) -> "Figure":
  """One interrogation: a column per step, probes above, answers below.

  Args:
    entry: of results["transcripts"].
    encoder: that interrogates.
    tiles: whether inputs that are no symbols are square tiles of an image.
  """
  probes, answers = (
      np.asarray(entry[name], float) for name in ("probes", "answers")
  )
  sequences = min(probes.shape[1], SHOWN_SEQUENCES)
  tiles = tiles and not entry["symbols"]
  # A tile is as high as a column is wide
  heights = (0.9 * style.WIDTH / len(probes) if tiles else 1.8, 1.8)
  figure = style.new(sum(heights) * sequences + 0.35)
  panels = figure.subplots(
      2 * sequences, 1, sharex=True, height_ratios=heights * sequences
  )
  for m in range(sequences):
    which = f"Sequence {m + 1}: t" if probes.shape[1] > 1 else "T"
    probed, answered = panels[2 * m : 2 * m + 2]
    if tiles:
      _tiles(probed, probes[:, m])
    elif entry["symbols"]:
      _rows(probed, probes[:, m], entry["symbols"], "Oranges")
    else:
      _numbers(probed, probes[:, m])
    probing = {
        "listening": "network generates", "watching": "network reads",
    }.get(encoder, "encoder asks")  # fmt: skip
    probed.set_title(f"{which}he {probing}")
    _rows(answered, answers[:, m], entry["symbols"], "Blues")
    answered.set_title(f"{which}he network answers")
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


def _numbers(axes, probes):
  """A row an input, a column a step; blue is negative, red positive."""
  most = max(np.abs(probes).max(), 1e-6)
  axes.imshow(
      probes.T, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto",
      interpolation="nearest",
  )  # fmt: skip
  size = probes.shape[1]
  axes.set_yticks(range(size), range(1, size + 1), fontsize=8)
  axes.tick_params(length=0)


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


@style.styled
def clones(
    frame: "pd.DataFrame", points: Mapping[str, Any], accuracy: str
) -> "Figure":
  """Accuracy of clones against that of originals, a panel per encoder."""
  from matplotlib.ticker import FixedLocator

  names = vocabulary.ordered(points)
  figure, panels = style.grid(len(names), 2.9)
  rows = select(frame, metric="correlation").set_index("encoder")
  for axes, name in zip(panels.ravel(), names):
    one, drawn = points[name], style.look(name)
    original, clone = style.floats(one["original"]), style.floats(one["clone"])
    split = np.asarray(one["split"])
    axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.9)
    for part, marker in (("validation", "o"), ("ood", "^")):
      at = split == part
      axes.scatter(
          original[at], clone[at], s=13, marker=marker,
          facecolors=drawn.colour if part == "validation" else "none",
          edgecolors=drawn.colour, alpha=0.55, linewidths=0.8, rasterized=True,
      )  # fmt: skip
    row = rows.loc[name]
    ends = text.between(row.low, row.high, _two) if row.low == row.low else "–"
    axes.set_title(
        f"{vocabulary.encoder(name)}\nr = {_two(row.value)} ({ends})"
    )
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
      axis.set_major_locator(FixedLocator([0, 0.5, 1]))
      axis.set_major_formatter(lambda v, _: text.percent(v))
  figure.supxlabel(f"{accuracy} of the original", fontsize=9.5)
  figure.supylabel(f"{accuracy} of the clone", fontsize=9.5)
  return figure


def _two(value):
  return text.number(float(value), 2)


@style.styled
def search(entry: Mapping[str, Any]) -> "Figure":
  """Validation losses of all trials; the chosen one is ringed."""
  names = vocabulary.ordered(entry)[::-1]
  figure = style.new(1.0 + 0.34 * len(names))
  axes = figure.subplots()
  losses = style.floats([
      t["validation"] for name in names for t in entry[name]["trials"]
  ])
  top = np.nanmax(losses) if np.isfinite(losses).any() else 1.0
  for y, name in enumerate(names):
    drawn = style.look(name)
    for trial in entry[name]["trials"]:
      loss = trial["validation"]
      finite = text.is_number(loss)
      axes.plot(
          [loss if finite else 1.06 * top], [y],
          drawn.marker if finite else "x", color=drawn.colour, markersize=5.5,
          markerfacecolor="none", alpha=0.85,
      )  # fmt: skip
      if finite and trial["setting"] == entry[name]["chosen"]:
        axes.plot(
            [loss], [y], "o", color=style.INK, markersize=12,
            markerfacecolor="none", markeredgewidth=1.3,
        )  # fmt: skip
  charts.name_encoders(axes, names)
  label = "validation loss of a trial; ringed: chosen"
  if not np.isfinite(losses).all():
    axes.axvline(1.03 * top, color=style.FAINT, linewidth=0.8)
    label += "; ×, right of the line: no finite loss"
  axes.set_xlabel(label)
  return figure
