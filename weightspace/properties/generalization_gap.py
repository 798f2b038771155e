"""The generalization gap: evaluation loss - training loss."""

from weightspace.errors import UserError
from weightspace.properties import Property, _regression

LOSSES = ("eval_loss", "train_loss")


def _shape(scope):
  missing = [n for n in LOSSES if n not in scope.tasks.metric_names]
  if missing:
    raise UserError(
        f"property 'generalization_gap' needs {' and '.join(missing)}; this"
        f" family measures {', '.join(scope.tasks.metric_names) or 'nothing'}"
    )
  return (1,)


def _target(columns, scope):
  _shape(scope)
  evaluation, training = (columns[name] for name in LOSSES)
  return (evaluation - training)[:, None].astype("float32")


PROPERTY = Property(
    kind="regression",
    shape=_shape,
    target=_target,
    metrics=_regression.metrics,
    headline="r2",
)
