"""Predicts what networks do from their frozen codes; tests once.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py

RUN is the --workdir of experiments.pretrain. The results, with 95 % intervals
over tasks, are printed and written to WORKDIR/results.json, which
experiments.report shows.
"""

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    "experiments/configs/prediction.py", "How heads are trained."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_ENCODER = flags.DEFINE_string("encoder", None, "Folder of the encoder's run.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this run.")


def main() -> None:
  """Launches `experiments.study.trained.study`."""
  import json

  from experiments.study import headline, trained
  from weightspace.progress import Progress

  results = trained.study(
      _ZOO.value,
      _ENCODER.value,
      _CONFIG.value.to_dict(),
      _WORKDIR.value,
      progress=Progress(),
  )
  (family,) = results["zoos"]
  print(json.dumps(headline.summary(results, family), indent=2))


if __name__ == "__main__":
  launch.run(main, required=("zoo", "encoder", "workdir"))
