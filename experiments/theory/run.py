"""The three parts of the theory's experiment, their results and the page."""

import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from experiments import results
from experiments.theory import learning, page, queries
from experiments.theory.config import Config
from weightspace import plugins
from weightspace.io import locks, workdir
from weightspace.progress import Progress
from weightspace.report import style


def run(
    folder: str | os.PathLike,
    config: Mapping[str, Any],
    progress: Progress,
) -> tuple[dict[str, Any], pathlib.Path]:
  """All three parts and the page.

  Args:
    folder: for all of it.
    config: see `experiments/configs/theory.py`.
    progress: shows the stages.

  Returns:
    The results and the path of the page.
  """
  style.require_matplotlib()  # fail now rather than at the end
  commit = results.commit()
  sizes = plugins.configure(Config, config["learning"], "learning")
  folder = workdir.claim(folder, config)
  with locks.hold(folder):
    return _run(folder, config, sizes, commit, progress)


def _run(folder, config, sizes, commit, progress):
  seconds, measured = {}, {}
  for name, part in (
      (
          "exact",
          lambda: queries.exact(config["seconds"], config["every_family"]),
      ),
      ("built", lambda: queries.built(config["depths"])),
      ("learning", lambda: learning.study(sizes, progress=progress)),
  ):
    start = time.monotonic()
    measured[name] = part()
    seconds[name] = round(time.monotonic() - start, 1)
  measured = {
      "title": "How many questions does it take to know a function?",
      "command": "python -m experiments.theory",
      "commit": commit,
      "seed": sizes.seed,
      "software": results.software(),
      "seconds": seconds,
      **measured,
  }
  results.write(folder / "results.json", measured)
  return measured, page.write(measured, folder / "report")
