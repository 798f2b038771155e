"""By which angle the digits were rotated that the network was trained on.

Angles are circular, so a head predicts a point in the plane, and its direction
is the angle: 359° and 1° are neighbours.
"""

import numpy as np

from weightspace.properties import Property

TURN = 2 * np.pi


def _column(scope):
  names = scope.tasks.task_names
  if "angle" not in names:
    raise ValueError(
        "the tasks of this family have no angle, only"
        f" {', '.join(names)}: 'angle' cannot be predicted"
    )
  return names.index("angle")


def _shape(scope):
  _column(scope)
  return (2,)


def _target(columns, scope):
  radians = np.deg2rad(columns["task"][:, _column(scope)].astype("float64"))
  return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32")


def _metrics(outputs, targets):
  """Mean error in degrees, and the paper's: mse, of the angle as a number.

  The latter, in turns from 0 to 1, knows nothing of circles: between 359° and
  1° it sees almost a whole turn.
  """
  predicted, actual = (
      np.arctan2(a[:, 1], a[:, 0]) % TURN for a in (outputs, targets)
  )
  apart = np.abs((predicted - actual + np.pi) % TURN - np.pi)
  return {
      "degrees": float(np.mean(np.rad2deg(apart))),
      "mse": float(np.mean(((predicted - actual) / TURN) ** 2)),
  }


PROPERTY = Property(
    kind="direction",
    shape=_shape,
    target=_target,
    metrics=_metrics,
    headline="degrees",
    labels=lambda scope: (("cosine", "sine"), ()),
)
