"""Heads on the frozen codes of pretrained encoders (section 5)."""

import itertools
import time
from typing import Any

import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import emulation, measures, search
from experiments.reproduction.bench import Bench
from weightspace.evaluation import codes, prediction
from weightspace.training.progress import Progress

KIND = "head on"  # of a search, before the property


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
  searched: dict[str, Any] = {}
  for property_name in names:
    tried = [
        {"run": bench.run_id("emulation", name, 0), "setting": setting,
         "validation": _train(
             bench, found[0], property_name, setting, "strict", 0
         ).score}
        for setting in _trials(bench)
    ]  # fmt: skip
    kind = f"{KIND} {property_name}"
    bench_lib.merge(searched, search.part(
        bench, kind, bench.config["heads"]["steps"], name, tried
    ))  # fmt: skip
    of_kind = searched[kind][bench.name]["encoders"][name]
    settings[property_name] = of_kind["chosen"]
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
      "search": searched,
      "prediction": {bench.name: {"frozen": {name: report}}},
  }


def _trials(bench):
  settings = bench.config["heads"]
  points = itertools.product(settings["learning_rates"], settings["layers"])
  return [
      {"learning_rate": rate, "layers": layers}
      for rate, layers in points
  ]


def _train(bench, found, name, settings, protocol, seed):
  rows = bench.rows
  trainer = prediction.make_trainer(
      name, bench.scope, found.shape[-1],
      head_config(settings, bench.config["heads"]["steps"]),
  )
  return trainer(
      found, bench.source.columns, prediction.train_rows(rows, protocol),
      rows.validation, seed,
  )


def chosen(bench: Bench, name: str, property_name: str) -> dict[str, Any]:
  """The setting of a property's heads on an encoder's codes."""
  found = bench.part("heads", name)["search"][f"{KIND} {property_name}"]
  return found[bench.name]["encoders"][name]["chosen"]


def head_config(setting: dict[str, Any], steps: int) -> prediction.Config:
  """How a head is trained, from a trial's setting."""
  return prediction.Config(
      steps=steps, validate_every=max(1, steps // 20), **setting
  )
