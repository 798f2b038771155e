"""The largest spectral radius of the network's recurrent matrices.

It is that of the matrix of the candidate state in each layer: of the cell's odd
gates, whose eigenvalues stay the same when hidden units are permuted or
negated. Of a cell without odd gates, it is that of all gates.
"""

import numpy as np

from weightspace import cells
from weightspace.properties import Property, _regression


def _of_weights(weights, spec):
  cell = cells.load(spec.cell)
  gates = list(cell.odd_gates or range(cell.gates))
  matrices = [
      matrix
      for layer in weights.layers
      for matrix in np.moveaxis(layer.wh[:, gates], 1, 0)
  ]
  radii = np.max([_radii(matrix) for matrix in matrices], axis=0)
  return radii.astype("float32")[:, None]


def _radii(matrices):
  """Spectral radii [n] of matrices [n, H, H]; NaN of those not finite."""
  radii = np.full(len(matrices), np.nan)
  for i, matrix in enumerate(matrices.astype("float64")):
    if np.isfinite(matrix).all():
      radii[i] = np.abs(np.linalg.eigvals(matrix)).max()
  return radii


PROPERTY = Property(
    kind="regression",
    shape=lambda scope: (1,),
    of_weights=_of_weights,
    metrics=_regression.metrics,
    headline="r2",
)
