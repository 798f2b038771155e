"""Hyper-parameters: the same trials for every encoder and baseline.

Each learning rate is tried with each warm-up, on a shorter run, both for
emulation and end to end; the lowest validation loss is chosen. Nothing here
sees a held-out task.
"""

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

from experiments import results
from experiments.reproduction import supervised as supervised_stage
from experiments.reproduction.bench import Bench
from weightspace.training import members
from weightspace.training.progress import Progress

KINDS = ("emulation", "supervised")


def jobs(config, family: str) -> list[str]:
  """One for each encoder, trained in each way."""
  return [f"{kind}-{name}" for kind in KINDS for name in config["encoders"]
          if kind == "emulation" or name != results.BASELINE]  # fmt: skip


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Trains all trials of an encoder and chooses."""
  kind, encoder = name.split("-", 1)
  bench.note("train, validation", "all", f"search {name}")
  settings = bench.config["search"]
  trial = {"emulation": _emulation, "supervised": _supervised}[kind]
  runs, tried = {}, []
  for warmup in settings["warmups"]:
    points = [
        {"learning_rate": rate, "warmup": warmup}
        for rate in settings["learning_rates"]
    ]
    start, commit = time.monotonic(), results.commit()
    found = trial(bench, name, encoder, points, len(tried), progress)
    seconds = (time.monotonic() - start) / len(points)
    for point, (config, best_step, loss) in zip(points, found):
      run_id = bench.run_id("search", name, len(tried))
      runs[run_id] = {
          "family": bench.name, "stage": "search", "encoder": encoder,
          "seed": bench.config["seed"], "commit": commit, "config": config,
          "seconds": round(seconds, 1), "best_step": best_step,
      }  # fmt: skip
      tried.append({"run": run_id, "setting": point, "validation": loss})
  return {
      "runs": runs,
      "search": part(bench, kind, bench.steps("search", kind), encoder, tried),
  }


def part(
    bench: Bench, kind: str, steps: int, encoder: str, tried: list
) -> dict[str, Any]:
  """The part of the results about a search.

  Args:
    bench: the zoo.
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
  return {kind: {bench.name: {
      "steps": steps,
      "encoders": {encoder: {"trials": tried, "chosen": best["setting"]}},
  }}}  # fmt: skip


def chosen(bench: Bench, kind: str, encoder: str) -> dict[str, float]:
  """The learning rate and warm-up that the search has found."""
  found = bench.part("search", f"{kind}-{encoder}")["search"]
  return found[kind][bench.name]["encoders"][encoder]["chosen"]


def _emulation(bench, name, encoder, points, first, progress):
  steps = bench.steps("search", "emulation")
  configs = [bench.model(encoder, steps, point) for point in points]
  folder = bench.folder("search", name)
  found = members.pretrain(
      bench.source,
      {folder / str(first + i): c for i, c in enumerate(configs)},
      progress=progress,
  )
  return [
      (config, one.step, lowest_loss(one.history))
      for config, one in zip(configs, found)
  ]


def _supervised(bench, name, encoder, points, first, progress):
  found = []
  for i, point in enumerate(points):
    config = supervised_stage.config_of(
        bench, encoder, bench.steps("search", "supervised"), point
    )
    trained = supervised_stage.train(
        bench, config, "strict", bench.folder("search", name) / str(first + i),
        progress,
    )  # fmt: skip
    found.append((config, trained.step, lowest_loss(trained.history)))
  return found


def lowest_loss(history: Iterable[Mapping[str, Any]]) -> float | None:
  """Of all validations of a run, which keeps that one's params; or None."""
  losses = [h["validation/loss"] for h in history if "validation/loss" in h]
  return min((loss for loss in losses if loss == loss), default=None)
