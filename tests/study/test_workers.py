"""Jobs in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.study import workers
from weightspace.errors import UserError

SLEEPERS = """
import pathlib, sys
from experiments.study import workers
from tests.study import test_workers
if __name__ == "__main__":
  folder = sys.argv[1]
  workers.run(test_workers.sleep, [(folder, i) for i in range(3)], 2)
"""


def note(folder, name):
  """A job that says where it ran."""
  cores = sorted(os.sched_getaffinity(0))
  Path(folder, name).write_text(f"{os.getpid()} {len(cores)}")
  if name == "bad":
    raise UserError("bad job")


def refuse(folder, index):
  """A job with an error that cannot be sent to another process."""
  raise Unsendable(index, folder)


class Unsendable(TypeError):
  """Its arguments are not what it is made of."""

  def __init__(self, index, folder):
    super().__init__(f"job {index}")


def test_any_error_comes_back(tmp_path):
  with pytest.raises(RuntimeError, match="job 7"):
    workers.run(refuse, [(str(tmp_path), 7)], 1)


def sleep(folder, index):
  """A job that waits to be stopped."""
  Path(folder, str(index)).write_text(str(os.getpid()))
  time.sleep(60)


@pytest.mark.parametrize("count", [0, 2])
def test_every_job_is_done_and_errors_come_back(tmp_path, count):
  names = ["a", "b", "c"]
  workers.run(note, [(str(tmp_path), name) for name in names], count)
  outcome = {n: (tmp_path / n).read_text().split() for n in names}
  pids = {int(pid) for pid, _ in outcome.values()}
  assert (pids == {os.getpid()}) == (count == 0)
  if count:
    assert all(cores == "1" for _, cores in outcome.values())
  with pytest.raises(ValueError, match="bad job"):
    workers.run(note, [(str(tmp_path), "bad")], count)


def alive(pid):
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_who_started_them(tmp_path, stop):
  script = tmp_path / "sleepers.py"
  script.write_text(SLEEPERS)
  with subprocess.Popen(
      [sys.executable, script, tmp_path],
      env={**os.environ, "PYTHONPATH": os.getcwd()},
      stderr=subprocess.DEVNULL,
  ) as process:
    try:
      end = time.monotonic() + 60
      begun = [tmp_path / "0", tmp_path / "1"]
      while not all(f.exists() and f.read_text() for f in begun):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
      process.send_signal(stop)
      status = process.wait(timeout=60)
    finally:
      process.kill()
  assert status == (143 if stop == signal.SIGTERM else -signal.SIGKILL)
  pids = [int(f.read_text()) for f in begun]
  end = time.monotonic() + 30
  while any(map(alive, pids)):
    assert time.monotonic() < end
    time.sleep(0.05)
  assert not (tmp_path / "2").exists()


def die(folder, index):
  """A job whose process is killed."""
  os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_ends_all(tmp_path):
  with pytest.raises(SystemExit) as outcome:
    workers.run(die, [(str(tmp_path), 0)], 2)
  assert outcome.value.code == 128 + signal.SIGKILL
