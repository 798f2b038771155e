"""A page in a single file, beside it its figures and its tables as files.

Style, scripts and pictures are in the page, which loads nothing else.
"""

import base64
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from weightspace.io import files
from weightspace.report import style, tables, templates, text

if TYPE_CHECKING:
  from markupsafe import Markup
  from matplotlib.figure import Figure

_SCRIPT = re.compile(r"(?s)(<script.*?</script>|base64,[^\"]*)|(\d) %")


class Picture(NamedTuple):
  """A figure, its file's name, what it shows, and how to read it (HTML)."""

  name: str
  figure: "Figure"
  alt: str
  caption: str
  dpi: int = 200


class Tabled(NamedTuple):
  """A table, how to read it (HTML), and the CSV file's name, if any.

  The file holds `exact` where that is given: more than readers are shown.
  A long table is shown in a box of limited height.
  """

  table: tables.Table
  caption: str
  name: str = ""
  exact: tables.Table | None = None
  long: bool = False


class Section(NamedTuple):
  """A title and what stands under it: HTML, pictures and tables."""

  title: str
  blocks: list[str | Picture | Tabled]


class Document:
  """Writes the figures and tables of a page, and returns their HTML.

  The methods can be called from templates, `{% call picture(...) %}caption`.
  """

  def __init__(self, folder: str | pathlib.Path):
    """Makes the folders; files of an earlier report are replaced.

    Raises:
      ImportError: matplotlib, pandas or jinja2 is missing.
    """
    style.require_matplotlib()
    self.folder = pathlib.Path(folder)
    for name in ("figures", "tables"):
      (self.folder / name).mkdir(parents=True, exist_ok=True)

  def picture(
      self,
      name: str,
      figure: "Figure",
      alt: str,
      *,
      dpi: int = 200,
      caller: Callable[[], str],
  ) -> "Markup":
    """Saves a figure as PNG and SVG; `caller` makes its caption, HTML."""
    name = text.file_name(name)
    svg = style.save(figure, self.folder / "figures", name, dpi)
    return _markup(
        "picture.html", name=name, alt=alt, caption=_safe(caller()),
        source=base64.b64encode(svg).decode("ascii"),
    )  # fmt: skip

  def table(
      self,
      name: str,
      table: tables.Table,
      *,
      exact: tables.Table | None = None,
      long: bool = False,
      caller: Callable[[], str],
  ) -> "Markup":
    """Saves a table, or the exact one, as CSV; see `picture`."""
    if name:
      path = self.folder / "tables" / f"{text.file_name(name)}.csv"
      with files.naming(path):
        path.write_text(tables.to_csv(exact or table), encoding="utf-8")
    return _markup(
        "tabled.html", table=_safe(tables.to_html(table)), long=long,
        caption=_safe(caller()),
    )  # fmt: skip

  def block(self, block: str | Picture | Tabled) -> str:
    """The HTML of a block of a section."""
    if isinstance(block, Picture):
      return self.picture(
          block.name, block.figure, block.alt, dpi=block.dpi,
          caller=lambda: block.caption,
      )  # fmt: skip
    if isinstance(block, Tabled):
      return self.table(
          block.name, block.table, exact=block.exact, long=block.long,
          caller=lambda: block.caption,
      )  # fmt: skip
    return block


def assemble(
    title: str,
    summary: str,
    content: Iterable[Section],
    folder: str | pathlib.Path,
    *,
    scripts: Iterable[str] = (),
) -> pathlib.Path:
  """Writes a page of any sections, its figures and its tables.

  Args:
    title: plain text.
    summary: HTML to begin with.
    content: what the page holds.
    folder: gets index.html, figures/ and tables/.
    scripts: names of JavaScript files of this package.

  Returns:
    The path of the page.
  """
  document = Document(folder)
  sections = [
      {"title": section.title,
       "html": _safe("\n".join(map(document.block, section.blocks)))}
      for section in content
  ]  # fmt: skip
  html = templates.render(
      "page.html",
      title=title,
      summary=_safe(summary),
      sections=sections,
      css=_safe(_read("page.css")),
      scripts=_safe("\n".join(map(_read, scripts))),
  )
  # A number and its percent sign stay in one line
  html = _SCRIPT.sub(lambda m: m[1] or f"{m[2]}&nbsp;%", html)
  path = document.folder / "index.html"
  with files.naming(path):
    path.write_text(html, encoding="utf-8")
  return path


def made(results: Mapping[str, Any]) -> Iterable[Section]:
  """How the page was made, if that is known: command, commit, times, ..."""
  names = ("command", "size", "commit", "seed", "seconds", "software")
  facts = {name: results[name] for name in names if name in results}
  if any(value not in (None, {}) for value in facts.values()):
    html = templates.render("made.html", facts=facts)
    yield Section("How this page was made", [html])


def _read(name):
  file = resources.files("weightspace.report").joinpath(name)
  return file.read_text(encoding="utf-8")


def _markup(template, **values):
  return _safe(templates.render(template, **values))


def _safe(html):
  from markupsafe import Markup

  return Markup(html)
