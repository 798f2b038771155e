"""Makes a page of results: figures, tables, and words around them.

    python -m experiments.report --workdir=DIR

Reads DIR/results.json and, if there is one, DIR/interrogations.json; writes
DIR/report/index.html and prints its path.
"""

import pathlib

from absl import flags

from weightspace import launch
from weightspace.errors import UserError

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of a run, with its results.json."
)
_OUT = flags.DEFINE_string(
    "out", None, "Folder for the page; WORKDIR/report if not given."
)


def main() -> None:
  """Launches `weightspace.report.study_page.write`."""
  from experiments import results
  from weightspace.report import study_page, style

  style.require_matplotlib()
  workdir = pathlib.Path(_WORKDIR.value)
  path = workdir / "results.json"
  read = results.read(path)
  out = _OUT.value or workdir / "report"
  beside = workdir / "interrogations.json"
  interrogations = results.read(beside) if beside.exists() else None
  try:
    print(study_page.write(read, out, interrogations))
  except UserError as error:
    raise UserError(f"{path}: {error}") from error


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
