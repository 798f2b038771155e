"""How all figures look, and how they are made and saved.

Colours are Okabe and Ito's, which colour-blind readers can distinguish; markers
and line styles say the same in grey. Nothing here touches matplotlib's global
state beyond the function that is drawing.
"""

import contextlib
import functools
import importlib
import io
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from weightspace.errors import MissingPackage
from weightspace.io import files

if TYPE_CHECKING:
  from matplotlib.figure import Figure

INK, GREY, FAINT = "#222222", "#6b6b6b", "#c9c9c9"
BLUE, ORANGE = "#0072b2", "#d55e00"
SEQUENTIAL = "cividis"  # monotone in grey, the same to colour-blind readers
CYCLIC = "twilight"  # ends in the colour in which it begins
WIDTH = 9.6  # inches; the page shows them as 60 rem

_RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "mathtext.default": "regular",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "weightspace",  # same results, same file
}


class Look(NamedTuple):
  """How an encoder is drawn, in every figure."""

  colour: str
  line: Any
  marker: str


_LOOKS = {
    "constant": Look(GREY, (0, (4, 2)), "D"),
    "statistics": Look(ORANGE, (0, (6, 1.5, 1.5, 1.5)), "s"),
    "interactive": Look(BLUE, "-", "o"),
    "noninteractive": Look("#56b4e9", (0, (1.5, 1)), "^"),
    "flat": Look("#e69f00", (0, (3, 1)), "v"),
    "transformer": Look("#cc79a7", (0, (5, 1, 1, 1, 1, 1)), "P"),
    "dws": Look("#009e73", (0, (8, 2)), "X"),
    "listening": Look("#7a3e9d", "-", "d"),
    "watching": Look("#8c2d04", "-", "d"),
    "dialogue": Look("#b9770e", (0, (2, 1, 6, 1)), ">"),
    "deep_linear": Look("#4d7c2a", (0, (1, 1)), "<"),
    "hybrid": Look("#00695c", (0, (10, 1)), "p"),
    "truth": Look(INK, (0, (1, 2)), "*"),
    "weights": Look(INK, (0, (1, 1.5)), "*"),
    "chance": Look(GREY, (0, (4, 3)), "_"),
}


def look(encoder: str) -> Look:
  """How to draw this encoder, or "NAME, how it differs"; others are black."""
  if encoder in _LOOKS:
    return _LOOKS[encoder]
  base = _LOOKS.get(encoder.partition(",")[0], Look("black", "-", "h"))
  return base._replace(line=(0, (1, 0.8)), marker="H")


def require_matplotlib() -> None:
  """Says what to install where something that reports need is missing.

  Raises:
    MissingPackage: it is.
  """
  for name in ("matplotlib", "pandas", "jinja2"):
    try:
      importlib.import_module(name)
    except ImportError as error:
      raise MissingPackage(
          f"reports need {name}: pip install 'weightspace[report]'"
      ) from error


@contextlib.contextmanager
def _settings():
  require_matplotlib()
  import matplotlib

  with matplotlib.rc_context(_RC):
    yield


def styled(draw: Callable[..., "Figure"]) -> Callable[..., "Figure"]:
  """A figure function that draws in the house style."""

  @functools.wraps(draw)
  def wrapped(*args, **kwargs):
    with _settings():
      return draw(*args, **kwargs)

  return wrapped


def new(height: float) -> "Figure":
  """An empty figure as wide as the page, `height` inches high."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(WIDTH, height), layout="constrained")
  figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
  FigureCanvasAgg(figure)
  return figure


def grid(count: int, height: float):
  """A figure of `count` panels in lines `height` high, three in a line."""
  across = min(count, 3)
  lines = -(-count // across)
  figure = new(height * lines + 0.4)
  panels = figure.subplots(lines, across, squeeze=False)
  for axes in panels.ravel()[count:]:
    axes.set_visible(False)
  return figure, panels


def floats(values: Any) -> np.ndarray:
  """Numbers as an array, NaN where there is null."""
  return np.asarray(values, float)


def finite(values: Any) -> np.ndarray:
  """The numbers among values."""
  values = floats(values)
  return values[np.isfinite(values)]


def shares(axis, signed=False):
  """Ticks in percent, or differences of shares in percentage points."""
  from matplotlib.ticker import FuncFormatter, MaxNLocator

  axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))

  def write(share, _):
    percent = round(100 * share)
    sign = "+" if signed and percent > 0 else ""
    unit = "" if signed else " %"
    return f"{sign}{percent}{unit}".replace("-", "−")

  axis.set_major_formatter(FuncFormatter(write))


def save(
    figure: "Figure", folder: pathlib.Path, name: str, dpi: int = 200
) -> bytes:
  """Writes NAME.png and NAME.svg; returns the SVG.

  What is rasterized in the SVG has `dpi` dots an inch too.
  """
  with _settings(), files.naming(folder / f"{name}.png"):
    picture = io.BytesIO()
    figure.savefig(
        picture, format="svg", dpi=dpi, metadata={"Date": None}
    )
    figure.set_layout_engine("none")  # laid out above: slow, and the same
    figure.savefig(folder / f"{name}.png", dpi=dpi)
    (folder / f"{name}.svg").write_bytes(picture.getvalue())
  return picture.getvalue()
