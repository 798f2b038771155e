"""Makes a page of what a run found: figures, tables, and words around them.

    python -m experiments.report --workdir=DIR

Reads DIR/results.json, writes DIR/report/index.html and prints where it is.
Results with "zoos" are those of a reproduction; of these, a file
DIR/interrogations.json is read too, if there is one.
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
  """Launches `weightspace.report.page.write`, or `reproduction.write`."""
  from weightspace.report import page, reproduction, style

  try:
    style.require_matplotlib()
  except ImportError as error:
    raise ValueError(str(error)) from error
  workdir = pathlib.Path(_WORKDIR.value)
  path = workdir / "results.json"
  results = read(path)
  try:
    out = _OUT.value or workdir / "report"
    if isinstance(results, dict) and "zoos" in results:
      interrogations = workdir / "interrogations.json"
      asked = read(interrogations) if interrogations.exists() else None
      written = reproduction.write(results, out, asked)
    else:
      written = page.write(results, out)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  print(written)


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
