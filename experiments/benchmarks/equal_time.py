"""Batches, sequences and schedules of pretraining for the same computing.

    python -m experiments.benchmarks.equal_time --zoo=ZOO \\
        --config=experiments/configs/emulation.py:listening,small \\
        [--settings="batch=64;batch=128;batch=64,sequences=4"] [--seeds=2]

Times a step of each setting, in CPU seconds of this process, which other work
on the machine disturbs little. Then trains each with every seed for the CPU
seconds that --steps steps of the first one take, and measures on validation
tasks. A setting is fields of the config's `emulation`, or of its `optimizer`;
decays end with the training. The last line is JSON, a dict by setting:

  cpu_ms_per_step  of training, without compilation
  steps            in the time that all have
  loss             the lowest validation loss of each seed
"""

import ast
import json
import tempfile
import time
from pathlib import Path

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    None, "Of all: FILE.py:ENCODER,SIZE,FAMILY."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_SETTINGS = flags.DEFINE_string(
    "settings",
    "batch=64;batch=32;batch=128;batch=64,sequences=2;batch=64,sequences=4;"
    "batch=32,sequences=2;batch=64,decay_steps=0",
    "Settings, divided by semicolons; fields divided by commas.",
)
_STEPS = flags.DEFINE_integer("steps", 1000, "Of the first setting.")
_SEEDS = flags.DEFINE_integer("seeds", 2, "Trainings of each setting.")
_TIMED = (50, 250)  # steps of the two runs whose difference is timed


def main() -> None:
  """Measures, trains and prints."""
  from weightspace import zoo
  from weightspace.training.config import parse

  opened = zoo.open(_ZOO.value)
  settings = {text: _fields(text) for text in _SETTINGS.value.split(";")}
  for fields in settings.values():
    parse(_configured(fields, 1, 0))  # a typo is refused before the first run
  results = {}
  for text, fields in settings.items():
    short, long = (_train(opened, fields, steps, 0)[0] for steps in _TIMED)
    seconds = (long - short) / (_TIMED[1] - _TIMED[0])
    results[text] = {"cpu_ms_per_step": round(1e3 * seconds, 2)}
  budget = _STEPS.value * next(iter(results.values()))["cpu_ms_per_step"]
  for text, fields in settings.items():
    steps = max(1, round(budget / results[text]["cpu_ms_per_step"]))
    losses = [
        _train(opened, fields, steps, seed)[1] for seed in range(_SEEDS.value)
    ]
    results[text] |= {"steps": steps, "loss": losses}
    print(text, results[text], flush=True)
  print(json.dumps(results))


def _fields(text):
  """{field: value} of "batch=64,sequences=2"."""
  pairs = [field.split("=") for field in text.split(",")]
  return {name.strip(): ast.literal_eval(value) for name, value in pairs}


def _configured(fields, steps, seed):
  """The config with a setting; the learning rate decays to the last step."""
  config = _CONFIG.value.to_dict()
  config["emulation"] |= {
      "steps": steps, "seed": seed, "validate_every": max(1, steps // 5),
      "checkpoint_every": steps,
  }  # fmt: skip
  optimizer = config["optimizer"]
  optimizer["decay_steps"] = steps if steps > optimizer["warmup_steps"] else 0
  for name, value in fields.items():
    (optimizer if name in optimizer else config["emulation"])[name] = value
  return config


def _train(opened, fields, steps, seed):
  """CPU seconds of a run, compilation included, and its lowest loss."""
  from experiments.study.emulation import lowest_loss
  from weightspace import parallel
  from weightspace.progress import Progress
  from weightspace.training import pretrain

  with tempfile.TemporaryDirectory() as folder:
    start = time.process_time()
    run = pretrain.pretrain(
        opened, _configured(fields, steps, seed), Path(folder) / "run",
        progress=Progress.silent(), mesh=parallel.mesh(parallel.DATA),
    )  # fmt: skip
    return time.process_time() - start, round(lowest_loss(run.history), 4)


if __name__ == "__main__":
  launch.run(main, required=("config", "zoo"))
