"""An encoder's examination of a network, as text and as JSON values."""

import dataclasses
from typing import Any

import numpy as np

from weightspace.pretrained.encoder import Examination, describe_shapes
from weightspace.pretrained.ensembles import Prediction

_SHOWN_CLASSES = 3
_UNLIKE = 0.99  # share of the zoo's networks that are nearer to another one


def to_json(result: Examination) -> dict[str, Any]:
  """All of it as JSON values, numbers in full."""
  return {
      "shape": dataclasses.asdict(result.shape),
      "outside": result.outside,
      "farther_than": result.farther_than,
      "task": result.task,
      "task_probability": result.task_probability,
      "code": result.code.tolist(),
      "properties": {
          prediction.name: _prediction(prediction)
          for prediction in result.predictions
      },
      "nearest": [
          neighbour._asdict() | {"shape": dataclasses.asdict(neighbour.shape)}
          for neighbour in result.nearest
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


def to_text(result: Examination) -> str:
  """A page of it, at most 80 columns wide but for long names of tasks."""
  lines = [
      f"network: {describe_shapes(result.shape)}, {result.shape.inputs} inputs,"
      f" {result.shape.outputs} outputs"
  ]
  if result.outside:
    lines.append(f"CAUTION: {result.outside}")
  if result.farther_than is not None and result.farther_than >= _UNLIKE:
    lines.append("CAUTION: its code is unlike those of the zoo's networks")
  lines += ["", "code"]
  for row in np.split(result.code, range(8, len(result.code), 8)):
    lines.append("  " + " ".join(f"{x:+.3f}" for x in row))
  if result.task is not None:
    lines += ["", f"task: {result.task}, {result.task_probability:.1%} sure"]
  if result.predictions:
    lines += ["", "predicted"]
    for prediction in result.predictions:
      lines += _shown(prediction)
  if result.nearest:
    lines += ["", "nearest networks of the zoo (cosine distance)"]
    known = result.nearest[0].accuracy is not None
    title = f" {'accuracy':>8}" if known else ""
    lines.append(f"  {'distance':>8} {'network':>8} {'step':>7}{title}  task")
    for n in result.nearest:
      accuracy = f" {n.accuracy:8.3f}" if known else ""
      lines.append(
          f"  {n.distance:8.4f} {n.net_id:8d} {n.step:7d}{accuracy} "
          f" {n.description}"
      )
  if result.farther_than is not None:
    lines.append(
        f"  its nearest is farther away than that of {result.farther_than:.0%}"
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
