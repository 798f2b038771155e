"""The parts of all jobs as one: the results that a page shows."""

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import results
from experiments.study import (
  claims,
  code_space,
  describe,
  emulation,
  few_labels,
  headline,
  heads,
  held_out,
  search,
  supervised,
  variants,
)
from experiments.study import study as study_lib
from experiments.study.study import BASELINE, Study
from weightspace.io import files

STAGES = {  # in their order
    "search": search,
    "emulation": emulation,
    "heads": heads,
    "supervised": supervised,
    "few_labels": few_labels,
    "variants": variants,
    "test": held_out,
    "codes": code_space,
}
PART, SECONDS = "part.json", "seconds.json"
INTERROGATIONS = code_space.INTERROGATIONS


def gather(
    workdir: Path,
    config: Mapping[str, Any],
    places: Mapping[str, Path],
    command: str,
) -> dict[str, Any]:
  """All parts that there are, as one mapping.

  Args:
    workdir: of the study.
    config: of the study.
    places: folders of zoos by family; those without a zoo are left out.
    command: how the study was started, for the record.
  """
  gathered: dict[str, Any] = {
      "title": config["title"],
      "command": command,
      "size": config["size"],
      "seed": config["seed"],
      **({"note": config["note"]} if config.get("note") else {}),
      "headline": {},
      "commit": results.commit(),
      "software": results.software(),
      "config": plain(config),
      "seconds": seconds(workdir),
      "zoos": {},
      "runs": {},
  }
  interrogated = {}
  for family, place in places.items():
    if not (place / "zoo.json").exists():
      continue
    study = Study(workdir, family, place, config)
    gathered["zoos"][family] = describe.zoo(study)
    for stage, module in STAGES.items():
      for name in module.jobs(config, family):
        folder = workdir / stage / family / name
        if (folder / PART).exists():
          study_lib.merge(gathered, files.read_json(folder / PART))
        if (folder / INTERROGATIONS).exists():
          interrogated[family] = files.read_json(
              folder / INTERROGATIONS
          )
    _add_gains(gathered, study)
  gathered["headline"] = headline.of(gathered)
  if config.get("claims"):
    gathered["claims"] = claims.of(gathered)
  if interrogated:
    results.write(workdir / INTERROGATIONS, interrogated)
  return gathered


def _add_gains(gathered, study):
  of_family = gathered.get("emulation", {}).get(study.name, {})
  encoders = of_family.get("encoders", {})
  divergence = of_family.get("divergence")
  for name, one in encoders.items():
    if name != BASELINE:
      one["gain"] = emulation.gains(study, name, divergence)
  compared = [e for e in claims.COMPARED if e in encoders]
  for name, other in itertools.permutations(compared, 2):
    gain = emulation.gains(study, name, divergence, other)
    study_lib.merge(of_family, {"comparisons": {f"{name} over {other}": gain}})


def numbers(gathered: Mapping[str, Any]) -> dict[str, Any]:
  """Results without the points of pictures."""
  kept = {
      name: part
      for name, part in gathered.items()
      if name not in ("codes", "transcripts")
  }
  pictured = ("original", "clone", "split")
  if "clones" in gathered:
    kept["clones"] = {
        family: {
            encoder: {k: v for k, v in one.items() if k not in pictured}
            for encoder, one in encoders.items()
        }
        for family, encoders in gathered["clones"].items()
    }
  return kept


def interrogations(workdir: str | os.PathLike) -> dict[str, Any] | None:
  """What `gather` wrote of interrogations, where there were any."""
  file = Path(workdir) / INTERROGATIONS
  return files.read_json(file) if file.exists() else None


def seconds(workdir: Path) -> dict[str, float]:
  """The time that each stage took on each zoo."""
  file = workdir / SECONDS
  return files.read_json(file) if file.exists() else {}


def plain(value: Any) -> Any:
  """The same as JSON has it."""
  return json.loads(json.dumps(value))
