"""How long the network had been trained: which of its zoo's snapshots it is."""

import numpy as np

from weightspace.properties import Property, _regression


def _target(columns, scope):
  return np.searchsorted(scope.steps, columns["step"])[:, None].astype("int32")


def _metrics(outputs, targets):
  likeliest = np.argmax(outputs, axis=-1)
  return {
      "accuracy": float(np.mean(likeliest == targets)),
      "kendall_tau": _regression.kendall_tau(likeliest, targets),
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
