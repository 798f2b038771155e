"""A study of one encoder that was pretrained before."""

import os
from collections.abc import Mapping
from typing import Any

from experiments.configs import quickstart
from experiments.study import emulation, pipeline
from weightspace.progress import Progress
from weightspace.training import pretrain
from weightspace.zoo import ZooSpec
from weightspace.zoo import open as open_zoo


def study(
    zoo_path: str | os.PathLike,
    run: str | os.PathLike,
    heads: Mapping[str, Any],
    workdir: str | os.PathLike,
    *,
    progress: Progress,
) -> dict[str, Any]:
  """Measures emulation, if any, trains heads on frozen codes, tests once.

  Args:
    zoo_path: folder of the zoo; that of the run, or another one whose networks
      its encoder can read.
    run: folder of the encoder's run, see `pretrain`.
    heads: a config of `configs/prediction.py`.
    workdir: of the study.
    progress: where to show how far it is.

  Returns:
    The results; they are in WORKDIR/results.json too.
  """
  zoo = open_zoo(zoo_path)
  family = zoo.spec.family
  pretrained, trained_with = pretrain.load(zoo, run)
  name, objective = pretrained.config.encoder.name, pretrained.config.objective
  trained = [] if emulation.emulates(pretrained) else [f"by {objective}"]
  if ZooSpec.from_json(trained_with["zoo"]) != zoo.spec:
    trained.append("on another zoo")
  how = f", trained {' '.join(trained)}," if trained else ""
  config = quickstart.of_heads(
      family,
      heads,
      title=f"What codes of {name}{how} predict",
      size="one encoder",
      encoders=(name,),
      zoos={family: {}},
      models="",
      trained={name: os.path.abspath(run)},
      split_seed=pretrained.config.training.split_seed,
  )
  return pipeline.run(
      config.to_dict(),
      workdir,
      zoos={family: zoo_path},
      stages=["*"],
      workers=0,
      command=f"python -m experiments.predict --encoder={run}",
      progress=progress,
  )
