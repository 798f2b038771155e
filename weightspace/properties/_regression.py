"""Metrics of regressions."""

import numpy as np
import scipy.stats


def metrics(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
  """Mean squared error, R² and Kendall's tau-b.

  Args:
    outputs: [R, 1].
    targets: [R, 1].

  Returns:
    "mse"; "r2", NaN if targets are constant; and "kendall_tau", 0 if targets
    or predictions are constant.
  """
  outputs, targets = outputs.ravel(), targets.ravel()
  mse = float(np.mean((outputs - targets) ** 2))
  # Of equal numbers, rounding leaves a variance
  variance = float(np.var(targets)) if np.ptp(targets) > 0 else 0.0
  return {
      "mse": mse,
      "r2": 1 - mse / variance if variance > 0 else float("nan"),
      "kendall_tau": kendall_tau(outputs, targets),
  }


def kendall_tau(outputs: np.ndarray, targets: np.ndarray) -> float:
  """Kendall's tau-b of two arrays [R, 1]; 0 if either is constant."""
  if np.ptp(outputs) == 0 or np.ptp(targets) == 0:
    return 0.0
  return float(
      scipy.stats.kendalltau(outputs.ravel(), targets.ravel()).statistic
  )
