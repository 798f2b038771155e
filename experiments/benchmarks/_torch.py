"""Runs a baseline in PyTorch, in an interpreter that may be another one."""

import json
import statistics
import subprocess

from weightspace.errors import UserError


def ms_per_step(
    python: str, module: str, argument: str, *, processes: int = 1
) -> float:
  """Mean milliseconds per step of a baseline, of one process.

  Args:
    python: an interpreter that has torch.
    module: in this package; the last line it prints is JSON with the key
      `ms_per_step`.
    argument: its only one.
    processes: how many of it run side by side.

  Raises:
    ValueError: it failed, most likely for want of torch.
  """
  command = [python, "-m", f"experiments.benchmarks.{module}", argument]
  running = [
      subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
      for _ in range(processes)
  ]
  times = []
  for process in running:
    out, _ = process.communicate(timeout=900)
    if process.returncode:
      raise UserError(
          f"{' '.join(command)} failed; it needs torch: pip install"
          " 'weightspace[torch]', or name an interpreter that has it with"
          " --torch_python"
      )
    times.append(json.loads(out.splitlines()[-1])["ms_per_step"])
  return statistics.mean(times)
