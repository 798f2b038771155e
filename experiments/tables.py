"""Writes the numbers of a study into a document, as tables in Markdown.

    python -m experiments.tables --results=results/small/results.json \\
        --text=docs/results.md

Between `<!-- NAME of RESULTS -->` and `<!-- end -->` the text gets the table of
that name. RESULTS may be a folder with the results of several studies, each
called by its world: the table `worlds` compares them. With --check nothing is
written; the exit status is 1 if something would be.
"""

import os
import pathlib

from absl import flags

from weightspace import launch

_RESULTS = flags.DEFINE_string(
    "results", None, "results.json of a study, or a folder of several."
)
_TEXT = flags.DEFINE_string(
    "text", "docs/results.md", "File with marked places."
)
_CHECK = flags.DEFINE_bool("check", False, "Only say whether they agree.")


def fill(text: str, name: str, path: str | os.PathLike) -> str:
  """A document with the tables of the study, or the studies of the folder.

  Args:
    text: with marked places.
    name: of the study or the folder in these places.
    path: of the study or the folder.

  Raises:
    UserError: no such results or no such table.
  """
  from experiments import results
  from weightspace.report import documents

  if not os.path.isdir(path):
    return documents.fill(text, name, results.read(path))
  studies = {
      one.stem: results.read(one)
      for one in sorted(pathlib.Path(path).glob("*.json"))
  }
  return documents.fill_worlds(text, name, studies)


def main() -> int:
  """Fills in all tables of one study, or of several."""
  from weightspace.io import files

  path = pathlib.Path(_TEXT.value)
  before = path.read_text(encoding="utf-8")
  after = fill(before, _RESULTS.value, _RESULTS.value)
  if _CHECK.value and after != before:
    print(f"{path} does not agree with {_RESULTS.value}")
    return 1
  if not _CHECK.value:
    files.replace_text(path, after)
  return 0


if __name__ == "__main__":
  launch.run(main, required=("results",))
