"""Encoders trained end to end to tell properties, without emulation."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments import results
from experiments.study import measures
from experiments.study import study as study_lib
from experiments.study.study import Study, learned
from weightspace.evaluation import prediction
from weightspace.progress import Progress
from weightspace.training import supervised


def jobs(config, family: str) -> list[str]:
  """One for each encoder that is trained, and protocol."""
  if not config["supervised"]:
    return []
  return [
      f"{name}-{protocol}"
      for name in trained(config, family)
      for protocol in prediction.PROTOCOLS
  ]


def trained(config: Mapping[str, Any], family: str) -> list[str]:
  """The encoders that are trained end to end; by default all that learn."""
  every = learned(config, family)
  chosen = (config["supervised"] or {}).get("encoders")
  if chosen is None:
    return every
  return [name for name in every if name in study_lib.of_family(chosen, family)]


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Trains all seeds, keeps what they say, measures on validation."""
  encoder, protocol = name.split("-")
  base = config_of(
      study, encoder, study.steps("supervised"),
      study.chosen( "supervised", encoder),
  )  # fmt: skip
  runs, outputs = {}, []
  for seed in study.seeds("supervised"):
    config = {**base, "supervised": {**base["supervised"], "seed": seed}}
    start, commit = time.monotonic(), results.commit()
    one = train(
        study, config, protocol, study.folder("supervised", name) / str(seed),
        progress,
    )  # fmt: skip
    outputs.append(one.outputs)
    runs[study.run_id("supervised", name, seed)] = {
        "family": study.name, "stage": "supervised", "encoder": encoder,
        "seed": seed, "commit": commit, "config": config,
        "seconds": round(time.monotonic() - start, 1),
        "best_step": one.step,
    }  # fmt: skip
  stacked = {
      key: np.stack([each[key] for each in outputs]) for key in outputs[0]
  }
  study_lib.save(study.folder("supervised", name) / "outputs", **stacked)
  return {
      "runs": runs,
      "prediction": {study.name: {"supervised": {
          encoder: measures.properties(
              study, stacked, protocol, "validation", list(runs)
          )
      }}},
  }  # fmt: skip


def config_of(
    study: Study, encoder: str, steps: int, chosen: Mapping[str, float]
) -> dict[str, Any]:
  """The config of an end-to-end training."""
  model = study.model(encoder, steps, chosen)
  settings = study.config["supervised"] or {}
  layers = study_lib.of_family(settings.get("layers"), study.name)
  return {
      "encoder": model["encoder"],
      "optimizer": model["optimizer"],
      "supervised": {
          "properties": tuple(study.config["properties"][study.name]),
          "steps": steps,
          "validate_every": max(1, steps // 10),
          "checkpoint_every": max(1, min(steps // 2, 2000)),
          "seed": study.config["seed"],
          **({} if layers is None else {"layers": layers}),
          "matmul_precision": model["emulation"]["matmul_precision"],
      },
  }


def train(
    study: Study, config, protocol: str, folder: Path | None, progress: Progress
):
  """One end-to-end training; under "paper" half of the OOD tasks join it."""
  study.note("train, validation", "weights, labels", f"supervised {folder}")
  if protocol == "paper":
    study.note("ood, training half", "weights, labels", f"supervised {folder}")
  return supervised.train(
      study.zoo, config, prediction.train_rows(study.rows, protocol),
      study.rows.validation,
      folder=folder, progress=progress,
  )  # fmt: skip
