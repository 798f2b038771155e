"""Metrics that regressions share."""

import numpy as np
import scipy.stats


def metrics(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
  """Mean squared error, R² and Kendall's tau (the variant b, with ties).

  Args:
    outputs: [R, 1].
    targets: [R, 1].

  Returns:
    mse, r2 (of predicting the mean: 0), kendall_tau (0 where it is undefined:
    predictions or targets that are all alike).
  """
  outputs, targets = outputs.ravel(), targets.ravel()
  mse = float(np.mean((outputs - targets) ** 2))
  variance = float(np.var(targets))
  return {
      "mse": mse,
      "r2": 1 - mse / variance if variance > 0 else float("nan"),
      "kendall_tau": kendall_tau(outputs, targets),
  }


def kendall_tau(outputs: np.ndarray, targets: np.ndarray) -> float:
  """Kendall's tau b of two arrays [R, 1]; 0 where either is all alike."""
  if np.ptp(outputs) == 0 or np.ptp(targets) == 0:
    return 0.0
  found = scipy.stats.kendalltau(outputs.ravel(), targets.ravel())
  return float(found.statistic)
