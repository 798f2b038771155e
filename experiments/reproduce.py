"""Regenerates the paper: zoos, encoders, tables, figures, one page.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/reproduce.py:small

Resumes at every stage and within it. Existing zoos are used with
--zoo=formal_language=DIR. Stages can be run one by one:
--stages='emulation/*,heads/formal_language'. Writes WORKDIR/results.json, every
number with the runs behind it, and WORKDIR/report: a page, its tables as CSV,
its figures as PNG and SVG.
"""

import sys

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    "experiments/configs/reproduce.py:small", "What to run."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all of it.")
_ZOO = flags.DEFINE_multi_string(
    "zoo", [], "FAMILY=DIR, a zoo that is there already; may be repeated."
)
_STAGES = flags.DEFINE_list(
    "stages", ["*"], "Patterns of STAGE/FAMILY: which stages to run."
)
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes, one a core; 0: all in this one. By default one"
    " for each core, 0 with an accelerator.", lower_bound=0,
)  # fmt: skip
_ESTIMATE = flags.DEFINE_bool(
    "estimate", None, "Time some steps first and say how long all will take; by"
    " default for the paper's size.",
)  # fmt: skip
_KEEP = flags.DEFINE_string(
    "keep", None, "File for the numbers alone, as `experiments.tables` reads."
)
_REPORT = flags.DEFINE_bool(
    "report", True, "Draw the page; python -m experiments.report does it later."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only say what would be done.")


def main() -> None:
  """Launches `experiments.study.pipeline.run`."""
  from experiments import results
  from experiments.study import estimate, gathering, pipeline
  from experiments.study import workers as workers_lib
  from weightspace.progress import Progress
  from weightspace.report import study_page, style

  style.require_matplotlib()  # rather now than at the end
  config, workdir = _CONFIG.value.to_dict(), _WORKDIR.value
  zoos = pipeline.parse_zoos(config, _ZOO.value)
  pipeline.select(config, _STAGES.value)
  workers = workers_lib.default() if _WORKERS.value is None else _WORKERS.value
  timed = _ESTIMATE.value
  timed = config["size"] == "paper" if timed is None else timed
  print(estimate.text(config, workers or 1, timed=timed), file=sys.stderr)
  if _DRY_RUN.value:
    return
  workers_lib.share_compiled(workdir)
  path = flags.FLAGS["config"].config_filename
  study = pipeline.run(
      config, workdir, zoos=zoos, stages=_STAGES.value, workers=workers,
      command=f"python -m experiments.reproduce --config={path}",
      progress=Progress(),
  )  # fmt: skip
  if _KEEP.value:
    results.write(_KEEP.value, gathering.numbers(study))
  if _REPORT.value:
    probes = gathering.interrogations(workdir)
    print(study_page.write(study, f"{workdir}/report", probes))


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
