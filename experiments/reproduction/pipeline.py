"""All stages in their order: what is missing is run, what is there is kept."""

import fnmatch
import importlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import few_labels
from experiments.reproduction import workers as workers_lib
from experiments.reproduction.bench import Bench
from weightspace.io import files
from weightspace.training.progress import Progress
from zoo_gen import shards

ZOOS = "zoos"
STAGES = (
    "search", "emulation", "heads", "supervised", "few_labels", "ablations",
    "remedies", "test", "codes",
)  # fmt: skip
PART, CONFIG = "part.json", "config.json"
RESULTS, INTERROGATIONS = "results.json", "interrogations.json"
# Which jobs take longest; they are begun first
_SLOW = ("transformer", "dws", "interactive", "noninteractive", "statistics")
TITLE = "Learning useful representations of recurrent network weight matrices"


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
  """Runs the stages that are asked for and gathers what there is.

  Args:
    config: of the study, see `experiments/configs/reproduce.py`.
    workdir: of the study.
    zoos: folders of zoos by family; others are made in the work folder.
    stages: patterns of STAGE/FAMILY, such as "emulation/*".
    workers: processes, see `workers.run`.
    command: how it was started, for the record.
    progress: where to show how far it is.

  Returns:
    The results, see `gather`; they are in WORKDIR/results.json too.

  Raises:
    ValueError: a pattern that matches no stage, a zoo to make whose data are
      not there, a zoo of too few networks for few labels, a stage that comes
      too early, or a job that was done with another config.
  """
  chosen = select(config, stages)
  plans = {  # rather all now than one after hours: it needs what zoos are of
      family: shards.plan(config["zoos"][family])
      for stage, family in chosen
      if stage == ZOOS and family not in zoos
  }
  workdir = Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  places = {
      family: Path(zoos.get(family, workdir / ZOOS / family))
      for family in config["zoos"]
  }
  for stage, family in chosen:
    if stage == ZOOS:
      if family in plans:
        shards.generate(places[family], plans[family], progress=progress)
      # Rather now than after hours: are there networks to label?
      few_labels.plan(Bench(workdir, family, places[family], config))
      continue
    start = time.monotonic()
    names = _module(stage).jobs(config, family)
    missing = [
        name for name in names
        if not _is_done(workdir / stage / family / name, config)
    ]  # fmt: skip
    if stage == "test":
      _check_over(config, workdir, family)
    with progress.stage(
        f"{stage}/{family}", total=len(names), unit="jobs",
        initial=len(names) - len(missing),
    ) as shown:  # fmt: skip
      workers_lib.run(
          job,
          [
              (str(workdir), stage, family, str(places[family]),
               json.dumps(config), name)
              for name in sorted(missing, key=_cost)
          ],
          workers,
      )  # fmt: skip
      shown.advance(len(missing))
    if missing:
      _add_seconds(workdir, f"{stage}/{family}", time.monotonic() - start)
  found = gather(workdir, config, places, command)
  results.write(workdir / RESULTS, found)
  return found


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
      raise ValueError(
          f"--stages={pattern} names none of the stages: {', '.join(names)}"
      )
  return [
      one
      for one, name in zip(every, names)
      if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
  ]


def job(
    workdir: str, stage: str, family: str, zoo_path: str, config: str, name: str
) -> None:
  """Runs one job and leaves its part; in a process of its own or here."""
  settings = json.loads(config)
  folder = Path(workdir) / stage / family / name
  folder.mkdir(parents=True, exist_ok=True)
  bench = Bench(Path(workdir), family, Path(zoo_path), settings)
  started = time.monotonic()
  found = _module(stage).run(bench, name, Progress())
  relevant = _relevant(settings, stage, family)
  files.replace_text(folder / CONFIG, json.dumps(relevant))
  found["job_seconds"] = {f"{stage}/{family}/{name}": round(
      time.monotonic() - started, 1
  )}  # fmt: skip
  results.write(folder / PART, found)


