"""One of two processes that train together; test_processes starts both.

    python -m tests.training.pair PORT INDEX ZOO FRESH CHAINED

It trains in FRESH until process 1 gets a SIGTERM, then goes on with CHAINED
until process 1 gets a SIGKILL. The program of its steps is left in FRESH.hlo.
"""

import contextlib
import os
import pathlib
import signal
import sys

import jax

from weightspace import parallel, zoo
from weightspace.processes import Job
from weightspace.training import fit, pretrain
from weightspace.training.config import parse
from weightspace.training.setup import make_setup

CONFIG = {
    "encoder": {"name": "flat", "hidden": 16, "layers": 1, "code": 4},
    "emulator": {"cell": "elman", "hidden": 4, "layers": 1},
    "optimizer": {"learning_rate": 1e-2},
    "emulation": {
        "steps": 60,
        "batch": 8,
        "sequences": 2,
        "validate_every": 2,
        "checkpoint_every": 10,
        "augment": "none",
    },
}
STOP = 50


@contextlib.contextmanager
def recorded():
  """A list, of the compiled program of a run's steps, as text."""
  programs, steps = [], fit._steps

  def record(*arguments):
    if not programs:
      programs.append(steps.lower(*arguments).compile().as_text())
    return steps(*arguments)

  fit._steps = record
  try:
    yield programs
  finally:
    fit._steps = steps


class At:
  """A progress during which something happens at a step."""

  def __init__(self, step, happens):
    self.step, self.happens = step, happens

  @contextlib.contextmanager
  def stage(self, name, *, total, unit="steps", initial=0):
    self.done = initial
    yield self

  def advance(self, n, **metrics):
    self.done += n
    if self.done == self.step:
      self.happens()


def main(port, index, path, fresh, chained):
  from weightspace.launch import joined

  def signalled(number):
    last = index == "1"
    return lambda: last and os.kill(os.getpid(), number)

  def run(setup, folder, progress):
    return pretrain.run(
        setup, parse(CONFIG), folder, progress=progress,
        sharded=True,
        # Where one has too little memory, both read batches from disk
        memory=0 if index == "1" else None,
    )  # fmt: skip

  jax.config.update("jax_num_cpu_devices", 2)
  with joined(Job(f"127.0.0.1:{port}", 2, int(index)), heartbeat=10):
    try:
      parallel.check_same(f"config {index}", "config")
    except ValueError as error:
      print("refused:", error)
    flags = parallel.any_process(index == "1"), parallel.any_process(False)
    print("anywhere:", *flags)
    # Only process 0 may touch the folder: here the other one does not know it
    if index != "0":
      fresh, chained = (pathlib.Path(f) / "not/mine" for f in (fresh, chained))
    mesh = parallel.mesh(parallel.DATA, jax.devices())
    setup = make_setup(zoo.open(path), parse(CONFIG), mesh)  # compiled once
    with recorded() if index == "0" else contextlib.nullcontext() as programs:
      try:
        run(setup, fresh, At(STOP, signalled(signal.SIGTERM)))
      except SystemExit as error:
        print("left with", error.code, flush=True)
    if programs:
      pathlib.Path(f"{fresh}.hlo").write_text(*programs)
    run(setup, chained, At(STOP, signalled(signal.SIGKILL)))


if __name__ == "__main__":
  main(*sys.argv[1:])
