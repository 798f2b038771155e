"""The scatter plot that readers explore: its data and its markup.

Drawn in the browser by `scatter.js`; a click on a point shows, by
`interrogation.js`, how its network was interrogated. Without scripts, and in
print, the static figures that follow it stand in its place.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from weightspace.report import style, text
from weightspace.report.reproduction import code_figures, words
from weightspace.report.reproduction.schema import floats
from weightspace.report.sections import Raw, file_name

_SPLITS = ("train", "validation", "ood")
_MISSING = 65535  # stands for a point that is nowhere
_SCALE = 65534
_STOPS = 33  # of a colour map, between which the browser interpolates


def widget(
    family: str,
    found: Mapping[str, Any],
    interrogation: Mapping[str, Any] | None,
) -> Raw:
  """Markup and data of one zoo's scatter plot."""
  name = file_name(family)
  pictures = words.sources(found["pictures"])
  colours = code_figures.colourings(family, found["rows"])
  data = _data(family, found, pictures, colours, interrogation)
  # "<" cannot end the script element this stands in
  listed = json.dumps(data, ensure_ascii=False, allow_nan=False).replace(
      "<", "\\u003c"
  )
  encoders = [n for n in pictures if n != "weights"]
  left = encoders[-1] if encoders else pictures[0]
  right = pictures[-1]
  choices = "".join((
      _select("left", "Left", _pictures(pictures), left),
      _select("right", "Right", _pictures(pictures), right),
      _select("projection", "Projection", code_figures.PROJECTIONS, "pca"),
      _select(
          "colour",
          "Colour",
          {str(i): _plain(c.title) for i, c in enumerate(colours)}
          | {"split": "split"},
          str([c.title for c in colours].index("step") - 1),
      ),
  ))
  sides = "".join(
      f'<div class="side"><p class="title"></p><div class="plot" tabindex="0"'
      f' role="application" data-side="{side}"><canvas></canvas>'
      '<div class="ring"></div><div class="tip"></div></div></div>'
      for side in ("left", "right")
  )
  return Raw(
      f'<div class="scatter" id="scatter-{name}" data-from="codes-of-{name}"'
      f' hidden>\n<div class="choices">{choices}</div>\n'
      f'<div class="sides">{sides}</div>\n<div class="key"></div>\n'
      '<p class="said" role="status"></p>\n'
      '<div class="interrogation" aria-live="polite"></div>\n</div>\n'
      f'<script type="application/json" id="codes-of-{name}">{listed}</script>'
  )


def _pictures(names):
  return {name: words.source(name) for name in names}


def _plain(title):
  return title.replace("m_", "number of ") if title.startswith("m_") else title


def _select(name, label, options, chosen):
  listed = "".join(
      f'<option value="{text.escape(value)}"'
      f"{' selected' if value == chosen else ''}>{text.escape(shown)}</option>"
      for value, shown in options.items()
  )
  return f'<label>{label} <select name="{name}">{listed}</select></label>'


def _data(family, found, pictures, colours, interrogation):
  rows = found["rows"]
  return {
      "said": _said(family, rows),
      "split": [_SPLITS.index(s) if s in _SPLITS else 0 for s in rows["split"]],
      "splits": [text.SPLITS[name] for name in _SPLITS],
      "pictures": {name: _picture(found["pictures"][name], name)
                   for name in pictures},
      "projections": code_figures.PROJECTIONS,
      "colours": [_colour(one) for one in colours],
      "maps": {
          "sequential": _map(style.SEQUENTIAL), "cyclic": _map(style.CYCLIC),
      },
      "interrogation": _interrogation(interrogation),
  }  # fmt: skip


def _said(family, rows):
  """What is said of each network where somebody points at it."""
  said = words.of(family)
  count = len(rows["step"])
  described = rows.get("describe", [""] * count)
  return [
      "\n".join(
          line
          for line in (
              text.language_plain(name),
              f"{said.accuracy} {text.percent(accuracy)}",
              f"step {text.count(step)}",
              text.SPLITS.get(split, split),
          )
          if line
      )
      for name, accuracy, step, split in zip(
          described, rows["accuracy"], rows["step"], rows["split"]
      )
  ]


def _picture(found, name):
  packed = {
      projection: _pack(found[projection])
      for projection in code_figures.PROJECTIONS
      if projection in found
  }
  share = [text.percent(one) for one in found["explained"][:2]]
  return {
      "title": words.source(name),
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
    data["ticks"] = [code_figures.tick(v) for v in known]
  else:
    ticks = {"share": ["0 %", "50 %", "100 %"], "angle": ["0°", "180°", "360°"]}
    middle = (low + high) / 2
    data["ticks"] = ticks.get(
        one.kind, [code_figures.tick(v) for v in (low, middle, high)]
    )
  return data


def _map(name):
  import matplotlib
  from matplotlib.colors import to_hex

  map_ = matplotlib.colormaps[name]
  return [to_hex(map_(i / (_STOPS - 1))) for i in range(_STOPS)]


def _interrogation(found):
  if not found:
    return None
  kept = ("symbols", "rows", "probes", "answers", "shape")
  return {
      "encoder": words.source(found["encoder"]),
      **{key: found[key] for key in kept},
  }
