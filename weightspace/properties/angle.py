"""The angle of rotation of the digits that the network was trained on.

Angles are circular: 359° is near 1°. A head predicts a point in the plane,
whose direction is the angle.
"""

import numpy as np

from weightspace.errors import UserError
from weightspace.properties import Property

TURN = 2 * np.pi


def _column(scope):
  names = scope.tasks.task_names
  if "angle" not in names:
    raise UserError(
        "property 'angle' needs tasks with an angle; this family has"
        f" {', '.join(names)}"
    )
  return names.index("angle")


def _shape(scope):
  _column(scope)
  return (2,)


def _target(columns, scope):
  radians = np.deg2rad(columns["task"][:, _column(scope)].astype("float64"))
  return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32")


def _metrics(outputs, targets):
  """Mean absolute error in degrees, and the paper's mean squared error.

  The latter is of angles as numbers from 0 to 1 turn. It is not circular:
  between 359° and 1° it is almost a whole turn.
  """
  predicted, actual = (
      np.arctan2(a[:, 1], a[:, 0]) % TURN for a in (outputs, targets)
  )
  error = np.abs((predicted - actual + np.pi) % TURN - np.pi)
  return {
      "degrees": float(np.mean(np.rad2deg(error))),
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
