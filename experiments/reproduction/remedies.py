"""What may make interactive probing train more steadily (validation only).

The paper states its spread over seeds as a weakness. Each remedy is trained as
the encoder itself was, for as many steps and seeds; slower warm-ups are among
the trials of `search`.
"""

from typing import Any

from experiments.reproduction import ablations
from experiments.reproduction.bench import Bench
from weightspace.training.progress import Progress

REMEDIES = {
    "hard probes": {"tokens": "hard"},
    "own samples": {"start": "samples"},
    "own samples, sums read": {"start": "samples", "reads": "state+sums"},
}


def jobs(config, family: str) -> list[str]:
  """One for each remedy."""
  settings = config["remedies"]
  if family not in settings["families"]:
    return []
  return list(settings["names"])


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Trains with a remedy and measures on validation."""
  encoder = bench.config["remedies"]["encoder"]
  runs, cell = ablations.changed(
      bench, "remedies", name, encoder, REMEDIES[name], progress
  )
  return {
      "runs": runs,
      "remedies": {bench.name: {name: {
          "encoder": encoder, "fields": REMEDIES[name], "validation": cell,
      }}},
  }  # fmt: skip
