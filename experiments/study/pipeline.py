"""Runs all stages in their order; skips the jobs that are done."""

import dataclasses
import fnmatch
import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import results
from experiments.study import checks, few_labels, gathering
from experiments.study import study as study_lib
from experiments.study import workers as workers_lib
from experiments.study.gathering import PART, STAGES
from experiments.study.study import Study
from weightspace.errors import UserError
from weightspace.evaluation import prediction
from weightspace.io import files, locks
from weightspace.progress import Progress
from zoo_gen import shards

ZOOS = "zoos"
CONFIG, RESULTS = "config.json", "results.json"
# Which jobs take longest; they are begun first
_SLOW = ("transformer", "dws", "interactive", "noninteractive", "statistics")


def run(
    config: Mapping[str, Any],
    workdir: str | os.PathLike,
    *,
    zoos: Mapping[str, str | os.PathLike],
    stages: Sequence[str],
    workers: int,
    command: str,
    progress: Progress,
) -> dict[str, Any]:
  """Runs the chosen stages and gathers the results there are.

  Args:
    config: of the study, see `experiments/configs/reproduce.py`.
    workdir: of the study.
    zoos: folders of zoos by family; others are made in the work folder.
    stages: patterns of STAGE/FAMILY, such as "emulation/*".
    workers: processes, see `workers.run`.
    command: how it was started, for the record.
    progress: where to show how far it is.

  Returns:
    The results, see `gathering.gather`; they are in WORKDIR/results.json too.

  Raises:
    UserError: a pattern that matches no stage, a field or a value that cannot
      be, a zoo to make whose data are not there, a zoo of too few networks for
      few labels, a stage that comes too early, or a job that was done with
      another config.
  """
  chosen = select(config, stages)
  plans = {  # all now, not one after hours: a plan reads the zoo's data
      family: shards.plan(config["zoos"][family])
      for stage, family in chosen
      if stage == ZOOS and family not in zoos
  }
  workdir = Path(workdir)
  given = {
      family: Study(workdir, family, zoos[family], config) for family in zoos
  }
  checks.check(
      config,
      plans | {family: study.zoo.spec for family, study in given.items()},
  )
  for study in given.values():
    checks.check_columns(study)
  for name, what in (("zoo.json", "a zoo"), ("checkpoints", "one training")):
    if (workdir / name).exists():
      raise UserError(
          f"{workdir} is the folder of {what}, not of a study: choose another"
          " --workdir"
      )
  with locks.hold(workdir):
    return _run(
        config, workdir, zoos, plans, chosen, workers, command, progress
    )


def _run(config, workdir, zoos, plans, chosen, workers, command, progress):
  """The chosen stages, of a config that was checked."""
  folders = config.get("zoo_folders") or {}
  places = {
      family: Path(
          zoos.get(family, workdir / folders.get(family, f"{ZOOS}/{family}"))
      )
      for family in config["zoos"]
  }
  for stage, family in chosen:
    start = time.monotonic()
    if stage == ZOOS:
      if family in plans:
        begun = (places[family] / "zoo.json").exists()
        shards.generate(places[family], plans[family], progress=progress)
        if not begun:
          _add_seconds(workdir, f"{stage}/{family}", time.monotonic() - start)
      if config["few_labels"]:  # are there networks to label?
        few_labels.plan(Study(workdir, family, places[family], config))
      continue
    names = STAGES[stage].jobs(config, family)
    missing = [
        name for name in names
        if not _is_done(workdir / stage / family / name, config)
    ]  # fmt: skip
    if not names:
      continue
    if stage == "test":
      _check_over(config, workdir, family)
    arguments = [
        (str(workdir), stage, family, str(places[family]), json.dumps(config),
         name)
        for name in sorted(missing, key=_cost)
    ]  # fmt: skip
    if workers:
      with progress.stage(
          f"{stage}/{family}", total=len(names), unit="jobs",
          initial=len(names) - len(missing),
      ) as shown:  # fmt: skip
        workers_lib.run(job, arguments, workers)
        shown.advance(len(missing))
    else:
      for one in arguments:
        job(*one, progress=progress)
    if missing:
      _add_seconds(workdir, f"{stage}/{family}", time.monotonic() - start)
  gathered = gathering.gather(workdir, config, places, command)
  results.write(workdir / RESULTS, gathered)
  return gathered


