"""Properties of weights, computed from those of a zoo a few rows at a time."""

from collections import ChainMap
from collections.abc import Mapping

import jax
import numpy as np

from weightspace.properties import Property
from weightspace.zoo import Zoo, loader

_BYTES = 2**26  # of weights in memory at a time


def add(
    columns: Mapping[str, np.ndarray], zoo: Zoo, wanted: Mapping[str, Property]
) -> Mapping[str, np.ndarray]:
  """Columns of a zoo and, by name, those that `Property.of_weights` gives."""
  computed: dict[str, np.ndarray] = {}
  for shape, rows in enumerate(loader.by_shape(zoo, np.arange(len(zoo)))):
    rnn = zoo.rnns[shape]
    size = max(1, _BYTES // (4 * rnn.size))
    for start in range(0, len(rows), size):
      chosen = rows[start : start + size]
      weights = jax.tree.map(np.asarray, zoo.weights(chosen))
      for name, property_ in wanted.items():
        values = np.asarray(property_.of_weights(weights, rnn.spec))
        if name not in computed:
          computed[name] = np.empty((len(zoo), *values.shape[1:]), values.dtype)
        computed[name][chosen] = values
  return ChainMap(computed, columns)
