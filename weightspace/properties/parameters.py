"""The numbers of a real task, such as the parameters of an environment."""

import numpy as np

from weightspace.errors import UserError
from weightspace.properties import Property, _regression


def _shape(scope):
  if scope.tasks.classes is not None:
    raise UserError(
        "property 'parameters' needs tasks of real numbers; these are"
        " integers: the property 'task' predicts them"
    )
  return (len(scope.tasks.task_names),)


def _target(columns, scope):
  _shape(scope)
  return columns["task"].astype("float32")


def _metrics(outputs, targets):
  """Means of R² and Kendall's tau over the numbers that are not constant."""
  each = [
      _regression.metrics(*pair)
      for pair in zip(outputs.T[..., None], targets.T[..., None])
      if np.ptp(pair[1]) > 0
  ]
  return {
      name: float(np.mean([one[name] for one in each])) if each else np.nan
      for name in ("r2", "kendall_tau")
  }


PROPERTY = Property(
    kind="regression",
    shape=_shape,
    target=_target,
    metrics=_metrics,
    headline="r2",
    labels=lambda scope: (scope.tasks.task_names, ()),
)
