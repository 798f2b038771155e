"""Writes the numbers of a study into a document, as tables in Markdown.

    python -m experiments.tables --results=results/small/results.json \\
        --text=docs/results.md

Between `<!-- NAME of RESULTS -->` and `<!-- end -->` the text gets the table of
that name. With --check nothing is written; the exit status is 1 if something
would be.
"""

import pathlib

from absl import flags

from weightspace import launch

_RESULTS = flags.DEFINE_string("results", None, "results.json of a study.")
_TEXT = flags.DEFINE_string(
    "text", "docs/results.md", "File with marked places."
)
_CHECK = flags.DEFINE_bool("check", False, "Only say whether they agree.")


def main() -> int:
  """Fills in all tables of one study."""
  from experiments import results
  from weightspace.io import files
  from weightspace.report import documents

  path = pathlib.Path(_TEXT.value)
  before = path.read_text(encoding="utf-8")
  after = documents.fill(before, _RESULTS.value, results.read(_RESULTS.value))
  if _CHECK.value and after != before:
    print(f"{path} does not agree with {_RESULTS.value}")
    return 1
  if not _CHECK.value:
    files.replace_text(path, after)
  return 0


if __name__ == "__main__":
  launch.run(main, required=("results",))
