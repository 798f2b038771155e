"""The Euclidean norm of all weights and biases of the network."""

import jax
import numpy as np

from weightspace.properties import Property, _regression


def _of_weights(weights, spec):
  del spec
  squares = [
      np.sum(np.square(leaf, dtype="float64"), axis=tuple(range(1, leaf.ndim)))
      for leaf in jax.tree.leaves(weights)
  ]
  return np.sqrt(sum(squares)).astype("float32")[:, None]


PROPERTY = Property(
    kind="regression",
    shape=lambda scope: (1,),
    of_weights=_of_weights,
    metrics=_regression.metrics,
    headline="r2",
)
