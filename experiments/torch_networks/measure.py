"""An encoder's predictions about networks that PyTorch trained."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from experiments.torch_networks import training
from weightspace import pretrained
from weightspace.evaluation import prediction
from weightspace.interop import torch as from_torch
from weightspace.pretrained import PretrainedEncoder, card
from weightspace.tasks import formal_language


def measure(
    encoder: PretrainedEncoder,
    *,
    networks: int,
    hidden: int,
    steps: int,
    seed: int,
) -> dict[str, Any]:
  """Trains networks, examines each and prints a line about it.

  Args:
    encoder: of formal languages.
    networks: how many to train.
    hidden: units of each of their two layers.
    steps: of training each.
    seed: of the first network; others follow.

  Returns:
    JSON values: the share of right tasks, its mean probability, the mean
    absolute error of accuracy.
  """
  novel, family = training.languages(encoder)
  right, sure, errors = [], [], []
  for i in range(networks):
    shifts = novel[i % len(novel)]
    model, samples = training.train(
        shifts.tolist(), hidden=hidden, steps=steps, seed=seed + i
    )
    network = from_torch.load(model)
    result = encoder.examine(network.weights, network.rnn)
    actual = float(np.mean(formal_language.is_member(shifts, samples)))
    (predicted,) = (
        p.value[0] for p in result.predictions if p.name == "accuracy"
    )
    right.append(result.task == family.describe(shifts))
    sure.append(result.task_probability)
    errors.append(abs(float(predicted) - actual))
    print(
        f"{i + 1}: {family.describe(shifts)}, accuracy {actual:.3f};"
        f" predicted {result.task} ({sure[-1]:.1%} sure), {predicted:.3f}",
        flush=True,
    )
  return {
      "networks": networks,
      "languages": min(len(novel), networks),
      "task_right": float(np.mean(right)),
      "sure": float(np.mean(sure)),
      "accuracy_error": float(np.mean(errors)),
      "command": f"python -m experiments.torch_networks"
      f" --networks={networks} --steps={steps} --seed={seed}",
  }


def replace(
    name: str, encoder: PretrainedEncoder, result: dict[str, Any]
) -> None:
  """Writes the encoder with the result to the folder it was read from."""
  encoder = dataclasses.replace(
      encoder, about={**encoder.about, "torch_networks": result}
  )
  folder = Path(name)
  if name in pretrained.names():
    folder = pretrained.MODELS / name
  scratch = folder.with_name(f"{folder.name}.new")
  defaults = dataclasses.asdict(prediction.Config())
  pretrained.save_encoder(
      scratch, encoder, card=card.write(encoder, folder.name, defaults)
  )
  shutil.rmtree(folder)
  scratch.rename(folder)
