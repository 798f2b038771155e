"""The training step of the network, as the index of its snapshot."""

import numpy as np

from weightspace.properties import Property, _regression


def _target(columns, scope):
  return np.searchsorted(scope.steps, columns["step"])[:, None].astype("int32")


def _metrics(outputs, targets):
  predicted = np.argmax(outputs, axis=-1)
  return {
      "accuracy": float(np.mean(predicted == targets)),
      "kendall_tau": _regression.kendall_tau(predicted, targets),
  }


PROPERTY = Property(
    kind="classification",
    shape=lambda scope: (1, len(scope.steps)),
    target=_target,
    metrics=_metrics,
    headline="accuracy",
    labels=lambda scope: (("step",), scope.steps),
    ordered=True,
)
