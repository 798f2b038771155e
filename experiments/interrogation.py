"""Section 3 of the paper: solved, built by hand, learned, and on one page."""

import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from experiments import queries, results, secret_paths
from weightspace import plugins
from weightspace.report import style, theory
from weightspace.training import workdir
from weightspace.training.progress import Progress


def run(
    folder: str | os.PathLike,
    config: Mapping[str, Any],
    progress: Progress,
) -> tuple[dict[str, Any], pathlib.Path]:
  """All three parts and the page.

  Args:
    folder: for all of it.
    config: see `experiments/configs/theory.py`.
    progress: where to show how far it is.

  Returns:
    The results and the path of the page.
  """
  style.require_matplotlib()  # rather now than at the end
  commit = results.commit()
  learning = plugins.configure(
      secret_paths.Config, config["learning"], "learning"
  )
  folder = workdir.claim(folder, config)
  seconds, found = {}, {}
  for name, part in (
      (
          "exact",
          lambda: queries.exact(config["seconds"], config["every_family"]),
      ),
      ("built", lambda: queries.built(config["depths"])),
      ("learning", lambda: secret_paths.study(learning, progress=progress)),
  ):
    start = time.monotonic()
    found[name] = part()
    seconds[name] = round(time.monotonic() - start, 1)
  found = {
      "title": "How many questions does it take to know a function?",
      "command": "python -m experiments.theory",
      "commit": commit,
      "seed": learning.seed,
      "software": results.software(),
      "seconds": seconds,
      **found,
  }
  results.write(folder / "results.json", found)
  return found, theory.write(found, folder / "report")
