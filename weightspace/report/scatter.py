"""The scatter plot that readers explore: its data and its markup.

Drawn in the browser by `scatter.js`; a click on a point shows, by
`interrogation.js`, how its network was interrogated. Without scripts, and in
print, the static figures that follow it stand in its place.

Why no library: the quickstart's plot is 70 kB and opens in 0.05 s with these
scripts; 1.4 MB and 0.8 s with bokeh, 4.9 MB and 5 s with plotly (Chromium, 2
cores), and the ring in both pictures, the arrow keys and the interrogation
would need a script in any case.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from weightspace.report import (
  code_figures,
  style,
  templates,
  text,
  vocabulary,
)
from weightspace.report.style import floats

_SPLITS = ("train", "validation", "ood")
_MISSING = 65535  # stands for a point that is nowhere
_SCALE = 65534
_STOPS = 33  # of a colour map, between which the browser interpolates


def widget(
    family: str,
    entry: Mapping[str, Any],
    interrogation: Mapping[str, Any] | None,
) -> str:
  """Markup and data of one zoo's scatter plot, HTML."""
  pictures = vocabulary.ordered(entry["pictures"])
  colours = code_figures.colourings(family, entry["rows"])
  there = code_figures.projections({family: entry})
  projections = {
      name: title
      for name, title in code_figures.PROJECTIONS.items()
      if name in there
  }
  data = _data(family, entry, pictures, projections, colours, interrogation)
  encoders = [name for name in pictures if name != "weights"] or pictures
  titles = {name: vocabulary.encoder(name) for name in pictures}
  by_colour = {str(i): _plain(c.title) for i, c in enumerate(colours)}
  # By a column that was asked for; else by accuracy, next to the step, where
  # snapshots are of several steps, else by the task
  by_accuracy = (
      "columns" not in entry["rows"] and len(set(entry["rows"]["step"])) > 1
  )
  first = len(colours) - 2 if by_accuracy else 0
  return templates.render(
      "scatter.html",
      name=text.file_name(family),
      # "<" cannot end the script element that this stands in
      data=json.dumps(data, ensure_ascii=False, allow_nan=False).replace(
          "<", "\\u003c"
      ),
      selects=(
          ("left", "Left", titles, encoders[-1]),
          ("right", "Right", titles,
           "weights" if "weights" in pictures else pictures[0]),
          ("projection", "Projection", projections, "pca"),
          ("colour", "Colour", by_colour | {"split": "split"}, str(first)),
      ),
  )  # fmt: skip


def _plain(title):
  if title in code_figures.COUNTS:
    return title.replace("m_", "number of ")
  return title


def _data(family, entry, pictures, projections, colours, interrogation):
  rows = entry["rows"]
  return {
      "labels": _labels(family, rows, colours),
      "split": [_SPLITS.index(s) if s in _SPLITS else 0 for s in rows["split"]],
      "splits": [vocabulary.part(name) for name in _SPLITS],
      "pictures": {name: _picture(entry["pictures"][name], name)
                   for name in pictures},
      "projections": projections,
      "colours": [_colour(one) for one in colours],
      "maps": {
          "sequential": _map(style.SEQUENTIAL), "cyclic": _map(style.CYCLIC),
      },
      "interrogation": _interrogation(interrogation),
  }  # fmt: skip


def _labels(family, rows, colours):
  """The label of each network, shown where somebody points at it."""
  words = vocabulary.of_family(family)
  count = len(rows["step"])
  described = rows.get("describe", [""] * count)
  accuracies = [
      f"{words.accuracy} {text.percent(accuracy)}"
      for accuracy in rows.get("accuracy", [])
  ] or [""] * count
  predicted = colours[: len(rows.get("columns", ()))]
  return [
      "\n".join(
          line
          for line in (
              text.language_plain(name),
              *(_known(one, i) for one in predicted),
              accuracy,
              f"step {text.count(step)}",
              vocabulary.part(split),
          )
          if line
      )
      for i, (name, accuracy, step, split) in enumerate(
          zip(described, accuracies, rows["step"], rows["split"])
      )
  ]


def _known(one, row):
  shown = code_figures.tick(one.values[row], one)
  return f"{one.title} {shown}" if shown else ""


def _picture(entry, name):
  packed = {
      projection: _pack(entry[projection])
      for projection in code_figures.PROJECTIONS
      if projection in entry
  }
  share = [text.percent(one) for one in entry["explained"][:2]]
  return {
      "title": vocabulary.encoder(name),
      "explained": f"{share[0]} and {share[1]} of variance",
      **packed,
  }


def _pack(points):
  """Points as base64 of little-endian uint16, x and y on one scale."""
  xy = floats(points).reshape(-1, 2)
  known = np.isfinite(xy).all(1)
  packed = np.full(xy.shape, _MISSING, "<u2")
  if known.any():
    low, high = xy[known].min(0), xy[known].max(0)
    spread = np.maximum((high - low).max(), 1e-12)
    centred = (xy[known] - (low + high) / 2) / spread + 0.5
    packed[known] = np.round(_SCALE * np.clip(centred, 0, 1))
  return base64.b64encode(packed.tobytes()).decode("ascii")


def _colour(one):
  low, high = code_figures.limits(one)
  values = [float(v) if np.isfinite(v) else None for v in one.values]
  data = {"title": _plain(one.title), "kind": one.kind, "values": values,
          "low": low, "high": high}  # fmt: skip
  if one.kind == "levels":
    known = code_figures.levels(one)
    data["levels"] = [float(v) for v in known]
    data["ticks"] = [code_figures.tick(v, one) for v in known]
  else:
    ticks = {"share": ["0 %", "50 %", "100 %"], "angle": ["0°", "180°", "360°"]}
    middle = (low + high) / 2
    data["ticks"] = ticks.get(
        one.kind, [code_figures.tick(v, one) for v in (low, middle, high)]
    )
  return data


def _map(name):
  import matplotlib
  from matplotlib.colors import to_hex

  map_ = matplotlib.colormaps[name]
  return [to_hex(map_(i / (_STOPS - 1))) for i in range(_STOPS)]


def _interrogation(entry):
  if not entry:
    return None
  kept = ("symbols", "rows", "probes", "answers", "shape")
  return {
      "encoder": vocabulary.encoder(entry["encoder"]),
      **{key: entry[key] for key in kept},
  }
