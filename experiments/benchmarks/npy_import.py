"""What importing a zoo of the paper's size takes: memory and time.

    python -m experiments.benchmarks.npy_import --family=tiled_mnist

Writes a folder in the layout of the authors' release: 9000 rows of LSTMs of
2 x 32, or as many as asked for. A few random networks, which say what their
rows say, are repeated. It then runs `zoo_gen.import_npy` on it as a process of
its own. The last line is JSON:

  gigabytes  of the folder
  seconds    of the import
  peak_mib   the most memory that the process had, its file maps included
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from weightspace import launch
from weightspace.errors import UserError

_FAMILY = flags.DEFINE_enum(
    "family", "tiled_mnist", ["tiled_mnist", "formal_language"], "Which one."
)
_NETWORKS = flags.DEFINE_integer("networks", 1000, "Of nine snapshots each.")

_DIFFERENT = 4  # networks; the others repeat them
_STEPS = (0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
_ROLLOUTS = 100


def main() -> None:
  """Measures and prints."""
  with tempfile.TemporaryDirectory(prefix="weightspace-import-") as scratch:
    folder, zoo = Path(scratch) / "folder", Path(scratch) / "zoo"
    folder.mkdir()
    # In another process: what this one holds would count as the import's
    writer = multiprocessing.get_context("spawn").Process(
        target=_write, args=(folder, _FAMILY.value, _NETWORKS.value)
    )
    writer.start()
    writer.join()
    size = sum(path.stat().st_size for path in folder.iterdir())
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo_gen.import_npy", f"--source={folder}",
         f"--zoo={zoo}"]
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - start
  if process.returncode:
    raise UserError("the import failed, see above")
  print(json.dumps({
      "gigabytes": round(size / 1e9, 3),
      "seconds": round(took, 1),
      "peak_mib": round(usage.ru_maxrss / 2**10),
  }))


def _write(folder, family, networks):
  import numpy as np

  rows = _rows(family)
  copies = -(-networks // _DIFFERENT)
  for name, array in rows.items():
    with (folder / name).open("xb") as file:
      shape = (networks * len(_STEPS), *array.shape[1:])
      np.lib.format.write_array_header_1_0(file, {
          "descr": np.lib.format.dtype_to_descr(array.dtype),
          "fortran_order": False,
          "shape": shape,
      })  # fmt: skip
      left = shape[0]
      for copy in range(copies):
        if name.startswith("num_step"):
          array = array.copy()
          array[:, 0] = copy * _DIFFERENT + rows[name][:, 0]
        file.write(array[:left].tobytes())
        left -= len(array)


def _rows(family):
  """The files of a few networks."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from weightspace import tasks
  from weightspace.keys import make_key
  from weightspace.rnn import RNNSpec, make_rnn
  from weightspace.zoo import replay

  config = {"digits": "none"} if family == "tiled_mnist" else {}
  family = tasks.make(family, config)
  rnn = make_rnn(RNNSpec("lstm", (32, 32), family.spec.inputs,
                         family.spec.outputs))  # fmt: skip
  run = np.repeat(np.arange(_DIFFERENT), len(_STEPS))
  step = np.tile(_STEPS, _DIFFERENT)
  generator = np.random.default_rng(0)
  keys = jax.random.split(make_key(0), len(run))
  vectors = jax.vmap(lambda key: rnn.flatten(rnn.init(key)))(keys)
  count = (len(run), _ROLLOUTS)
  if family.spec.kind == "token":
    task = generator.integers(-3, 3, (_DIFFERENT, 3))[run]
    seen = jax.jit(jax.vmap(lambda key, vector, task: family.rollouts(
        key, task, rnn, rnn.unflatten(vector), _ROLLOUTS
    )))(keys, vectors, jnp.asarray(task, jnp.int32))  # fmt: skip
    files = {
        "sequences.npy": np.asarray(seen.sequences, np.int16),
        "logits.npy": np.asarray(seen.log_probs),
        "tasks.npy": np.pad(task, ((0, 0), (1, 0))),
        "num_step_correct.npy": np.stack([run, step, 0 * run], axis=1),
    }
  else:
    task = generator.uniform(0, 360, (_DIFFERENT, 1))[run]
    tiles = generator.normal(size=(*count, 49, 16)).astype(np.float16)
    answers = jax.jit(jax.vmap(lambda *row: replay.answers(family, rnn, *row)))
    log_probs = answers(vectors, jnp.asarray(task, jnp.float32), tiles)
    files = {
        "sequences.npy": np.pad(tiles, ((0, 0), (0, 0), (1, 0), (0, 0))),
        "logits.npy": np.asarray(log_probs, np.float16),
        "tasks.npy": task,
        "num_step.npy": np.stack([run, step], axis=1),
        "accuracy_losses.npy": generator.random((len(run), 4)),
    }
  return {"parameters.npy": np.asarray(vectors), **files}


if __name__ == "__main__":
  launch.run(main)
