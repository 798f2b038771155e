"""The page of a study: its zoos, encoders and what their codes say."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from weightspace.io import locks
from weightspace.report import (
  charts,
  code_figures,
  contents,
  figures,
  page,
  predictions,
  scatter,
  schema,
  statements,
  style,
  templates,
  text,
  vocabulary,
)
from weightspace.report import frame as frame_lib

SCRIPTS = ("interrogation.js", "scatter.js")
# Title, template, and the parts of the results of which it needs any
SECTIONS = (
    ("Claims", "claims", ("claims",)),
    ("What the codes look like", "codes", ("codes",)),
    ("The networks", "zoos", ("zoos",)),
    ("Codes from emulation", "emulation", ("emulation",)),
    ("How codes were learned", "pretraining", ("pretraining",)),
    ("What the codes predict", "prediction", ("prediction",)),
    ("An interrogation, step by step", "transcripts", ("transcripts",)),
    ("Clones", "clones", ("clones",)),
    ("Few labels", "few_labels", ("labels",)),
    ("What the codes keep", "kept", ("invariance", "neighbours")),
    ("Variants of encoders", "variants", ("variants",)),
    ("Hyper-parameter search", "search", ("search",)),
    ("What it takes to get the paper’s numbers", "note", ("note",)),
)
_TITLE = "What recurrent networks do, read from their weights"


def write(
    results: Mapping[str, Any],
    folder: str | pathlib.Path,
    interrogations: Mapping[str, Any] | None = None,
) -> pathlib.Path:
  """Writes FOLDER/index.html, FOLDER/figures/ and FOLDER/tables/.

  Args:
    results: of a study, see docs/formats.md; each part may be missing.
    folder: made if it is missing; files of an earlier report are replaced.
    interrogations: by family, those of the networks shown (probes and answers
      as base64 of uint8), for the interactive scatter plot.

  Returns:
    The path of the page.

  Raises:
    ValueError: these are no results of a study, or damaged ones.
    ImportError: matplotlib, pandas or jinja2 is missing.
  """
  results = schema.present(results)
  interrogations = schema.present(interrogations) or {}
  schema.check(results, interrogations)
  style.require_matplotlib()  # before there is a folder
  with locks.hold(folder), schema.explained("results"):
    return _write(results, interrogations, page.Document(folder))


def _write(results, interrogations, document):
  frame = frame_lib.tidy(results)
  context = {
      "results": results,
      "frame": frame,
      "interrogations": interrogations,
      "several": len(results.get("zoos", {})) > 1,
      "families": lambda part: [
          (family, results[part][family], vocabulary.of_family(family))
          for family in vocabulary.families(results.get(part, {}))
      ],
      "picture": document.picture,
      "table": document.table,
      "select": frame_lib.select,
      "charts": charts,
      "code_figures": code_figures,
      "contents": contents,
      "figures": figures,
      "predictions": predictions,
      "scatter": scatter,
      "statements": statements,
  }
  content = list(_sections(results, context))
  return page.assemble(
      results.get("title", _TITLE),
      templates.render(
          "summary.html", facts=statements.facts(results, frame), **context
      ),
      content,
      document.folder,
      scripts=SCRIPTS if "codes" in results else (),
  )


def _sections(results, context) -> Iterator[page.Section]:
  for title, template, parts in SECTIONS:
    if any(part in results for part in parts):
      html = templates.render(f"{template}.html", **context)
      if text.has_words(html):
        yield page.Section(title, [html])
  yield from page.made(results)
  if runs := results.get("runs"):
    yield page.Section("All runs", [
        page.Tabled(
            contents.runs(runs, exact=False),
            f"<b>{text.count(len(runs))}"
            f" training{'s' if len(runs) > 1 else ''}.</b> Cells of the tables"
            " above name the runs behind them; the CSV files have them in the"
            " column <code>runs</code>.",
            "runs",
            contents.runs(runs, exact=True),
            long=True,
        )
    ])  # fmt: skip
