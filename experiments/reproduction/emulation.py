"""Encoders pretrained by emulation (section 4.1), several seeds each."""

import time
from typing import Any

import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import search
from experiments.reproduction.bench import Bench
from weightspace.evaluation import emulation
from weightspace.training import members, pretrain
from weightspace.training.progress import Progress


def jobs(config, family: str) -> list[str]:
  """One for each encoder."""
  return list(config["encoders"])


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Trains all seeds and measures them on validation."""
  bench.note("train, validation", "all", f"emulation {name}")
  config = bench.model(
      name, bench.steps("emulation"), search.chosen(bench, "emulation", name)
  )
  runs, found = train(
      bench, "emulation", name, name, config,
      bench.config["emulation"]["seeds"], progress,
  )  # fmt: skip
  losses = row_losses(bench, found, "validation")
  bench_lib.save(bench.folder("emulation", name) / "validation", **losses)
  paper = results.PAPER[bench.name].get(name)
  return {
      "runs": runs,
      "emulation": {bench.name: {
          "divergence": config["emulation"]["score"],
          **({"paper": {name: list(paper)}} if paper else {}),
          "encoders": {name: {"validation": cells(
              bench, losses, bench.split.validation, runs
          )}},
      }},
  }  # fmt: skip


def train(bench, stage, job, encoder, config, seeds, progress):
  """Runs of one config that differ in their seed.

  Returns:
    Records of the runs by name, and (`Pretrained`, config) of each.
  """
  folder = bench.folder(stage, job)
  configs = [
      {**config, "emulation": {**config["emulation"], "seed": seed}}
      for seed in range(seeds)
  ]
  start, commit = time.monotonic(), results.commit()
  found = members.pretrain(
      bench.source,
      {folder / str(seed): c for seed, c in enumerate(configs)},
      progress=progress,
  )
  seconds = (time.monotonic() - start) / seeds
  runs = {
      bench.run_id(stage, job, seed): {
          "family": bench.name, "stage": stage, "encoder": encoder,
          "seed": seed, "commit": commit, "config": c,
          "seconds": round(seconds, 1), "best_step": one.step,
          "validation": search.lowest_loss(one.history),
      }
      for seed, (one, c) in enumerate(zip(found, configs))
  }  # fmt: skip
  return runs, list(zip(found, configs))


def trained(bench: Bench, encoder: str) -> list:
  """(`Pretrained`, config) of each seed of an encoder, from disk."""
  folder = bench.folder("emulation", encoder)
  return [
      pretrain.load(bench.source, folder / str(seed))
      for seed in range(bench.config["emulation"]["seeds"])
  ]


def run_ids(bench: Bench, encoder: str) -> list[str]:
  """Names of the runs of an encoder."""
  return [
      bench.run_id("emulation", encoder, seed)
      for seed in range(bench.config["emulation"]["seeds"])
  ]


def row_losses(bench, found, part: str) -> dict[str, np.ndarray]:
  """Losses of the rows of a split, {divergence: [S, n]}."""
  rows = getattr(bench.split, part)
  of_seeds = [
      emulation.row_losses(bench.source, one, config, {part: rows})[part]
      for one, config in found
  ]
  return {
      name: np.stack([losses[name] for losses in of_seeds])
      for name in emulation.DIVERGENCES
  }


def cells(bench, losses, rows, runs) -> dict[str, Any]:
  """A cell for each divergence."""
  return {
      name: bench.mean(values, rows, runs) for name, values in losses.items()
  }
