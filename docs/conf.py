"""Sphinx builds the documentation: pages that need no network.

    pip install -e '.[docs]' && sphinx-build docs /tmp/weightspace/docs

The notebooks are Python scripts in the percent format. Each one is executed,
and its output and figures are part of its page.
"""

import importlib.util
import os
import re
import tempfile

# Notebooks share a folder, so that a zoo is trained once.
os.environ.setdefault("WEIGHTSPACE_NOTEBOOKS", tempfile.mkdtemp())

project = "weightspace"
html_title = "weightspace"
author = "The weightspace authors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "conf.py"]
templates_path = ["_templates"]
html_static_path = ["_static"]

myst_enable_extensions = ["colon_fence", "smartquotes"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
if not importlib.util.find_spec("torch"):  # one notebook trains with it
  nb_execution_excludepatterns = ["**/your_networks.py"]
nb_merge_streams = True

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
python_maximum_signature_line_length = 80
autodoc_default_options = {"ignore-module-all": True}
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
suppress_warnings = [
    "ref.python",  # a class that a package exports again
    "myst-nb.lexer",  # of notebooks that are not executed
]
default_role = "literal"  # a docstring names code in single backticks

html_theme = "furo"
html_css_files = ["tables.css"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch pages
highlight_language = "none"
html_theme_options = {"navigation_with_keys": True}


def _as_plain_text(app, what, name, obj, options, lines):
  """Escapes docstrings, which are text with `code` and indented blocks."""
  text = 0  # the last line that is not blank and not in a block
  block = False
  for i, line in enumerate(lines):
    if not line.strip():
      continue
    deeper = _indent(line) > _indent(lines[text])
    if i and deeper and not lines[i - 1].strip() and not block:
      lines[text] = lines[text].removesuffix(":") + "::"
      block = True
    if block and deeper:
      continue
    block, text = False, i
    escaped = re.sub(r"[*|\\]|_(?!\w)", r"\\\g<0>", line)
    lines[i] = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", escaped)


def _indent(line):
  return len(line) - len(line.lstrip())


def _skip_fields(app, what, name, obj, skip, options):
  """Skips a field of a named tuple; its class describes it."""
  doc = getattr(obj, "__doc__", None) or ""
  return True if doc.startswith("Alias for field number") else None


def setup(app):
  """Registers the hooks with Sphinx."""
  # Before napoleon reads the sections of a docstring.
  app.connect("autodoc-process-docstring", _as_plain_text, priority=400)
  app.connect("autodoc-skip-member", _skip_fields)
