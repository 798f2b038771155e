"""HTML of notebooks and of the index: pages that ask nobody for anything."""

import base64
import html
import io
import pathlib
import re
from collections.abc import Iterable

from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import BashLexer, PythonLexer

from docs.percent import Cell, Output

HERE = pathlib.Path(__file__).parent
_CODE = HtmlFormatter(style="friendly", nowrap=True)
# A file in a notebook: its text as a string, which is shown as the code it is
_FILE = re.compile(r"(\w+ = '''\\?\n)(.*?\n)('''\n?)(.*)", re.DOTALL)


def markdown(text: str) -> str:
  """CommonMark and tables as HTML, with code in colours."""

  def colour(code, language, attributes):
    lexer = BashLexer() if language == "sh" else PythonLexer()
    return highlight(code, lexer, _CODE)

  parser = MarkdownIt("commonmark", {"highlight": colour}).enable("table")
  return parser.render(text)


def title(cells: Iterable[Cell]) -> str:
  """The first heading of a notebook."""
  for cell in cells:
    if cell.kind == "markdown" and cell.text.startswith("# "):
      return cell.text.split("\n", 1)[0].removeprefix("# ")
  raise ValueError("a notebook needs a heading, '# # TITLE', in its first cell")


def summary(cells: Iterable[Cell]) -> str:
  """The paragraph after that heading, Markdown."""
  first = next(iter(cells)).text.split("\n\n")
  return first[1] if len(first) > 1 else ""


def notebook(found: Iterable[tuple[Cell, Output | None]]) -> str:
  """Prose, code, what it printed and its pictures, as the body of a page."""
  return "\n".join(
      markdown(cell.text) if output is None else _code(cell) + _shown(output)
      for cell, output in found
  )


def page(name: str, body: str, *, home: str | None = "index.html") -> str:
  """A whole page, which needs no other file.

  Args:
    name: its title.
    body: HTML.
    home: where the index is; None for the index itself.
  """
  style = (HERE / "page.css").read_text() + _CODE.get_style_defs(".code")
  back = f'<nav><a href="{home}">weightspace</a></nav>' if home else ""
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(name)}</title>
<style>
{style}
</style>
</head>
<body>
{back}
{body}
</body>
</html>
"""


def _code(cell):
  text = cell.text
  parts = [text]
  if match := _FILE.fullmatch(text):
    parts = [part for part in match.groups() if part.strip()]
  coloured = "".join(
      highlight(part, PythonLexer(stripnl=False, ensurenl=False), _CODE)
      for part in parts
  )
  return f'<pre class="code">{coloured}</pre>'


def _shown(output):
  found = ""
  if output.printed.strip():
    found += f'<pre class="printed">{html.escape(output.printed)}</pre>'
  if isinstance(output.value, Figure):
    found += _picture(output.value)
  elif output.value is not None:
    found += f'<pre class="printed">{html.escape(repr(output.value))}</pre>'
  return found


def _picture(figure):
  # As an image, so that the names in one SVG cannot meet those in another
  file = io.BytesIO()
  figure.savefig(file, format="svg", metadata={"Date": None})
  data = base64.b64encode(file.getvalue()).decode()
  titles = [axes.get_title("left") or axes.get_title() for axes in figure.axes]
  words = html.escape("; ".join(t for t in titles if t), quote=True)
  return f'<img src="data:image/svg+xml;base64,{data}" alt="{words}">'


def index(notebooks: Iterable[tuple[str, str, str]]) -> str:
  """The page that leads to all others.

  Args:
    notebooks: address, title and summary of each.
  """
  picture = (HERE / "architecture.svg").read_text()
  picture = picture[picture.index("<svg") :]
  items = "\n".join(
      f'<li><a href="{address}">{html.escape(name)}</a>{markdown(words)}</li>'
      for address, name, words in notebooks
  )
  return page(
      "weightspace",
      f"""<h1>weightspace</h1>
<p class="lead">Learn what recurrent networks do from their weights.</p>
<figure>{picture}</figure>
<h2>Notebooks</h2>
<ul class="notebooks">
{items}
</ul>
<h2>Reference</h2>
<p><a href="api/weightspace.html">The library, module by module</a>; making
zoos: <a href="api/zoo_gen/shards.html">zoo_gen.shards</a> and
<a href="api/zoo_gen/trainer.html">zoo_gen.trainer</a>.</p>
""",
      home=None,
  )