def gather(
    workdir: Path,
    config: Mapping[str, Any],
    places: Mapping[str, Path],
    command: str,
) -> dict[str, Any]:
  """All parts that there are, as one: what a report shows."""
  found: dict[str, Any] = {
      "title": TITLE,
      "command": command,
      "size": config["size"],
      "commit": results.commit(),
      "software": results.software(),
      "config": _plain(config),
      "seconds": _seconds(workdir),
      "zoos": {},
      "runs": {},
  }
  talks = {}
  for family, place in places.items():
    if not (place / "zoo.json").exists():
      continue
    bench = Bench(workdir, family, place, config)
    described = results.describe_zoo(bench.source, bench.split)
    found["zoos"][family] = {
        **described["zoo"], "splits": described["splits"]
    }
    for stage in STAGES:
      for name in _module(stage).jobs(config, family):
        folder = workdir / stage / family / name
        if (folder / PART).exists():
          bench_lib.merge(found, json.loads((folder / PART).read_text()))
        if (folder / INTERROGATIONS).exists():
          talks[family] = json.loads((folder / INTERROGATIONS).read_text())
  for encoders in found.get("ablations", {}).values():
    for lines in encoders.values():
      for field, points in lines.items():
        lines[field] = sorted(points.values(), key=lambda p: p["setting"])
  if talks:
    results.write(workdir / INTERROGATIONS, talks)
  return found


def numbers(found: Mapping[str, Any]) -> dict[str, Any]:
  """Results without what pictures alone need, point by point."""
  kept = {name: part for name, part in found.items() if name != "codes"}
  pictured = ("original", "clone", "split")
  kept["clones"] = {
      family: {
          encoder: {k: v for k, v in one.items() if k not in pictured}
          for encoder, one in encoders.items()
      }
      for family, encoders in found.get("clones", {}).items()
  }
  return kept


def interrogations(workdir: str | os.PathLike) -> dict[str, Any] | None:
  """What `gather` wrote of interrogations, where there were any."""
  file = Path(workdir) / INTERROGATIONS
  return json.loads(file.read_text()) if file.exists() else None


def _module(stage):
  return importlib.import_module(f"experiments.reproduction.{stage}")


def _cost(name):
  place = [i for i, slow in enumerate(_SLOW) if slow in name.split("-")]
  return (place or [len(_SLOW)])[0]


def _relevant(config, stage, family):
  """What of a config decides the outcome of a stage's jobs on a zoo."""
  names = ("seed", "models", "resamples", "search", stage)
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

  return {
      name: own(config[name])
      for name in (*names, *extra.get(stage, ()))
      if name in config
  }


def _is_done(folder, config):
  if not (folder / PART).exists():
    return False
  there = json.loads((folder / CONFIG).read_text())
  stage, family = folder.parts[-3:-1]
  wanted = _plain(_relevant(config, stage, family))
  if there != wanted:
    differ = [k for k in wanted if there.get(k) != wanted[k]]
    raise ValueError(
        f"{folder} was made with another config ({', '.join(differ)}): ask for"
        " the same, delete that folder, or choose another --workdir"
    )
  return True


def _check_over(config, workdir, family):
  """The test comes when nothing is left to train or to choose.

  Raises:
    ValueError: something is.
  """
  for stage in STAGES[: STAGES.index("test")]:
    for name in _module(stage).jobs(config, family):
      if not (workdir / stage / family / name / PART).exists():
        raise ValueError(
            f"test/{family} reads held-out tasks, once, after all else: first"
            f" run {stage}/{family} ({name} is missing)"
        )


def _add_seconds(workdir, name, seconds):
  found = _seconds(workdir)
  found[name] = round(found.get(name, 0) + seconds, 1)
  results.write(workdir / "seconds.json", found)


def _seconds(workdir) -> dict[str, float]:
  file = workdir / "seconds.json"
  return json.loads(file.read_text()) if file.exists() else {}


def _plain(value):
  return json.loads(json.dumps(value))

