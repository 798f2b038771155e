"""The network's accuracy on its task, in [0, 1]."""

from weightspace.errors import UserError
from weightspace.properties import Property, _regression


def _shape(scope):
  if "accuracy" not in scope.tasks.metric_names:
    raise UserError(
        "property 'accuracy' needs networks whose accuracy is known; of these"
        " it is not (zoo_gen.collect --accuracy=COLUMN takes it from a table)"
    )
  return (1,)


def _target(columns, scope):
  del scope
  accuracy = columns["accuracy"]
  invalid = (accuracy < 0) | (accuracy > 1)  # NaN, if diverged, is allowed
  if invalid.any():
    raise UserError(
        f"accuracy must be between 0 and 1, got {accuracy[invalid][0]} and"
        f" {invalid.sum() - 1} more invalid values"
    )
  return accuracy[:, None].astype("float32")


PROPERTY = Property(
    kind="proportion",
    shape=_shape,
    target=_target,
    metrics=_regression.metrics,
    headline="r2",
)
