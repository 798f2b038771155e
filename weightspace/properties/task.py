"""The task that the network was trained on, for families of integer tasks.

Each number of the task is one classification: for languages, three of six
classes each.
"""

import numpy as np

from weightspace.errors import UserError
from weightspace.properties import Property


def _bounds(scope):
  if scope.tasks.classes is None:
    raise UserError(
        "property 'task' needs integer tasks; the tasks of this family are"
        f" real: {', '.join(scope.tasks.task_names)}. Any column of the zoo is"
        " a property too: column:NAME"
    )
  return scope.tasks.classes


def _shape(scope):
  low, high = _bounds(scope)
  return len(scope.tasks.task_names), high - low + 1


def _target(columns, scope):
  return (columns["task"] - _bounds(scope)[0]).astype("int32")


def _labels(scope):
  low, high = _bounds(scope)
  return scope.tasks.task_names, tuple(range(low, high + 1))


def _metrics(outputs, targets):
  correct = np.argmax(outputs, axis=-1) == targets
  return {
      "per_count_accuracy": float(np.mean(correct)),
      "all_right": float(np.mean(np.all(correct, axis=1))),
  }


PROPERTY = Property(
    kind="classification",
    shape=_shape,
    target=_target,
    metrics=_metrics,
    headline="per_count_accuracy",
    labels=_labels,
    ordered=True,
)
