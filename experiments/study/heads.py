"""Heads on the frozen codes of pretrained encoders (section 5)."""

import itertools
import time
from typing import Any

import numpy as np

from experiments import results
from experiments.study import emulation, measures, search
from experiments.study import study as study_lib
from experiments.study.study import Study
from weightspace import plugins
from weightspace.evaluation import codes, prediction
from weightspace.progress import Progress

KIND = "head on"  # of a search, before the property


def jobs(config, family: str) -> list[str]:
  """One for each encoder."""
  return study_lib.with_codes(config, family)


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Chooses how heads are trained, trains them, measures on validation.

  The choice, for each property, is the lowest validation loss of seed 0 under
  the strict protocol; it serves all seeds and both protocols.
  """
  study.note("train, validation", "weights, labels", f"heads {name}")
  study.note("ood", "weights (codes are computed)", f"heads {name}")
  study.note("ood, training half", "labels", f"heads {name}, paper protocol")
  pretrained = emulation.trained(study, name)
  encoded = [codes.of_zoo(study.zoo, one) for one in pretrained]
  study_lib.save(study.folder("heads", name), codes=np.stack(encoded))
  names = study.config["properties"][study.name]
  start, commit = time.monotonic(), results.commit()
  settings, searched = _search(study, name, encoded[0])
  runs, report = {}, {}
  with progress.stage(
      f"predict from {name}", unit="heads",
      total=len(names) * len(prediction.PROTOCOLS) * len(encoded),
  ) as stage:  # fmt: skip
    for protocol in prediction.PROTOCOLS:
      outputs = {p: [] for p in names}
      ids = []
      for seed, of_seed in zip(study.seeds("emulation"), encoded):
        trained = {}
        for p in names:
          trained[p] = _train(study, of_seed, p, settings[p], protocol, seed)
          outputs[p].append(trained[p].outputs)
          stage.advance()
        ids.append(study.run_id("heads", f"{name}-{protocol}", seed))
        runs[ids[-1]] = {
            "family": study.name, "stage": "heads", "encoder": name,
            "seed": seed, "commit": commit,
            "config": {"heads": settings, "protocol": protocol,
                       "codes": study.run_id("emulation", name, seed)},
            "forms": {p: head.form for p, head in trained.items()},
        }  # fmt: skip
      stacked = {p: np.stack(values) for p, values in outputs.items()}
      study_lib.save(study.folder("heads", name) / protocol, **stacked)
      study_lib.merge(report, measures.properties(
          study, stacked, protocol, "validation", ids
      ))  # fmt: skip
  seconds = (time.monotonic() - start) / len(runs)
  for record in runs.values():
    record["seconds"] = round(seconds, 1)
  return {
      "runs": runs,
      **({"search": searched} if searched else {}),
      "prediction": {study.name: {"frozen": {name: report}}},
  }


def _search(study, name, encoded):
  """The setting of each property's heads, and the trials behind it."""
  trials = _trials(study)
  names = study.config["properties"][study.name]
  if len(trials) == 1:
    return dict.fromkeys(names, trials[0]), {}
  settings, searched = {}, {}
  first = study.config["seed"]
  for property_name in names:
    tried = [
        {"run": study.run_id("emulation", name, first), "setting": setting,
         "validation": _train(
             study, encoded, property_name, setting, "strict", first
         ).score}
        for setting in trials
    ]  # fmt: skip
    kind = f"{KIND} {property_name}"
    steps = head_config(study, {}).steps
    study_lib.merge(searched, search.part(study, kind, steps, name, tried))
    of_kind = searched[kind][study.name]["encoders"][name]
    settings[property_name] = of_kind["chosen"]
  return settings, searched


def _trials(study):
  """Every combination of the values to try; [{}] where there are none."""
  tried = study.config["heads"]["trials"]
  return [
      dict(zip(tried, point)) for point in itertools.product(*tried.values())
  ]


def _train(study, encoded, name, setting, protocol, seed):
  rows = study.rows
  trainer = prediction.make_trainer(
      name, study.scope, encoded.shape[-1], head_config(study, setting)
  )
  return trainer(
      encoded, study.columns, prediction.train_rows(rows, protocol),
      rows.validation, seed,
  )  # fmt: skip


def chosen(study: Study, name: str, property_name: str) -> dict[str, Any]:
  """The setting of a property's heads on an encoder's codes."""
  runs = study.part("heads", name)["runs"]
  return next(iter(runs.values()))["config"]["heads"][property_name]


def head_config(
    study: Study, setting: dict[str, Any], steps: int | None = None
) -> prediction.Config:
  """How a head is trained, from a trial's setting.

  Args:
    study: whose other fields it takes.
    setting: of a trial.
    steps: of gradient descent, where not the study's.
  """
  fields = {**study.of_family(study.config["heads"]["fields"]), **setting}
  if steps is not None:
    fields |= {"steps": steps, "validate_every": max(1, steps // 20)}
  return plugins.configure(prediction.Config, fields, "prediction")
