"""Regenerates the paper: zoos, encoders, tables, figures, one page.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/reproduce.py:small

Resumes at every stage and within it; killed and run again, it goes on. Zoos
that are there already are taken with --zoo=formal_language=DIR. Stages can be
asked for one by one, --stages='emulation/*,heads/formal_language'; each leaves
its part on disk. Writes WORKDIR/results.json, every number with the runs it is
from, and WORKDIR/report: a page, its tables as CSV, its figures as PNG and SVG.
"""

import sys

from absl import flags
from ml_collections import config_flags

from weightspace import launch

_CONFIG = config_flags.DEFINE_config_file(
    "config", "experiments/configs/reproduce.py:small", "What to run."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all of it.")
_ZOO = flags.DEFINE_multi_string(
    "zoo", [], "FAMILY=DIR, a zoo that is there already; may be repeated."
)
_STAGES = flags.DEFINE_list(
    "stages", ["*"], "Patterns of STAGE/FAMILY: which stages to run."
)
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes, each on a core of its own; 0 does all in this"
    " one. By default one for each core, 0 with an accelerator.",
    lower_bound=0,
)  # fmt: skip
_ESTIMATE = flags.DEFINE_bool(
    "estimate", None, "Time some steps first and say how long all will take;"
    " by default for the paper's size. --noestimate does not."
)  # fmt: skip
_KEEP = flags.DEFINE_string(
    "keep", None, "File for the tables' numbers alone, small enough to be kept"
    " with the code; `experiments.tables` writes texts from it.",
)  # fmt: skip
_REPORT = flags.DEFINE_bool(
    "report", True, "Draw the page; python -m experiments.report does it later."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only say what would be done.")


def main() -> None:
  """Launches `experiments.reproduction.pipeline.run`."""
  import os

  import jax

  from experiments import results
  from experiments.reproduction import estimate, pipeline
  from weightspace.report import reproduction, style
  from weightspace.training.progress import Progress

  style.require_matplotlib()  # rather now than at the end
  config = _CONFIG.value.to_dict()
  zoos = _zoos(config)
  workers = _WORKERS.value
  if workers is None:
    on_cpu = jax.default_backend() == "cpu"
    workers = len(os.sched_getaffinity(0)) if on_cpu else 0
  pipeline.select(config, _STAGES.value)
  timed = _ESTIMATE.value
  if timed is None:
    timed = config["size"] == "paper"
  print(estimate.text(config, workers or 1, timed=timed), file=sys.stderr)
  if _DRY_RUN.value:
    return
  _keep_compiled()
  found = pipeline.run(
      config,
      _WORKDIR.value,
      zoos=zoos,
      stages=_STAGES.value,
      workers=workers,
      command=f"python -m experiments.reproduce --config={_name(config)}",
      progress=Progress(),
  )
  if _KEEP.value:
    results.write(_KEEP.value, pipeline.numbers(found))
  if _REPORT.value:
    print(reproduction.write(
        found,
        os.path.join(_WORKDIR.value, "report"),
        pipeline.interrogations(_WORKDIR.value),
    ))


def _keep_compiled():
  """What is compiled is read again by other stages, workers and runs."""
  import os

  import jax

  name = "JAX_COMPILATION_CACHE_DIR"
  folder = os.path.join(_WORKDIR.value, "compiled")
  os.environ.setdefault(name, os.path.abspath(folder))  # workers inherit it
  jax.config.update(name.lower(), os.environ[name])


def _name(config):
  return f"experiments/configs/reproduce.py:{config['size']}"


def _zoos(config):
  found = {}
  for text in _ZOO.value:
    family, _, folder = text.partition("=")
    if not folder or family not in config["zoos"]:
      raise ValueError(
          f"--zoo={text} is not FAMILY=DIR with a family of"
          f" {', '.join(config['zoos'])}"
      )
    found[family] = folder
  return found


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
