"""Which arrays a shard must hold, and whether those found are they."""

import functools
import re
from typing import Any

import numpy as np

from weightspace.rnn import make_rnn
from weightspace.zoo.manifest import num_shards, shard_rnn, shard_rows
from weightspace.zoo.schema import ZooSpec

_FILE = re.compile(r"[A-Za-z0-9_]{1,200}\.npy")
_DTYPE = re.compile(r"bool|(u?int|float)\d{1,3}")
_ENTRY = {"shape": list, "dtype": str, "bytes": int, "sha256": str}


def check(
    spec: ZooSpec, index: int, found: dict[str, tuple[tuple, np.dtype]]
) -> None:
  """Checks names, shapes and dtypes of the arrays of a shard.

  Args:
    spec: of the zoo.
    index: of the shard.
    found: name of each array -> (shape, dtype).

  Raises:
    ValueError: naming the array, what was found and what was expected.
  """
  rows = shard_rows(spec, index)
  rnn = shard_rnn(spec, index)
  size, outputs = _size(rnn), rnn.outputs
