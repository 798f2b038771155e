"""Encoders pretrained by emulation (section 4.1), one or more seeds each.

One that was trained elsewhere may have had another objective; then there is
nothing to measure but its own loss.
"""

import time
from typing import Any

import jax
import numpy as np

from experiments import results
from experiments.study import study as study_lib
from experiments.study.study import BASELINE, PAPER, Study
from weightspace import parallel
from weightspace.evaluation import bootstrap, emulation
from weightspace.progress import Progress
from weightspace.training import members, pretrain
from weightspace.training.config import EMULATION


def jobs(config, family: str) -> list[str]:
  """One for each encoder."""
  return study_lib.encoders(config, family)


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Trains all seeds and measures them on validation."""
  study.note("train, validation", "all", f"emulation {name}")
  if study.config.get("trained"):
    pretrained = trained(study, name)
    runs = {}
  else:
    config = study.model(
        name, study.steps("emulation"), study.chosen("emulation", name)
    )
    runs, pretrained = train(
        study, "emulation", name, name, config, study.seeds("emulation"),
        progress,
    )  # fmt: skip
  if not emulates(pretrained[0]):
    return {"pretraining": {study.name: {
        "objective": pretrained[0].config.objective,
        "encoders": {name: {
            **_training(pretrained[0]),
            "validation": lowest_loss(pretrained[0].history),
        }},
    }}}  # fmt: skip
  losses = row_losses(study, pretrained, "validation")
  study_lib.save(study.folder("emulation", name) / "validation", **losses)
  paper = PAPER["emulation"].get(study.name, {}).get(name)
  return {
      "runs": runs,
      "emulation": {study.name: {
          "divergence": pretrained[0].config.training.score,
          **({"paper": {name: paper}} if paper else {}),
          "encoders": {name: {
              **_training(pretrained[0]),
              "validation": cells(
                  study, losses, study.split.validation, list(runs)
              ),
          }},
      }},
  }  # fmt: skip


def train(study, stage, job, encoder, config, seeds, progress):
  """Trains runs of one config that differ in their seed.

  Returns:
    Records of the runs by name, and the `Pretrained` of each.
  """
  folder = study.folder(stage, job)
  configs = [
      {**config, "emulation": {**config["emulation"], "seed": seed}}
      for seed in seeds
  ]
  start, commit = time.monotonic(), results.commit()
  pretrained = members.pretrain(
      study.zoo,
      {folder / str(seed): c for seed, c in zip(seeds, configs)},
      progress=progress,
      # Several seeds are one program on one device; one is spread over all
      mesh=parallel.mesh(parallel.DATA) if len(seeds) == 1 else None,
  )
  seconds = (time.monotonic() - start) / len(seeds)
  runs = {
      study.run_id(stage, job, seed): {
          "family": study.name, "stage": stage, "encoder": encoder,
          "seed": seed, "commit": commit, "config": c,
          "seconds": round(seconds, 1), "best_step": one.step,
          "validation": lowest_loss(one.history),
      }
      for seed, one, c in zip(seeds, pretrained, configs)
  }  # fmt: skip
  return runs, pretrained


def emulates(pretrained: pretrain.Pretrained) -> bool:
  """Whether an encoder was trained with an emulator."""
  return pretrained.config.objective == EMULATION


def lowest_loss(history) -> float | None:
  """The lowest validation loss of a run, that of the params kept; or None."""
  losses = [h["validation/loss"] for h in history if "validation/loss" in h]
  return min((loss for loss in losses if loss == loss), default=None)


def trained(study: Study, encoder: str) -> list[pretrain.Pretrained]:
  """What pretraining left of each seed of an encoder, from disk."""
  return [
      pretrain.load(study.zoo, study.run_folder(encoder, seed))[0]
      for seed in study.seeds("emulation")
  ]


def run_ids(study: Study, encoder: str) -> list[str]:
  """Names of the runs of an encoder; of one trained elsewhere, none."""
  if study.config.get("trained"):
    return []
  return [
      study.run_id("emulation", encoder, seed)
      for seed in study.seeds("emulation")
  ]


def row_losses(study, pretrained, part: str) -> dict[str, np.ndarray]:
  """Losses of the rows of a split, {divergence: [S, n]}."""
  rows = getattr(study.split, part)
  of_seeds = [
      emulation.row_losses(study.zoo, one, {part: rows})[part]
      for one in pretrained
  ]
  return {
      name: np.stack([losses[name] for losses in of_seeds])
      for name in emulation.DIVERGENCES
  }


def cells(study, losses, rows, runs) -> dict[str, Any]:
  """A cell for each divergence."""
  return {
      name: study.mean(values, rows, runs) for name, values in losses.items()
  }


def gains(
    study: Study, name: str, divergence: str, over: str = BASELINE
) -> dict[str, Any]:
  """The share of another encoder's loss that an encoder removes, by part.

  Reads the losses of the same rows that the stages `emulation` and `test`
  saved; parts that were not measured yet are left out.
  """
  runs = run_ids(study, name)
  report = {}
  for stage, part in (("emulation", "validation"), ("test", "ood")):
    folders = [study.folder(stage, e) / part for e in (name, over)]
    if not all((folder / f"{divergence}.npy").exists() for folder in folders):
      continue
    own, baseline = (study_lib.load(f, divergence) for f in folders)
    left = bootstrap.ratio_over_seeds(
        own, baseline, study.tasks(getattr(study.split, part)),
        resamples=study.config["resamples"],
    )  # fmt: skip
    report[part] = study_lib.cell(
        bootstrap.Estimate(1 - left.value, 1 - left.high, 1 - left.low), runs
    )
  return report


def _training(pretrained):
  """Size and learning curves of a run."""
  history = pretrained.history
  validated = [h for h in history if "validation/loss" in h]
  losses = [h for h in history if "loss" in h]
  leaves = jax.tree.leaves(pretrained.params["encoder"])
  return {
      "parameters": sum(int(np.size(leaf)) for leaf in leaves),
      "steps": pretrained.config.training.steps,
      "best_step": pretrained.step,
      "still_fell": _still_fell(validated),
      "curve": {
          "step": [h["step"] for h in losses],
          "train": [h["loss"] for h in losses],
      },
      "validation_curve": {
          "step": [h["step"] for h in validated],
          "loss": [h["validation/loss"] for h in validated],
      },
  }


def _still_fell(validated) -> float | None:
  """By what share the lowest validation loss fell in the last fifth."""
  if not validated:
    return None
  last = validated[-1]["step"]
  early = [h["validation/loss"] for h in validated if h["step"] <= 0.8 * last]
  every = [h["validation/loss"] for h in validated]
  return 1 - min(every) / min(early)
