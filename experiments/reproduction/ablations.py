"""How many sequences are probed, M, and how long, L (validation only)."""

from typing import Any

from experiments.reproduction import emulation, search
from experiments.reproduction.bench import Bench
from weightspace.training.progress import Progress

FIELDS = ("parallel", "length")  # M, L


def jobs(config, family: str) -> list[str]:
  """One for each probing encoder and setting."""
  settings = config["ablations"]
  if family not in settings["families"]:
    return []
  return [
      f"{encoder}-{field}-{value}"
      for encoder in settings["encoders"]
      for field in FIELDS
      for value in settings[field]
  ]


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Trains with one setting changed and measures on validation."""
  encoder, field, value = name.split("-")
  runs, cell = changed(
      bench, "ablations", name, encoder, {field: int(value)}, progress
  )
  point = {"setting": int(value), "validation": cell}
  return {
      "runs": runs,
      "ablations": {bench.name: {encoder: {field: {value: point}}}},
  }


def changed(
    bench: Bench,
    stage: str,
    job: str,
    encoder: str,
    fields: dict[str, Any],
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Trains an encoder with other values of some fields.

  Args:
    bench: the zoo.
    stage: whose "steps" and "seeds" are meant.
    job: of the stage.
    encoder: its name.
    fields: of its config.
    progress: where to show how far it is.

  Returns:
    Records of the runs, and the validation loss.
  """
  bench.note("train, validation", "all", f"{stage} {job}")
  config = bench.model(
      encoder, bench.steps(stage), search.chosen(bench, "emulation", encoder)
  )
  config["encoder"] |= fields
  runs, found = emulation.train(
      bench, stage, job, encoder, config, bench.config[stage]["seeds"], progress
  )
  losses = emulation.row_losses(bench, found, "validation")
  cells = emulation.cells(bench, losses, bench.split.validation, runs)
  return runs, cells[config["emulation"]["score"]]
