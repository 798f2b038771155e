"""Saving does not throw away what was compiled."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys
import jax
from weightspace.io.checkpoints import Checkpoints

traced = []

@jax.jit
def step(x):
  traced.append(x)
  return x + 1

with Checkpoints(sys.argv[1]) as checkpoints:
  x = step(0.0)
  checkpoints.save(1, {"x": x})
  step(0.0)
  checkpoints.restore({"x": x})
  step(0.0)
print(len(traced))
"""


def test_a_step_is_traced_once_before_and_after_a_save(tmp_path):
  """In a process of its own: Orbax must not have been imported before."""
  result = subprocess.run(
      [sys.executable, "-c", PROGRAM, str(tmp_path / "checkpoints")],
      env=os.environ | {"PYTHONPATH": str(ROOT)},
      capture_output=True,
      text=True,
      check=False,
  )
  assert result.stdout.strip() == "1", result.stdout + result.stderr