def select(
    config: Mapping[str, Any], patterns: Sequence[str]
) -> list[tuple[str, str]]:
  """(stage, family) of the stages that patterns name, in their order.

  Raises:
    ValueError: a pattern names none.
  """
  every = [
      (stage, family)
      for stage in (ZOOS, *STAGES)
      for family in config["zoos"]
  ]
  names = ["/".join(one) for one in every]
  for pattern in patterns:
    if not fnmatch.filter(names, pattern):
      raise UserError(
          f"--stages={pattern} names none of the stages: {', '.join(names)}"
      )
  return [
      one
      for one, name in zip(every, names)
      if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
  ]


def parse_zoos(config: Mapping[str, Any], texts: Sequence[str]):
  """Folders of zoos by family, from "FAMILY=DIR"s.

  Raises:
    ValueError: one that is not of this form, or of an unknown family.
  """
  folders = {}
  for text in texts:
    family, _, folder = text.partition("=")
    if not folder or family not in config["zoos"]:
      raise UserError(
          f"--zoo={text} is not FAMILY=DIR with a family of"
          f" {', '.join(config['zoos'])}"
      )
    folders[family] = files.expand_home(folder)
  return folders


def job(
    workdir: str,
    stage: str,
    family: str,
    zoo_path: str,
    config: str,
    name: str,
    progress: Progress | None = None,
) -> None:
  """Runs one job and writes its part; in a process of its own or here."""
  settings = json.loads(config)
  folder = Path(workdir) / stage / family / name
  folder.mkdir(parents=True, exist_ok=True)
  study = Study(Path(workdir), family, Path(zoo_path), settings)
  started = time.monotonic()
  part = STAGES[stage].run(study, name, progress or Progress())
  relevant = _relevant(settings, stage, family, name)
  files.replace_text(folder / CONFIG, json.dumps(relevant))
  part["job_seconds"] = {f"{stage}/{family}/{name}": round(
      time.monotonic() - started, 1
  )}  # fmt: skip
  results.write(folder / PART, part)


def _cost(name):
  place = [i for i, slow in enumerate(_SLOW) if slow in name.split("-")]
  return (place or [len(_SLOW)])[0]


def _relevant(config, stage, family, job):
  """What of a config decides the outcome of a job on a zoo."""
  names = (
      "seed", "split_seed", "trained", "models", "resamples", "search", stage,
  )  # fmt: skip
  extra = {
      "heads": ("properties", "emulation"),
      "few_labels": ("properties", "emulation", "heads"),
      "supervised": ("properties",),
      "test": ("properties", "emulation", "heads", "supervised",
               "few_labels", "clones"),
      "codes": ("emulation",),
  }  # fmt: skip

  def own(value):
    if not isinstance(value, Mapping):
      return value
    if value and set(value) <= set(config["zoos"]):  # by family
      return value.get(family)
    return {name: own(inner) for name, inner in value.items()}

  defined = study_lib.of_family(config.get("definitions") or {}, family)
  defined = {name: fields for name, fields in defined.items() if name in job}
  return {
      name: own(config[name])
      for name in (*names, *extra.get(stage, ()))
      if name in config
  } | ({"definitions": defined} if defined else {})


def _is_done(folder, config):
  if not (folder / PART).exists():
    return False
  there = _with_defaults(files.read_json(folder / CONFIG))
  wanted = gathering.plain(_relevant(config, *folder.parts[-3:]))
  wanted = _with_defaults(wanted)
  if there != wanted:
    differ = [k for k in wanted if there.get(k) != wanted[k]]
    raise UserError(
        f"{folder} was made with another config ({', '.join(differ)}): ask for"
        " the same, delete that folder, or choose another --workdir"
    )
  return True


def _with_defaults(relevant):
  """The same with all fields of heads: a job may be older than one of them."""
  heads = relevant.get("heads")
  if not heads:
    return relevant
  defaults = gathering.plain(dataclasses.asdict(prediction.Config()))
  fields = {**defaults, **heads["fields"]}
  return {**relevant, "heads": {**heads, "fields": fields}}


def _check_over(config, workdir, family):
  """The test comes when nothing is left to train or to choose.

  Raises:
    ValueError: something is.
  """
  for stage in itertools.takewhile(lambda name: name != "test", STAGES):
    for name in STAGES[stage].jobs(config, family):
      if not (workdir / stage / family / name / PART).exists():
        raise UserError(
            f"test/{family} reads held-out tasks, once, after all else: first"
            f" run {stage}/{family} ({name} is missing)"
        )


def _add_seconds(workdir, name, seconds):
  recorded = gathering.seconds(workdir)
  recorded[name] = round(recorded.get(name, 0) + seconds, 1)
  results.write(workdir / gathering.SECONDS, recorded)
