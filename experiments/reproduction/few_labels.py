"""Unseen tasks, few labels: frozen codes against training from scratch.

Of the networks of held-out tasks a few are labelled, and whole networks are
kept for the test. One arm trains heads on frozen codes of pretrained encoders,
the other trains the encoder from scratch, end to end, on the same labels. There
is no validation: all train for a fixed number of steps.
"""

import time
from typing import Any

import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import emulation, heads, search
from experiments.reproduction import supervised as supervised_stage
from experiments.reproduction.bench import Bench
from weightspace.evaluation import few_labels, prediction
from weightspace.training import supervised
from weightspace.training.progress import Progress

PRETRAINED, SCRATCH = "pretrained", "scratch"


def jobs(config, family: str) -> list[str]:
  """One for each arm."""
  settings = config["few_labels"]
  return [
      f"{name}-{how}"
      for how in (PRETRAINED, SCRATCH)
      for name in settings[how]
  ]


def plan(bench: Bench):
  """Which rows are labelled, for each count, and which are the test."""
  return few_labels.plan(
      bench.source.columns,
      bench.split.ood,
      tuple(bench.config["few_labels"]["networks"]),
      seed=bench.config["seed"],
      by_task=bench.family.spec.classes is not None,
  )


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Trains an arm with each number of labels; keeps what it says."""
  encoder, how = name.split("-")
  labelled = plan(bench).labelled
  start, commit = time.monotonic(), results.commit()
  runs = {}
  for count, rows in labelled.items():
    bench.note("ood, labelled networks", "weights, labels", f"{name} {count}")
    outputs = []
    for seed in range(bench.config["few_labels"]["seeds"]):
      train = {PRETRAINED: _pretrained, SCRATCH: _scratch}[how]
      found, config = train(bench, encoder, rows, seed, progress)
      outputs.append(found)
      runs[bench.run_id("few_labels", f"{name}-{count}", seed)] = {
          "family": bench.name, "stage": "few_labels", "encoder": encoder,
          "seed": seed, "commit": commit, "config": config, "labels": count,
      }  # fmt: skip
    bench_lib.save(
        bench.folder("few_labels", name) / str(count),
        **{p: np.stack([one[p] for one in outputs]) for p in outputs[0]},
    )
  for record in runs.values():
    record["seconds"] = round((time.monotonic() - start) / len(runs), 1)
  return {"runs": runs}


def _pretrained(bench, encoder, rows, seed, progress):
  del progress
  found = bench_lib.load(bench.folder("heads", encoder), "codes")
  found = found[seed % len(found)]
  outputs, chosen = {}, {}
  for name in _properties(bench):
    chosen[name] = heads.chosen(bench, encoder, name)
    config = heads.head_config(
        chosen[name], bench.config["few_labels"]["steps"]
    )
    train = prediction.make_trainer(
        name, bench.scope, found.shape[-1], config
    )
    outputs[name] = train(
        found, bench.source.columns, rows, rows[:0], seed
    ).outputs
  source = emulation.run_ids(bench, encoder)
  return outputs, {"heads": chosen, "codes": source[seed % len(source)]}


def _scratch(bench, encoder, rows, seed, progress):
  config = supervised_stage.config_of(
      bench, encoder, bench.config["few_labels"]["steps"],
      search.chosen(bench, "supervised", encoder),
  )  # fmt: skip
  config["supervised"] |= {"properties": _properties(bench), "seed": seed}
  found = supervised.train(
      bench.source, config, rows, None, folder=None, progress=progress
  )
  return found.outputs, config


def _properties(bench):
  """What a few labels may teach: what differs between tasks, and how well."""
  every = bench.config["properties"][bench.name]
  return tuple(p for p in every if p in ("task", "angle", "accuracy"))
