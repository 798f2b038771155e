"""What an encoder found about a network, for people and for programs."""

import dataclasses
from typing import Any

import numpy as np

from weightspace.pretrained import Examination, Prediction
from weightspace.pretrained.encoder import show

_SHOWN_CLASSES = 3


def to_json(found: Examination) -> dict[str, Any]:
  """All of it as JSON values, numbers in full."""
  return {
      "shape": dataclasses.asdict(found.shape),
      "outside": found.outside,
      "farther_than": found.farther_than,
      "task": found.task,
      "task_probability": found.task_probability,
      "code": found.code.tolist(),
      "properties": {
          prediction.name: _prediction(prediction)
          for prediction in found.predictions
      },
      "nearest": [
          neighbour._asdict() | {"shape": dataclasses.asdict(neighbour.shape)}
          for neighbour in found.nearest
      ],
  }


def _prediction(prediction):
  entries = {}
  for i, label in enumerate(prediction.labels):
    entries[label] = {
        "value": prediction.value[i].item(),
        "spread": prediction.spread[i].item(),
    }
    if prediction.probabilities is not None:
      entries[label]["probabilities"] = {
          str(name): float(p)
          for name, p in zip(prediction.classes, prediction.probabilities[i])
      }
  return entries


def to_text(found: Examination) -> str:
  """A page of it, at most 80 columns wide but for long names of tasks."""
  lines = [
      f"network: {show(found.shape)}, {found.shape.inputs} inputs,"
      f" {found.shape.outputs} outputs"
  ]
  if found.outside:
    lines.append(f"CAUTION: {found.outside}")
  lines += ["", "code"]
  for row in np.split(found.code, range(8, len(found.code), 8)):
    lines.append("  " + " ".join(f"{x:+.3f}" for x in row))
  if found.task is not None:
    lines += ["", f"task: {found.task}, {found.task_probability:.1%} sure"]
  if found.predictions:
    lines += ["", "predicted"]
    for prediction in found.predictions:
      lines += _shown(prediction)
  if found.nearest:
    lines += ["", "nearest networks of the zoo (cosine distance)"]
    lines.append(
        f"  {'distance':>8} {'network':>8} {'step':>7} {'accuracy':>8}  task"
    )
    for n in found.nearest:
      lines.append(
          f"  {n.distance:8.4f} {n.net_id:8d} {n.step:7d} {n.accuracy:8.3f} "
          f" {n.description}"
      )
  if found.farther_than is not None:
    lines.append(
        f"  its nearest is farther away than that of {found.farther_than:.0%}"
        " of the zoo's networks"
    )
  return "\n".join(lines)


def _shown(prediction: Prediction):
  for i, label in enumerate(prediction.labels):
    title = label if len(prediction.labels) == 1 else (
        f"{prediction.name} {label}"
    )
    value, spread = prediction.value[i], prediction.spread[i]
    if prediction.probabilities is None:
      yield f"  {title:<24} {value:.3f} ± {spread:.3f}"
      continue
    probabilities = prediction.probabilities[i]
    order = np.argsort(-probabilities, kind="stable")[:_SHOWN_CLASSES]
    classes = ", ".join(
        f"{prediction.classes[c]} ({probabilities[c]:.0%})" for c in order
    )
    yield f"  {title:<24} {classes}; ± {spread:.0%} between heads"
