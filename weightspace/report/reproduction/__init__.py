"""The page of a reproduction of the paper: both zoos, every encoder.

`write(results, folder, interrogations)` is the whole of it. Every part of the
results may be missing; its section is then left out.
"""

import pathlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from weightspace.report import page
from weightspace.report.reproduction import header, schema, sections

_TITLE = "What recurrent networks’ weights tell: the paper, regenerated"


def write(
    results: Mapping[str, Any],
    folder: str | pathlib.Path,
    interrogations: Mapping[str, Any] | None = None,
) -> pathlib.Path:
  """Writes FOLDER/index.html, FOLDER/figures/ and FOLDER/tables/.

  Args:
    results: what a reproduction found, see `schema.REQUIRED`.
    folder: made if it is missing; files of an earlier report are replaced.
    interrogations: by family, those of the networks shown (probes and answers
      as base64 of uint8), for the interactive scatter plot.

  Returns:
    The path of the page.

  Raises:
    ValueError: a part is not what it must be, and which.
    ImportError: matplotlib is missing.
  """
  results = schema.present(results)
  interrogations = schema.present(interrogations)
  schema.check(results, interrogations)
  content = list(sections.make(results, interrogations or {}))
  read = resources.files(__name__).joinpath
  scripts = [read(name) for name in ("interrogation.js", "scatter.js")]
  style_sheet = read("reproduction.css").read_text(encoding="utf-8")
  return page.assemble(
      results.get("title", _TITLE),
      header.summary(results, content),
      content,
      folder,
      style_sheet=style_sheet,
      script="\n".join(one.read_text(encoding="utf-8") for one in scripts),
  )
