"""An Orbax handler that keeps all arrays of a state in one `.npz` file.

Orbax's own format is made for arrays spread over hosts. For states that every
process holds whole, one file is quicker to write and to sync, can be read with
NumPy alone, and works in each process of several: what is local to a process,
Orbax saves from process 0 only.
"""

import dataclasses
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from weightspace.io import npz

_FILE = "arrays.npz"


class NpzHandler(ocp.CheckpointHandler):
  """Saves and restores {path: array}; nothing is pickled or compressed."""

  def save(self, directory, args: "NpzSave") -> None:
    """Writes all arrays."""
    npz.write(Path(directory) / _FILE, args.arrays)

  def restore(self, directory, args: "NpzRestore") -> dict[str, np.ndarray]:
    """Reads the arrays asked for."""
    arrays = npz.read(Path(directory) / _FILE, args.dtypes)
    return {
        name: _typed(arrays[name], np.dtype(dtype))
        for name, dtype in args.dtypes.items()
    }


@ocp.args.register_with_handler(NpzHandler, for_save=True)
@dataclasses.dataclass
class NpzSave(ocp.args.CheckpointArgs):
  """What to save."""

  arrays: dict[str, np.ndarray]


@ocp.args.register_with_handler(NpzHandler, for_restore=True)
@dataclasses.dataclass
class NpzRestore(ocp.args.CheckpointArgs):
  """What to restore, with the dtypes that it was saved with."""

  dtypes: dict[str, str]


def _typed(array, dtype):
  # NumPy knows bfloat16 and its like only as so many bytes.
  return array.view(dtype) if array.dtype.kind == "V" else array
