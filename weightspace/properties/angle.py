"""The angle of rotation of the digits that the network was trained on.

Angles are circular: 359° is near 1°. A head predicts a point in the plane,
whose direction is the angle.
"""

from weightspace.errors import UserError
from weightspace.properties import Property, _direction


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


PROPERTY = Property(
    kind="direction",
    shape=_shape,
    target=lambda columns, scope: _direction.target(
        columns["task"][:, _column(scope)]
    ),
    metrics=_direction.metrics,
    headline="degrees",
    labels=lambda scope: _direction.LABELS,
)
