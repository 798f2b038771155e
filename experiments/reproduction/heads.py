"""Heads on the frozen codes of pretrained encoders (section 5)."""

import itertools
import time
from typing import Any

import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import emulation, measures
from experiments.reproduction.bench import Bench
from weightspace.evaluation import codes, prediction
from weightspace.training.progress import Progress


def jobs(config, family: str) -> list[str]:
  """One for each encoder."""
  return list(config["encoders"])


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Chooses how heads are trained, trains them, measures on validation.

  The choice, for each property, is the lowest validation loss of seed 0 under
  the strict protocol; it serves all seeds and both protocols.
  """
  bench.note("train, validation", "weights, labels", f"heads {name}")
  bench.note("ood", "weights (codes are computed)", f"heads {name}")
  bench.note("ood, training half", "labels", f"heads {name}, paper protocol")
  encoders = emulation.trained(bench, name)
  found = [codes.of_zoo(bench.source, one) for one, _ in encoders]
  bench_lib.save(bench.folder("heads", name), codes=np.stack(found))
  names = bench.config["properties"][bench.name]
  settings, start, commit = {}, time.monotonic(), results.commit()
  tried = {}
  for property_name in names:
    tried[property_name] = [
        {"config": config, "validation": _train(
            bench, found[0], property_name, config, "strict", 0
        ).score}
        for config in _trials(bench)
    ]  # fmt: skip
    best = min(tried[property_name], key=lambda trial: trial["validation"])
    settings[property_name] = best["config"]
  runs, outputs, report = {}, {}, {}
  for protocol in prediction.PROTOCOLS:
    ids = []
    for seed in range(len(found)):
      ids.append(bench.run_id("heads", f"{name}-{protocol}", seed))
      runs[ids[-1]] = {
          "family": bench.name, "stage": "heads", "encoder": name,
          "seed": seed, "commit": commit,
          "config": {"heads": settings, "protocol": protocol,
                     "codes": bench.run_id("emulation", name, seed)},
      }  # fmt: skip
    outputs[protocol] = {
        p: np.stack([
            _train(bench, c, p, settings[p], protocol, seed).outputs
            for seed, c in enumerate(found)
        ])
        for p in names
    }
    bench_lib.save(
        bench.folder("heads", name) / protocol, **outputs[protocol]
    )
    bench_lib.merge(report, measures.properties(
        bench, outputs[protocol], protocol, "validation", ids
    ))  # fmt: skip
  seconds = (time.monotonic() - start) / len(runs)
  for record in runs.values():
    record["seconds"] = round(seconds, 1)
  return {
      "runs": runs,
      "search": {"families": {bench.name: {"heads": {name: tried}}}},
      "prediction": {bench.name: {"frozen": {name: report}}},
  }


def _trials(bench):
  settings = bench.config["heads"]
  points = itertools.product(settings["learning_rates"], settings["layers"])
  return [
      {"learning_rate": rate, "layers": layers, "steps": settings["steps"]}
      for rate, layers in points
  ]


def _train(bench, found, name, settings, protocol, seed):
  rows = bench.rows
  trainer = prediction.make_trainer(
      name, bench.scope, found.shape[-1], head_config(settings)
  )
  return trainer(
      found, bench.source.columns, prediction.train_rows(rows, protocol),
      rows.validation, seed,
  )


def head_config(settings) -> prediction.Config:
  """How a head is trained, from a trial's settings."""
  return prediction.Config(
      validate_every=max(1, settings["steps"] // 20), **settings
  )
