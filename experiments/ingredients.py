"""What each ingredient is worth: encoders with one of them taken away.

    python -m experiments.ingredients --zoo=ZOO --workdir=DIR \\
        --config=experiments/configs/ingredients.py:formal_language

Trains each variant with each seed, one seed after the other, and measures it on
validation tasks alone; writes WORKDIR/ingredients.json after each, and prints a
table. Killed and run again, it goes on where it was.
"""

from absl import flags
from ml_collections import config_flags

from weightspace import launch

_CONFIG = config_flags.DEFINE_config_file(
    "config", "experiments/configs/ingredients.py", "What is compared."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all of it.")


def config_of(family: str, name: str, steps: int, seed: int):
  """The config of emulation of a variant."""
  from experiments.configs import emulation, ingredients

  encoder, fields = ingredients.VARIANTS[family][name]
  config = emulation.get_config(f"{encoder},small,{family}")
  for field, value in fields.items():
    part, key = field.split(".")
    config[part][key] = value
  config.emulation.update(
      steps=steps, seed=seed, validate_every=steps // 4, checkpoint_every=steps
  )
  config.optimizer.decay_steps = steps
  return config.to_dict()


def measure(source, run, config):
  """Validation loss, and what final networks' codes tell of their task."""
  import numpy as np

  from experiments.configs import prediction as heads
  from weightspace import properties, tasks
  from weightspace.evaluation import codes, fitting
  from weightspace.zoo import splits

  family = tasks.make(source.spec.family, source.spec.family_config)
  split = splits.of_zoo(
      source, family, seed=config["emulation"]["split_seed"]
  )
  scope = properties.Scope(family.spec, source.spec.snapshot_steps)
  settings = heads.get_config(source.spec.family)
  name = "task" if "task" in settings.properties else "angle"
  found = codes.of_zoo(source, run)
  head = fitting.make_trainer(
      name, scope, found.shape[-1],
      fitting.Config(forms=tuple(settings.forms)),
  )(found, source.columns, split.train, split.validation, 0)  # fmt: skip
  last = source.columns["step"] == scope.steps[-1]
  rows = split.validation[last[split.validation]]
  property_ = properties.load(name)
  targets = property_.target(source.columns, scope)
  told = property_.metrics(head.outputs[rows], targets[rows])
  loss = min(
      line["validation/loss"]
      for line in run.history
      if "validation/loss" in line
  )
  numbers = {name: float(np.mean(value)) for name, value in told.items()}
  return {"loss": float(loss), **numbers}


def main() -> None:
  """Trains, measures, prints."""
  import json
  import time
  from pathlib import Path

  import numpy as np

  from experiments import results
  from weightspace import parallel, zoo
  from weightspace.training import pretrain
  from weightspace.training.progress import Progress

  config = _CONFIG.value
  source = zoo.open(_ZOO.value)
  if source.spec.family != config.family:
    raise ValueError(
        f"{_ZOO.value} is a zoo of {source.spec.family}, the config is for"
        f" {config.family}: --config=experiments/configs/ingredients.py:"
        f"{source.spec.family}"
    )
  folder = Path(_WORKDIR.value)
  kept = folder / "ingredients.json"
  found = json.loads(kept.read_text()) if kept.exists() else {}
  for seed in range(config.seeds):
    for name in config.names:
      place = f"{name}, seed {seed}"
      if place in found:
        continue
      settings = config_of(config.family, name, config.steps, seed)
      start = time.monotonic()
      run = pretrain.pretrain(
          source, settings, folder / place, progress=Progress(),
          mesh=parallel.mesh(parallel.DATA),
      )  # fmt: skip
      found[place] = {
          "name": name, "seed": seed, "steps": config.steps,
          "seconds": round(time.monotonic() - start, 1),
          "commit": results.commit(), **measure(source, run, settings),
      }  # fmt: skip
      results.write(kept, found)
  for name in config.names:
    of = [one for one in found.values() if one["name"] == name]
    numbers = {k: [one[k] for one in of] for k in of[0]
               if isinstance(of[0][k], float)}
    print(name, *(f"{k} {np.mean(v):.4f} ({min(v):.4f}, {max(v):.4f})"
                  for k, v in numbers.items()), sep="; ")  # fmt: skip


if __name__ == "__main__":
  launch.run(main, required=("zoo", "workdir"))
