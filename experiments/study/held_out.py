"""The test: held-out tasks, read once, when all training and choosing is over.

For each encoder: emulation of held-out networks, what heads and end-to-end
models predict on the half of the OOD tasks that none was trained on, the arms
with few labels, and clones.
"""

import functools
from typing import Any

import jax
import numpy as np

from experiments.study import emulation, few_labels, measures, supervised
from experiments.study import study as study_lib
from experiments.study.study import Study, encoders, learned, with_codes
from weightspace import properties
from weightspace.evaluation import clones, prediction
from weightspace.evaluation import few_labels as few_labels_lib
from weightspace.progress import Progress

FEW = "few labels"
# Algorithms without learned parameters: of a network's own samples, and of its
# answers to queries
COUNTING, QUERYING = "counting", "querying"
_ROWS = 64  # interrogated at once
_HOW = {few_labels.PRETRAINED: "pretrained", few_labels.SCRATCH: "from scratch"}


def jobs(config, family: str) -> list[str]:
  """One for each encoder, one where nothing is learned, one for few labels."""
  counting = [COUNTING] if "task" in config["properties"][family] else []
  few = [FEW] if config["few_labels"] else []
  return [*encoders(config, family), *counting, *few]


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Measures what was trained; trains nothing."""
  if name == FEW:
    return _few_labels(study)
  if name == COUNTING:
    return _unlearned(study)
  study.note("ood", "weights, rollouts, labels", f"test {name}")
  pretrained = emulation.trained(study, name)
  runs = emulation.run_ids(study, name)
  report: dict[str, Any] = {}
  if emulation.emulates(pretrained[0]):
    losses = emulation.row_losses(study, pretrained, "ood")
    study_lib.save(study.folder("test", name) / "ood", **losses)
    cells = emulation.cells(study, losses, study.split.ood, runs)
    report["emulation"] = {study.name: {"encoders": {name: {"ood": cells}}}}
    if name in with_codes(study.config, study.name) and _queries(study):
      study_lib.merge(report, _emulated(study, name, pretrained, runs))
  if name in with_codes(study.config, study.name):
    study_lib.merge(report, _prediction(study, name))
  if name in learned(study.config, study.name) and study.config["clones"]:
    study_lib.merge(report, _clones(study, name, pretrained, runs))
  return report


def _prediction(study, name):
  report: dict[str, Any] = {}
  properties_ = study.config["properties"][study.name]
  for protocol in prediction.PROTOCOLS:
    kinds = {"frozen": (study.folder("heads", name) / protocol, "heads")}
    if f"{name}-{protocol}" in supervised.jobs(study.config, study.name):
      folder = study.folder("supervised", f"{name}-{protocol}") / "outputs"
      kinds["supervised"] = (folder, "supervised")
    for kind, (folder, stage) in kinds.items():
      outputs = {p: study_lib.load(folder, p) for p in properties_}
      count = len(next(iter(outputs.values())))
      first = study.config["seed"]
      runs = [
          study.run_id(stage, f"{name}-{protocol}", first + s)
          for s in range(count)
      ]
      study_lib.merge(report, {kind: {name: measures.properties(
          study, outputs, protocol, "test", runs
      )}})  # fmt: skip
  last = encoders(study.config, study.name)[-1]
  if "accuracy" in properties_ and name == last:
    folder = study.folder("heads", name) / "strict"
    predicted = study_lib.load(folder, "accuracy")[0][study.rows.test]
    report["scatter"] = {
        "encoder": name,
        "predicted": np.ravel(predicted).tolist(),
        "actual": study.zoo.columns["accuracy"][study.rows.test].tolist(),
    }
  if name == last and (points := _predicted(study, name)):
    report["predicted"] = {"encoder": name, "properties": points}
  return {"prediction": {study.name: report}}


def _predicted(study, name):
  """Numbers and angles of test networks as heads predict them, and as known."""
  points = []
  for property_name in study.config["properties"][study.name]:
    property_ = properties.load(property_name, study.scope)
    shape = property_.shape(study.scope)
    if property_name == "accuracy" or shape != (
        (2,) if property_.kind == "direction" else (1,)
    ):
      continue
    targets = property_.target(study.columns, study.scope)
    rows = prediction.known_rows(targets, study.rows).test
    folder = study.folder("heads", name) / "strict"
    outputs = study_lib.load(folder, property_name)[0]
    points.append({
        "name": property_name,
        "kind": property_.kind,
        **{
            what: measures.listed(
                properties.numbers(property_, values[rows]), rows >= 0
            )
            for what, values in (("predicted", outputs), ("actual", targets))
        },
    })
  return points


def _unlearned(study):
  """How well tasks are read by `decode` and `interrogate` of the family."""
  report: dict[str, Any] = {}
  for name, what, read in (
      (COUNTING, "rollouts", study.family.decode and _counted),
      (QUERYING, "weights", study.family.interrogate and _interrogated),
  ):
    if read is None:
      continue
    study.note("ood", f"{what}, labels", f"test {name}")
    report[name] = _of_tasks(study, [functools.partial(read, study)], [])
  return {"prediction": {study.name: {"frozen": report}}} if report else {}


def _queries(study):
  """Whether tasks are predicted, and the family can query them."""
  return "task" in study.config["properties"][study.name] and (
      study.family.interrogate is not None
  )


def _emulated(study, name, pretrained, runs):
  """How well `interrogate` reads tasks off emulators that have the codes."""
  read = [
      functools.partial(clones.interrogate, study.zoo, one)
      for one in pretrained
  ]
  report = _of_tasks(study, read, runs)
  return {"prediction": {study.name: {"emulator": {name: report}}}}


def _of_tasks(study, read, runs):
  """Measures (rows) -> tasks [n, D], one function for each of the runs."""
  property_ = properties.load("task")
  shape = property_.shape(study.scope)
  chosen = np.concatenate([study.rows.validation, study.rows.test])
  outputs = np.zeros((len(read), len(study.zoo), *shape), np.float32)
  for i, one in enumerate(read):
    targets = property_.target({"task": one(chosen)}, study.scope)
    outputs[i, chosen] = np.eye(shape[-1])[targets]
  report: dict[str, Any] = {}
  for part in prediction.PARTS:
    study_lib.merge(report, measures.properties(
        study, {"task": outputs}, "strict", part, runs
    ))  # fmt: skip
  return report


def _counted(study, rows):
  sequences = study.zoo.rollouts(rows).sequences
  return np.asarray(jax.jit(jax.vmap(study.family.decode))(sequences))


def _interrogated(study, rows):
  tasks = np.zeros_like(study.zoo.columns["task"][rows])
  for shape, rnn in enumerate(study.zoo.rnns):
    own = study.zoo.shapes[rows] == shape
    ask = functools.partial(study.family.interrogate, rnn)
    tasks[own] = jax.jit(
        lambda weights, ask=ask: jax.lax.map(ask, weights, batch_size=_ROWS)
    )(study.zoo.weights(rows[own]))
  return tasks


def _clones(study, name, pretrained, runs):
  generator = np.random.default_rng(study.config["seed"])
  parts = []
  for part in ("validation", "ood"):
    rows = getattr(study.split, part)
    count = min(len(rows), study.config["clones"]["networks"])
    parts.append(np.sort(generator.choice(rows, count, replace=False)))
  rows = np.concatenate(parts)
  measured = [
      clones.measure(study.zoo, one, rows, seed=study.config["seed"])
      for one in pretrained
  ]
  copies = np.stack([one["clone"] for one in measured])
  original, steps = measured[0]["original"], study.zoo.columns["step"][rows]
  return {"clones": {study.name: {name: {
      "correlation": study.statistic(
          lambda chosen, seed: clones.correlation(
              original[chosen], copies[seed, chosen]
          ),
          len(pretrained), rows, runs,
      ),
      "correlation_within_steps": study.statistic(
          lambda chosen, seed: clones.correlation_within(
              original[chosen], copies[seed, chosen], steps[chosen]
          ),
          len(pretrained), rows, runs,
      ),
      "mean_absolute_error": study.mean(
          np.abs(copies - original), rows, runs
      ),
      "original": np.round(original, 4).tolist(),
      "clone": np.round(copies[0], 4).tolist(),
      "split": ["validation"] * len(parts[0]) + ["ood"] * len(parts[1]),
      "run": runs[0],
  }}}}  # fmt: skip


def _few_labels(study):
  planned = few_labels.plan(study)
  study.note("ood, kept networks", "labels", "test few labels")
  settings = study.config["few_labels"]
  arms = few_labels.jobs(study.config, study.name)
  tests = {
      name: few_labels.tested(study, planned, name)
      for name in sorted(few_labels.taught(study))
  }
  values, metrics = {}, {}
  for arm in arms:
    for count in planned.labelled:
      folder = study.folder("few_labels", arm) / str(count)
      for name, test in tests.items():
        outputs = study_lib.load(folder, name)[:, test]
        rows = [measures.of_rows(study, name, one, test) for one in outputs]
        values[name, arm, count] = np.stack([r[2] for r in rows])
        metrics[name] = rows[0][:2]
  counts = list(planned.labelled)
  report = {}
  for name, (metric, higher) in metrics.items():
    cells = {
        arm: [
            study.mean(values[name, arm, count], tests[name],
                       _runs(study, arm, count))
            for count in counts
        ]
        for arm in arms
    }  # fmt: skip
    # Of all that were trained from scratch, the one that did best here
    scratch = [a for a in arms if a.endswith(few_labels.SCRATCH)]
    sign = -1 if higher else 1
    over = min(scratch, key=lambda arm: sign * np.mean(
        [c["value"] for c in cells[arm]]
    ))  # fmt: skip
    best = study.of_family(settings["pretrained"])[-1]
    of = f"{best}-{few_labels.PRETRAINED}"
    report[name] = {
        "metric": metric,
        "better": "higher" if higher else "lower",
        "arms": {_title(arm): of_arm for arm, of_arm in cells.items()},
        "improvement": {"of": _title(of), "over": _title(over), "per_cent": [
            study_lib.cell(
                few_labels_lib.improvement(
                    _errors(values[name, of, count], higher),
                    _errors(values[name, over, count], higher),
                    study.tasks(tests[name]),
                    resamples=study.config["resamples"],
                ),
                [*cells[of][i]["runs"], *cells[over][i]["runs"]],
            )
            for i, count in enumerate(counts)
        ]},
    }  # fmt: skip
  by_task = study.family.spec.classes is not None
  return {"labels": {study.name: {
      "networks": counts,
      "mean": [few_labels.mean_count(study, planned, n) for n in counts],
      "unit": "labelled networks" + (" per task" if by_task else ""),
      "properties": report,
  }}}  # fmt: skip


def _title(arm):
  encoder, how = arm.split("-")
  return f"{encoder}, {_HOW[how]}"


def _runs(study, arm, count):
  return [
      study.run_id("few_labels", f"{arm}-{count}", seed)
      for seed in study.seeds("few_labels")
  ]


def _errors(values, higher):
  return 1 - values if higher else values
