"""Encoders trained end to end to tell properties, without emulation."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import measures, search
from experiments.reproduction.bench import Bench
from weightspace.evaluation import prediction
from weightspace.training import supervised
from weightspace.training.progress import Progress


def jobs(config, family: str) -> list[str]:
  """One for each encoder that is told anything, and protocol."""
  return [
      f"{name}-{protocol}"
      for name in config["encoders"]
      if name != results.BASELINE
      for protocol in prediction.PROTOCOLS
  ]


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Trains all seeds, keeps what they say, measures on validation."""
  encoder, protocol = name.split("-")
  base = config_of(
      bench, encoder, bench.steps("supervised"),
      search.chosen(bench, "supervised", encoder),
  )  # fmt: skip
  runs, outputs = {}, []
  for seed in range(bench.config["supervised"]["seeds"]):
    config = {**base, "supervised": {**base["supervised"], "seed": seed}}
    start, commit = time.monotonic(), results.commit()
    found = train(
        bench, config, protocol, bench.folder("supervised", name) / str(seed),
        progress,
    )  # fmt: skip
    outputs.append(found.outputs)
    runs[bench.run_id("supervised", name, seed)] = {
        "family": bench.name, "stage": "supervised", "encoder": encoder,
        "seed": seed, "commit": commit, "config": config,
        "seconds": round(time.monotonic() - start, 1), "best_step": found.step,
    }  # fmt: skip
  stacked = {
      key: np.stack([one[key] for one in outputs]) for key in outputs[0]
  }
  bench_lib.save(bench.folder("supervised", name) / "outputs", **stacked)
  return {
      "runs": runs,
      "prediction": {bench.name: {"supervised": {
          encoder: measures.properties(
              bench, stacked, protocol, "validation", list(runs)
          )
      }}},
  }  # fmt: skip


def config_of(
    bench: Bench, encoder: str, steps: int, chosen: Mapping[str, float]
) -> dict[str, Any]:
  """The config of an end-to-end training."""
  model = bench.model(encoder, steps, chosen)
  return {
      "encoder": model["encoder"],
      "optimizer": model["optimizer"],
      "supervised": {
          "properties": tuple(bench.config["properties"][bench.name]),
          "steps": steps,
          "validate_every": max(1, steps // 10),
          "checkpoint_every": max(1, min(steps // 2, 2000)),
          "seed": bench.config["seed"],
          "matmul_precision": model["emulation"]["matmul_precision"],
      },
  }


def train(
    bench: Bench, config, protocol: str, folder: Path | None, progress: Progress
):
  """One end-to-end training; under "paper" half of the OOD tasks join it."""
  bench.note("train, validation", "weights, labels", f"supervised {folder}")
  if protocol == "paper":
    bench.note("ood, training half", "weights, labels", f"supervised {folder}")
  return supervised.train(
      bench.source, config, prediction.train_rows(bench.rows, protocol),
      bench.rows.validation,
      folder=folder, progress=progress,
  )  # fmt: skip
