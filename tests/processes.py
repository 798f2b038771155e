"""Processes for tests: started, waited for, never left behind."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 500  # on a machine that has much else to do


def free_port() -> int:
  """A port of 127.0.0.1 that nobody listens on."""
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def start(*arguments, **environment):
  """Python with arguments; output is kept for `finish`."""
  return subprocess.Popen(
      [sys.executable, *map(str, arguments)],
      cwd=ROOT,
      env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
  )


def finish(*started):
  """(status, output, errors) of each; kills all that is still there."""
  with contextlib.ExitStack() as stack:
    for process in started:
      stack.enter_context(process)  # waits for it, closes its pipes
    for process in started:
      stack.callback(process.kill)
    outputs = [process.communicate(timeout=SECONDS) for process in started]
  return [
      (process.returncode, *texts) for process, texts in zip(started, outputs)
  ]
