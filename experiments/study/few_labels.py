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
from experiments.study import emulation, heads
from experiments.study import study as study_lib
from experiments.study import supervised as supervised_stage
from experiments.study.study import Study
from weightspace.evaluation import few_labels, prediction
from weightspace.progress import Progress
from weightspace.training import supervised

PRETRAINED, SCRATCH = "pretrained", "scratch"


def jobs(config, family: str) -> list[str]:
  """One for each arm."""
  settings = config["few_labels"]
  if not settings:
    return []
  return [
      f"{name}-{how}"
      for how in (PRETRAINED, SCRATCH)
      for name in study_lib.of_family(settings[how], family)
  ]


def plan(study: Study):
  """Which rows are labelled, for each count, and which are the test."""
  return few_labels.plan(
      study.zoo.columns,
      study.split.ood,
      tuple(study.config["few_labels"]["networks"]),
      seed=study.config["seed"],
      by_task=study.family.spec.classes is not None,
  )


def tested(study: Study, planned, name: str) -> np.ndarray:
  """Test rows of a property.

  What a task is shows in final snapshots, and where networks share tasks, in
  those that a labelled network has; how well it is done, in all snapshots.
  """
  rows = planned.test
  if name == "accuracy":
    return rows
  if study.family.spec.classes is not None:
    task = study.zoo.columns["task"]
    known = np.unique(task[planned.labelled[max(planned.labelled)]], axis=0)
    rows = rows[np.any(np.all(task[rows][:, None] == known, axis=2), axis=1)]
  return study.final(rows)


def mean_count(study: Study, planned, count: int) -> float:
  """Labelled networks of a test task, on average; in total for real tasks."""
  columns, rows = study.zoo.columns, planned.labelled[count]
  networks = len(np.unique(columns["net_id"][rows]))
  if study.family.spec.classes is None:
    return float(networks)
  return networks / len(np.unique(columns["task"][rows], axis=0))


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Trains an arm with each number of labels; keeps what it says."""
  encoder, how = name.split("-")
  labelled = plan(study).labelled
  start, commit = time.monotonic(), results.commit()
  runs = {}
  for count, rows in labelled.items():
    study.note("ood, labelled networks", "weights, labels", f"{name} {count}")
    outputs = []
    for seed in study.seeds("few_labels"):
      train = {PRETRAINED: _pretrained, SCRATCH: _scratch}[how]
      of_seed, config = train(study, encoder, rows, seed, progress)
      outputs.append(of_seed)
      runs[study.run_id("few_labels", f"{name}-{count}", seed)] = {
          "family": study.name, "stage": "few_labels", "encoder": encoder,
          "seed": seed, "commit": commit, "config": config, "labels": count,
      }  # fmt: skip
    study_lib.save(
        study.folder("few_labels", name) / str(count),
        **{p: np.stack([one[p] for one in outputs]) for p in outputs[0]},
    )
  for record in runs.values():
    record["seconds"] = round((time.monotonic() - start) / len(runs), 1)
  return {"runs": runs}


def _pretrained(study, encoder, rows, seed, progress):
  del progress
  codes = study_lib.load(study.folder("heads", encoder), "codes")
  codes = codes[seed % len(codes)]
  outputs, chosen = {}, {}
  for name in taught(study):
    chosen[name] = heads.chosen(study, encoder, name)
    config = heads.head_config(
        study, chosen[name], study.config["few_labels"]["steps"]
    )
    train = prediction.make_trainer(
        name, study.scope, codes.shape[-1], config
    )
    outputs[name] = train(
        codes, study.columns, rows, rows[:0], seed
    ).outputs
  ids = emulation.run_ids(study, encoder)
  return outputs, {"heads": chosen, "codes": ids[seed % len(ids)]}


def _scratch(study, encoder, rows, seed, progress):
  config = supervised_stage.config_of(
      study, encoder, study.config["few_labels"]["steps"],
      study.chosen( "supervised", encoder),
  )  # fmt: skip
  config["supervised"] |= {"properties": taught(study), "seed": seed}
  trained = supervised.train(
      study.zoo, config, rows, None, folder=None, progress=progress
  )
  return trained.outputs, config


def taught(study):
  """What a few labels may teach: what differs between tasks, and how well."""
  every = study.config["properties"][study.name]
  return tuple(p for p in every if p in ("task", "angle", "accuracy"))
