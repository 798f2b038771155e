"""Hyper-parameters: the same trials for every encoder and baseline.

Each learning rate is tried with each warm-up, on a shorter run, both for
emulation and end to end; the lowest validation loss is chosen. Nothing here
sees a held-out task.
"""

import math
import time
from typing import Any

from experiments import results
from experiments.study import supervised as supervised_stage
from experiments.study.emulation import lowest_loss
from experiments.study.study import Study, encoders, of_family
from weightspace.progress import Progress
from weightspace.training import members

KINDS = ("emulation", "supervised")


def jobs(config, family: str) -> list[str]:
  """One for each encoder, trained in each way."""
  if not config["search"]:
    return []
  few = (config["few_labels"] or {}).get("scratch", ())
  labelled = [
      *supervised_stage.trained(config, family), *of_family(few, family)
  ]
  return [
      f"{kind}-{name}"
      for kind in KINDS
      for name in encoders(config, family)
      if kind == "emulation" or name in labelled
  ]


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Trains all trials of an encoder and chooses."""
  kind, encoder = name.split("-", 1)
  study.note("train, validation", "all", f"search {name}")
  settings = study.config["search"]
  trial = {"emulation": _emulation, "supervised": _supervised}[kind]
  runs, tried = {}, []
  for warmup in settings["warmups"]:
    points = [
        {"learning_rate": rate, "warmup": warmup}
        for rate in settings["learning_rates"]
    ]
    start, commit = time.monotonic(), results.commit()
    trained = trial(study, name, encoder, points, len(tried), progress)
    seconds = (time.monotonic() - start) / len(points)
    for point, (config, best_step, loss) in zip(points, trained):
      run_id = study.run_id("search", name, len(tried))
      runs[run_id] = {
          "family": study.name, "stage": "search", "encoder": encoder,
          "seed": study.config["seed"], "commit": commit, "config": config,
          "seconds": round(seconds, 1), "best_step": best_step,
      }  # fmt: skip
      tried.append({"run": run_id, "setting": point, "validation": loss})
  return {
      "runs": runs,
      "search": part(study, kind, study.steps("search", kind), encoder, tried),
  }


def part(
    study: Study, kind: str, steps: int, encoder: str, tried: list
) -> dict[str, Any]:
  """The part of the results about a search.

  Args:
    study: the zoo.
    kind: what was searched for.
    steps: of each trial.
    encoder: whose.
    tried: dicts of "run", "setting" and "validation", a loss or None.
  """
  best = min(
      tried,
      key=lambda trial: math.inf
      if trial["validation"] is None
      else trial["validation"],
  )
  return {kind: {study.name: {
      "steps": steps,
      "encoders": {encoder: {"trials": tried, "chosen": best["setting"]}},
  }}}  # fmt: skip



def _emulation(study, name, encoder, points, first, progress):
  steps = study.steps("search", "emulation")
  configs = [study.model(encoder, steps, point) for point in points]
  folder = study.folder("search", name)
  trained = members.pretrain(
      study.zoo,
      {folder / str(first + i): c for i, c in enumerate(configs)},
      progress=progress,
  )
  return [
      (config, one.step, lowest_loss(one.history))
      for config, one in zip(configs, trained)
  ]


def _supervised(study, name, encoder, points, first, progress):
  tried = []
  for i, point in enumerate(points):
    config = supervised_stage.config_of(
        study, encoder, study.steps("search", "supervised"), point
    )
    trained = supervised_stage.train(
        study, config, "strict", study.folder("search", name) / str(first + i),
        progress,
    )  # fmt: skip
    tried.append((config, trained.step, lowest_loss(trained.history)))
  return tried
