"""Makes a page of results: figures, tables, and words around them.

    python -m experiments.report --workdir=DIR

Reads DIR/results.json and, if there is one, DIR/interrogations.json; writes
DIR/report/index.html and prints its path.
"""

import json
import pathlib

from absl import flags

from weightspace import launch

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of a run, with its results.json."
)
_OUT = flags.DEFINE_string(
    "out", None, "Folder for the page; WORKDIR/report if not given."
)


def read(path: pathlib.Path) -> dict:
  """Reads results.

  Raises:
    ValueError: there are none, or they are damaged, and what to do.
  """
  try:
    results = json.loads(path.read_text(encoding="utf-8"))
  except (FileNotFoundError, NotADirectoryError):
    raise ValueError(
        f"{path} does not exist: run python -m experiments.quickstart"
        f" --workdir={path.parent}, or give another --workdir"
    ) from None
  except ValueError as error:  # not JSON, or not text at all
    raise ValueError(
        f"{path} is not valid JSON ({error}): delete it and run again what"
        " wrote it"
    ) from None
  return results


def main() -> None:
  """Launches `weightspace.report.study_page.write`."""
  from weightspace.report import study_page, style

  try:
    style.require_matplotlib()
  except ImportError as error:
    raise ValueError(str(error)) from error
  workdir = pathlib.Path(_WORKDIR.value)
  path = workdir / "results.json"
  results = read(path)
  out = _OUT.value or workdir / "report"
  beside = workdir / "interrogations.json"
  interrogations = read(beside) if beside.exists() else None
  try:
    print(study_page.write(results, out, interrogations))
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
