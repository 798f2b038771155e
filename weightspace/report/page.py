"""One page that shows what a run did, and its figures as files.

The page is a single file: style, script and pictures are in it, and it asks
nothing of the outside. Its sections are written in `sections`.
"""

import base64
import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import numpy as np

from weightspace.report import schema, sections, style, tables, text


def write(
    results: Mapping[str, Any], folder: str | pathlib.Path
) -> pathlib.Path:
  """Writes FOLDER/index.html, FOLDER/figures/ and FOLDER/tables/.

  Args:
    results: what a run found, see `schema.REQUIRED`; each section may be
      missing.
    folder: made if it is missing; files of an earlier report are replaced.

  Returns:
    The path of the page.

  Raises:
    ValueError: a section lacks something, and what.
    ImportError: matplotlib is missing.
  """
  schema.check(results)
  title = results.get("title", "What these networks do")
  return assemble(
      title, sections.summary(results), sections.make(results), folder
  )


def assemble(
    title: str,
    summary: str,
    content: Iterable[sections.Section],
    folder: str | pathlib.Path,
    *,
    style_sheet: str = "",
    script: str = "",
) -> pathlib.Path:
  """Writes a page of any sections, its figures and its tables.

  Args:
    title: plain text.
    summary: HTML to begin with.
    content: what the page holds.
    folder: see `write`.
    style_sheet: CSS that these sections need beyond that of every page.
    script: JavaScript, the same.

  Returns:
    The path of the page.
  """
  style.require_matplotlib()
  folder = pathlib.Path(folder)
  for name in ("figures", "tables"):
    (folder / name).mkdir(parents=True, exist_ok=True)
  parts = []
  for i, section in enumerate(content, 1):
    parts.append(f'<section id="section-{i}">')
    parts.append(f"<h2>{text.escape(section.title)}</h2>")
    parts += [_block(block, folder) for block in section.blocks]
    parts.append("</section>")
  page = folder / "index.html"
  document = _document(
      title, summary, "\n".join(parts), style_sheet, script
  )
  page.write_text(document, encoding="utf-8")
  return page


def _document(title, summary, body, style_sheet, own_script):
  title = text.escape(title)
  if own_script:
    own_script = f"<script>\n{own_script}</script>\n"
  read = resources.files("weightspace.report").joinpath
  css = read("page.css").read_text(encoding="utf-8")
  script = read("page.js").read_text(encoding="utf-8")
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{css}{style_sheet}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{_typeset(summary)}
</header>
<main>
{body}
</main>
<script>
{script}</script>
{own_script}</body>
</html>
"""


def _block(block, folder):
  if isinstance(block, sections.Picture):
    return _picture(block, folder)
  if isinstance(block, sections.Raw):
    return block.html
  if isinstance(block, sections.Tabled):
    if block.name:
      path = folder / "tables" / f"{block.name}.csv"
      exact = tables.to_csv(block.exact or block.table)
      path.write_text(exact, encoding="utf-8")
    caption = f"<figcaption>{_typeset(block.caption)}</figcaption>"
    table = tables.to_html(block.table)
    if block.long:
      table = f'<div class="long" tabindex="0">{table}</div>'
    return (
        f'<figure class="table">{table}\n'
        f"{caption if block.caption else ''}</figure>"
    )
  return _typeset(block)


def _typeset(html):
  """Keeps a number and its percent sign in one line."""
  return re.sub(r"(\d) %", "\\1&nbsp;%", html)


def _picture(block, folder):
  picture = style.save(
      block.figure, folder / "figures", block.name, block.dpi
  )
  source = base64.b64encode(picture).decode("ascii")
  points, attribute = "", ""
  if block.hover:
    found = _points(block.figure, block.hover)
    name = f"points-{block.name}"
    attribute = f' data-points="{name}"'
    points = f'<script type="application/json" id="{name}">{found}</script>\n'
  return (
      f'<figure id="{block.name}">\n<div class="picture"{attribute}>'
      f'<img alt="{text.escape(block.alt)}"'
      f' src="data:image/svg+xml;base64,{source}"></div>\n{points}'
      f"<figcaption>{_typeset(block.caption)}</figcaption>\n</figure>"
  )


def _points(figure, hover):
  """Where the points of a drawn figure are, as shares of its size."""
  panels = [axes for axes in figure.axes if axes.get_label() == "points"]
  boxes = [axes.get_position() for axes in panels]
  axes = panels[0]
  places = axes.transAxes.inverted().transform(
      axes.transData.transform(hover.points)
  )
  data = {
      "panels": [
          [round(v, 4) for v in (b.x0, 1 - b.y1, b.width, b.height)]
          for b in boxes
      ],
      "points": [
          [round(float(x), 4), round(1 - float(y), 4), words]
          for (x, y), words in zip(places, hover.words)
          if np.isfinite([x, y]).all()  # JSON for browsers knows no NaN
      ],
  }
  # "<" cannot end the script element this stands in
  return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
