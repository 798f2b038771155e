"""The test: held-out tasks, read once, when all training and choosing is over.

For each encoder: emulation of held-out networks, what heads and end-to-end
models say of the half of the OOD tasks that none was trained on, the arms with
few labels, and clones.
"""

from typing import Any

import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import emulation, few_labels, measures
from experiments.reproduction.bench import Bench
from weightspace.evaluation import clones, prediction
from weightspace.evaluation import few_labels as few_labels_lib
from weightspace.training.progress import Progress

FEW = "few labels"
_HOW = {few_labels.PRETRAINED: "pretrained", few_labels.SCRATCH: "from scratch"}


def jobs(config, family: str) -> list[str]:
  """One for each encoder, and one for all arms with few labels."""
  return [*config["encoders"], FEW]


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Measures what was trained; trains nothing."""
  if name == FEW:
    return _few_labels(bench)
  bench.note("ood", "weights, rollouts, labels", f"test {name}")
  found = emulation.trained(bench, name)
  runs = emulation.run_ids(bench, name)
  losses = emulation.row_losses(bench, found, "ood")
  bench_lib.save(bench.folder("test", name) / "ood", **losses)
  report: dict[str, Any] = {
      "emulation": {bench.name: {"encoders": {name: {
          "ood": emulation.cells(bench, losses, bench.split.ood, runs)
      }}}},
  }  # fmt: skip
  bench_lib.merge(report, _prediction(bench, name))
  if name != results.BASELINE:
    bench_lib.merge(report, _clones(bench, name, found, runs))
  return report


def _prediction(bench, name):
  found: dict[str, Any] = {}
  for protocol in prediction.PROTOCOLS:
    kinds = {"frozen": (bench.folder("heads", name) / protocol, "heads")}
    if name != results.BASELINE:
      folder = bench.folder("supervised", f"{name}-{protocol}") / "outputs"
      kinds["supervised"] = (folder, "supervised")
    for kind, (folder, stage) in kinds.items():
      outputs = {
          p: bench_lib.load(folder, p)
          for p in bench.config["properties"][bench.name]
      }
      seeds = len(next(iter(outputs.values())))
      runs = [
          bench.run_id(stage, f"{name}-{protocol}", s) for s in range(seeds)
      ]
      bench_lib.merge(found, {kind: {name: measures.properties(
          bench, outputs, protocol, "test", runs
      )}})  # fmt: skip
  return {"prediction": {bench.name: found}}


def _clones(bench, name, found, runs):
  generator = np.random.default_rng(bench.config["seed"])
  parts = []
  for part in ("validation", "ood"):
    rows = getattr(bench.split, part)
    count = min(len(rows), bench.config["clones"]["networks"])
    parts.append(np.sort(generator.choice(rows, count, replace=False)))
  rows = np.concatenate(parts)
  measured = [
      clones.measure(bench.source, one, rows, seed=bench.config["seed"])
      for one, _ in found
  ]
  copies = np.stack([one["clone"] for one in measured])
  original = measured[0]["original"]
  return {"clones": {bench.name: {name: {
      "correlation": bench.statistic(
          lambda chosen, seed: clones.correlation(
              original[chosen], copies[seed, chosen]
          ),
          len(found), rows, runs,
      ),
      "mean_absolute_error": bench.mean(
          np.abs(copies - original), rows, runs
      ),
      "original": np.round(original, 4).tolist(),
      "clone": np.round(copies[0], 4).tolist(),
      "split": ["validation"] * len(parts[0]) + ["ood"] * len(parts[1]),
      "run": runs[0],
  }}}}  # fmt: skip


def _few_labels(bench):
  planned = few_labels.plan(bench)
  bench.note("ood, kept networks", "labels", "test few labels")
  settings = bench.config["few_labels"]
  arms = few_labels.jobs(bench.config, bench.name)
  values, found = {}, {}
  for arm in arms:
    for count in planned.labelled:
      folder = bench.folder("few_labels", arm) / str(count)
      for path in sorted(folder.glob("*.npy")):
        outputs = bench_lib.load(folder, path.stem)[:, planned.test]
        rows = [
            measures.of_rows(bench, path.stem, one, planned.test)
            for one in outputs
        ]
        values[path.stem, arm, count] = np.stack([r[2] for r in rows])
        found[path.stem] = rows[0][:2]
  counts = list(planned.labelled)
  tasks = bench.tasks(planned.test)
  report = {}
  for name, (metric, higher) in found.items():
    cells = {
        arm: [
            bench.mean(values[name, arm, count], planned.test,
                       _runs(bench, arm, count, settings["seeds"]))
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
    of = f"{settings['pretrained'][-1]}-{few_labels.PRETRAINED}"
    report[name] = {
        "metric": metric,
        "better": "higher" if higher else "lower",
        "arms": {_title(arm): of_arm for arm, of_arm in cells.items()},
        "improvement": {"of": _title(of), "over": _title(over), "per_cent": [
            bench_lib.cell(
                few_labels_lib.improvement(
                    _errors(values[name, of, count], higher),
                    _errors(values[name, over, count], higher),
                    tasks,
                    resamples=bench.config["resamples"],
                ),
                [*cells[of][i]["runs"], *cells[over][i]["runs"]],
            )
            for i, count in enumerate(counts)
        ]},
    }  # fmt: skip
  by_task = bench.family.spec.classes is not None
  return {"labels": {bench.name: {
      "networks": counts,
      "unit": "labelled networks" + (" per task" if by_task else ""),
      "properties": report,
  }}}  # fmt: skip


def _title(arm):
  encoder, how = arm.split("-")
  return f"{encoder}, {_HOW[how]}"


def _runs(bench, arm, count, seeds):
  return [
      bench.run_id("few_labels", f"{arm}-{count}", seed)
      for seed in range(seeds)
  ]


def _errors(values, higher):
  return 1 - values if higher else values
