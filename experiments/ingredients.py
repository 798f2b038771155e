"""What each ingredient is worth: encoders with one of them taken away.

    python -m experiments.ingredients --zoo=ZOO --workdir=DIR \\
        --config=experiments/configs/ingredients.py:formal_language

Trains each variant with each seed, measures it on validation tasks alone,
prints a table and writes WORKDIR/results.json. Stopped and run again, it
resumes.
"""

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    "experiments/configs/ingredients.py", "What is compared."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all of it.")


def main() -> None:
  """A study of variants alone."""
  from experiments.configs import ingredients
  from experiments.study import pipeline
  from weightspace.progress import Progress

  config, family = _CONFIG.value, _CONFIG.value.family
  results = pipeline.run(
      ingredients.study(config).to_dict(),
      _WORKDIR.value,
      zoos={family: _ZOO.value},
      stages=["*"],
      workers=0,
      command="python -m experiments.ingredients --config="
      f"experiments/configs/ingredients.py:{family} --config.names="
      f'"{config.names}" --config.steps={config.steps}'
      f" --config.seeds={config.seeds}",
      progress=Progress(),
  )
  for name, one in results["variants"][family].items():
    cells = {"loss": one["validation"]}
    for metrics in one["prediction"].values():
      cells |= metrics
    print(name, *(
        "{} {value:.4f} ({low:.4f}, {high:.4f})".format(title, **cell)
        for title, cell in cells.items()
    ), sep="; ")  # fmt: skip


if __name__ == "__main__":
  launch.run(main, required=("zoo", "workdir"))
