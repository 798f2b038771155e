"""Figures of codes in two dimensions, coloured by what is known."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from weightspace.report import style, text, vocabulary
from weightspace.report.style import floats

if TYPE_CHECKING:
  from matplotlib.figure import Figure

PROJECTIONS = {"pca": "PCA", "tsne": "t-SNE"}
COUNTS = ("m_b", "m_c", "m_d")  # numbers of a language
_BESIDE = 3  # encoders in a figure, with the raw weights beside them


class Colouring(NamedTuple):
  """What points are coloured by.

  Attributes:
    title: of the colour scale.
    kind: "levels" (few values), "share" (0 to 1), "angle" (degrees, cyclic)
      or "range".
    values: [n], NaN where one is not known.
    names: of categories, whose numbers the values are.
  """

  title: str
  kind: str
  values: np.ndarray
  names: tuple[str, ...] = ()


def colourings(family: str, rows: Mapping[str, Any]) -> list[Colouring]:
  """By columns, numbers of the task and accuracy; by step, for the widget."""
  predicted = [_column(one) for one in rows.get("columns", ())]
  tasks = floats(rows["task"]).reshape(len(rows["task"]), -1)
  words = vocabulary.of_family(family)
  known = {"language": COUNTS, "angle": ("angle",)}
  names = known.get(words.task, ())
  names = rows.get("task_names", names)
  if tasks.shape[1] != len(names):
    names = tuple(f"{words.task} {i + 1}" for i in range(tasks.shape[1]))
  kind = "angle" if words.task == "angle" else "levels"
  known_already = {"network", *(one.title for one in predicted)}
  entry = [
      Colouring(name, _levels(kind, values), values)
      for name, values in zip(names, tasks.T)
      if not predicted or name not in known_already
  ]
  if "accuracy" in rows:
    accuracy = floats(rows["accuracy"])
    entry.append(Colouring(words.accuracy, "share", accuracy))
  steps = floats(rows["step"])
  step = Colouring("step", _levels("levels", steps), steps)
  return [*predicted, *entry, step]


def _column(one):
  """The colouring by a column that was predicted."""
  title = one["name"].removeprefix("column:").partition(":")[0]
  values = floats(one["values"])
  if one["kind"] == "direction":
    return Colouring(title, "angle", values)
  if names := tuple(map(str, one["classes"])):
    return Colouring(title, "levels", values, names)
  return Colouring(title, _levels("levels", values), values)


def titles(family: str, rows: Mapping[str, Any]) -> str:
  """What the points of figures are coloured by, as a list in words."""
  shown = [c.title for c in colourings(family, rows) if c.title != "step"]
  return ", ".join(shown)


def _levels(kind, values):
  known = np.unique(values[np.isfinite(values)])
  return "range" if kind == "levels" and not 0 < len(known) <= 12 else kind


def levels(one: Colouring) -> np.ndarray:
  """The values there are, ascending."""
  return np.unique(one.values[np.isfinite(one.values)])


def limits(one: Colouring) -> tuple[float, float]:
  """The values at the ends of the colour scale."""
  fixed = {"share": (0.0, 1.0), "angle": (0.0, 360.0)}
  if one.kind in fixed:
    return fixed[one.kind]
  known = one.values[np.isfinite(one.values)]
  if not len(known):
    return 0.0, 1.0
  return float(known.min()), float(max(known.max(), known.min() + 1e-9))


def projections(codes: Mapping[str, Any]) -> set[str]:
  """The names of all projections in the codes of any zoo."""
  return {
      name
      for entry in codes.values()
      for picture in entry.get("pictures", {}).values()
      for name in PROJECTIONS
      if name in picture
  }


def groups(pictures: Mapping[str, Any], projection: str) -> Iterator[list[str]]:
  """Encoders by figure, up to three and the raw weights in each."""
  there = [n for n in vocabulary.ordered(pictures) if projection in pictures[n]]
  beside = [n for n in there if n == "weights"]
  encoders = [n for n in there if n != "weights"][::-1]
  for i in range(0, max(len(encoders), 1), _BESIDE):
    if group := encoders[i : i + _BESIDE] + beside:
      yield group


@style.styled
def codes(
    family: str, entry: Mapping[str, Any], projection: str, names: list[str]
) -> "Figure":
  """A row a colouring, a column an encoder or the raw weights; or a grid."""
  rows = entry["rows"]
  shown = [c for c in colourings(family, rows) if c.title != "step"]
  if len(names) > 1:
    figure = style.new(1.85 * len(shown) + 0.5)
    panels = figure.subplots(len(shown), len(names), squeeze=False)
  else:  # three colourings in a line
    figure, panels = style.grid(len(shown), 2.1)
    panels = panels.ravel()[: len(shown), None]
  held = np.asarray([split == "ood" for split in rows["split"]])
  for line, colouring in zip(panels, shown):
    for axes, name in zip(line, names):
      xy = floats(entry["pictures"][name][projection]).reshape(-1, 2)
      scale = _points(axes, xy, colouring, held)
      axes.set(xticks=[], yticks=[])
      for spine in axes.spines.values():
        spine.set(visible=True, color=style.FAINT)
    line[0].set_ylabel(_title(colouring.title))
    _bar(figure, line, scale, colouring)
  for axes, name in zip(panels[0], names):
    explained = entry["pictures"][name]["explained"][:2]
    share = [text.percent(one) for one in explained]
    below = f"\n{share[0]} and {share[1]} of variance"
    axes.set_title(
        vocabulary.encoder(name) + (below if projection == "pca" else ""),
        fontsize=9,
    )
  return figure


def _title(name):
  return f"${name}$" if name in COUNTS else name


def _points(axes, xy, one, held):
  import matplotlib

  if one.kind == "levels":
    known = levels(one)
    shown = np.where(
        np.isfinite(one.values), np.searchsorted(known, one.values), np.nan
    )
    ends = (-0.5, len(known) - 0.5)
    map_ = matplotlib.colormaps[style.SEQUENTIAL].resampled(len(known))
  else:
    shown, ends = one.values, limits(one)
    cyclic = one.kind == "angle"
    map_ = matplotlib.colormaps[style.CYCLIC if cyclic else style.SEQUENTIAL]
  size = min(1.0, (400 / max(len(xy), 1)) ** 0.5)
  pen = {"cmap": map_, "vmin": ends[0], "vmax": ends[1], "rasterized": True}
  axes.scatter(
      *xy[~held].T, c=shown[~held], s=8 * size, linewidths=0.25,
      edgecolors=style.GREY, **pen,
  )  # fmt: skip
  axes.scatter(
      *xy[held].T, c=shown[held], s=13 * size, linewidths=0.45,
      edgecolors=style.INK, marker="^", **pen,
  )  # fmt: skip
  return matplotlib.cm.ScalarMappable(
      matplotlib.colors.Normalize(*ends), map_
  )


def _bar(figure, line, scale, one):
  drawn = figure.colorbar(scale, ax=list(line), aspect=16, pad=0.01)
  drawn.outline.set_visible(False)
  drawn.ax.tick_params(length=0, labelsize=8)
  if one.kind == "levels":
    known = levels(one)
    labels = [tick(v, one).replace("$", r"\$") for v in known]
    drawn.set_ticks(range(len(known)), labels=labels)
  elif one.kind == "share":
    drawn.set_ticks([0, 0.5, 1], labels=[text.percent(v) for v in (0, 0.5, 1)])
  elif one.kind == "angle":
    quarters = range(0, 361, 90)
    drawn.set_ticks(quarters, labels=[f"{v}°" for v in quarters])


def tick(value: float, one: Colouring) -> str:
  """A value as it stands beside its colour; empty where it is not known."""
  if not np.isfinite(value):
    return ""
  if one.names:
    return one.names[int(value)]
  if one.kind == "angle":
    return f"{value:.0f}°"
  whole = float(value).is_integer()
  return (f"{value:,.0f}" if whole else f"{value:.3g}").replace("-", "−")
