"""Predicts what networks do from their frozen codes; tests once.

    python -m experiments.predict --zoo=DIR --encoder=RUN --workdir=DIR \\
        --config=experiments/configs/prediction.py

RUN is the --workdir of experiments.pretrain. The results, with 95 % intervals
over tasks, are printed and written to WORKDIR/results.json, which
experiments.report shows.
"""

from absl import flags
from ml_collections import config_flags

from weightspace import launch

_CONFIG = config_flags.DEFINE_config_file(
    "config", "experiments/configs/prediction.py", "How heads are trained."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_ENCODER = flags.DEFINE_string("encoder", None, "Folder of the encoder's run.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this run.")


def main() -> None:
  """Encodes all rows, trains and tests heads, measures emulation."""
  import json

  from experiments import headline, results
  from weightspace import zoo
  from weightspace.training import pretrain, workdir
  from weightspace.training.progress import Progress

  source = zoo.open(_ZOO.value)
  config = _CONFIG.value.to_dict()
  pretrained, trained_with = pretrain.load(source, _ENCODER.value)
  folder = workdir.claim(
      _WORKDIR.value, {"encoder": trained_with, "prediction": config}
  )
  name = trained_with["encoder"]["name"]
  study = results.Study(source, {name: (pretrained, trained_with)}, config)
  found = study.results(progress=Progress())
  results.write(folder / "results.json", found)
  print(json.dumps(headline.summary(found), indent=2))


if __name__ == "__main__":
  launch.run(main, required=("zoo", "encoder", "workdir"))
