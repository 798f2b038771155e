"""Angles as points on the unit circle: 359° is near 1°."""

import numpy as np

TURN = 2 * np.pi
LABELS = ("cosine", "sine"), ()


def target(degrees: np.ndarray) -> np.ndarray:
  """Unit vectors [R, 2] float32 of angles [R] in degrees; NaN stays NaN."""
  radians = np.deg2rad(degrees.astype("float64"))
  return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32")


def degrees(vectors: np.ndarray) -> np.ndarray:
  """The angles [R] in degrees, from 0 to 360, of vectors [R, 2]."""
  return np.rad2deg(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360


def metrics(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
  """Mean absolute error in degrees, and the paper's mean squared error.

  The latter is of angles as numbers from 0 to 1 turn. It is not circular:
  between 359° and 1° it is almost a whole turn.

  Args:
    outputs: [R, 2], of any length.
    targets: [R, 2], unit vectors.
  """
  predicted, actual = (
      np.arctan2(a[:, 1], a[:, 0]) % TURN for a in (outputs, targets)
  )
  error = np.abs((predicted - actual + np.pi) % TURN - np.pi)
  return {
      "degrees": float(np.mean(np.rad2deg(error))),
      "mse": float(np.mean(((predicted - actual) / TURN) ** 2)),
  }
