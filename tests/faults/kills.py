"""Kills generation and training at random moments and checks what is left.

Real processes and real signals: SIGKILL, SIGTERM, and SIGTERM followed by
SIGKILL, as schedulers send them. Processes are forked from a server that has
imported everything and started nothing, and read compiled programs from a
cache, so that a kill costs a second and not ten.
"""

import contextlib
import functools
import itertools
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.jobs import JOBS

GRACE = 0.05  # seconds between SIGTERM and SIGKILL, where both are sent
SECONDS = 900.0  # limit of a process, for the busiest machine
SIGNALS = ("KILL", "TERM", "TERM, KILL")


class Tally(NamedTuple):
  """Counts of what happened.

  Attributes:
    kills: by job and signal.
    terminated: processes that answered a SIGTERM: status 143, all their work
      saved.
    runs: that ended, each with the undisturbed outcome.
    processes: started in all.
    seconds: of wall time.
  """

  kills: dict[str, dict[str, int]]
  terminated: int
  runs: int
  processes: int
  seconds: float


def inject_faults(folder: Path, *, kills: int, seed: int = 0) -> Tally:
  """Kills each of `JOBS`, in turn, and runs each again until it is done.

  Args:
    folder: empty, for all files.
    kills: how many, of all jobs together.
    seed: of the moments; the machine's speed decides how far a process gets.

  Raises:
    AssertionError: work was lost, doubled or changed; the message names the
      kill and the folder.
  """
  start = time.monotonic()
  trials = [Trial(name, folder, random.Random(seed)) for name in JOBS]
  signals = itertools.cycle(SIGNALS)
  while sum(trial.killed for trial in trials) < kills:
    min(trials, key=lambda trial: trial.killed).interrupt(next(signals))
  for trial in trials:
    trial.finish()
  return Tally(
      {trial.name: trial.kills for trial in trials},
      sum(trial.terminated for trial in trials),
      sum(trial.runs for trial in trials),
      sum(trial.processes for trial in trials),
      round(time.monotonic() - start, 1),
  )


class Trial:
  """Runs of one job, each of which is interrupted until it is done."""

  def __init__(self, name: str, folder: Path, generator: random.Random):
    """Runs the job twice undisturbed: compiles first, then measures time."""
    self.name, self._job = name, JOBS[name]
    self._folder, self._generator = folder, generator
    self.kills = dict.fromkeys(SIGNALS, 0)
    self.terminated = self.runs = self.processes = 0
    cold, self._whole = (self._undisturbed(part) for part in ("cold", "whole"))
    assert cold.outcome == self._whole.outcome, f"{name}: no two runs agree"

  @property
  def killed(self) -> int:
    """Kills so far."""
    return sum(self.kills.values())

  def interrupt(self, sent: str) -> None:
    """Starts a process, sends it one of `SIGNALS` and checks what is left."""
    child = self._start(self._path)
    child.kill(sent, self._generator, self._whole)
    status = child.end()
    self._job.check(self._path)
    ended = status == -signal.SIGTERM and child.began  # but not its process
    if status == 0 or (ended and sent != "KILL"):  # the signal came too late
      self._compare(child)
      return
    self.kills[sent] += 1
    if status == 143:
      assert sent != "KILL", child.report(sent)
      saved = self._job.saved(self._path)
      # More if it stopped before it loaded what earlier processes saved
      assert saved >= child.done, child.report(
          f"{sent}: {saved} of {child.done} units are saved;"
      )
      self.terminated += 1
    elif sent == "KILL" or status != -signal.SIGTERM:  # nothing to save yet
      assert sent != "TERM" and status == -signal.SIGKILL, child.report(sent)

  def finish(self) -> None:
    """Lets the current run end, and compares its outcome."""
    child = self._start(self._path)
    assert child.end() == 0, child.report("not interrupted")
    self._job.check(self._path)
    self._compare(child)

  @property
  def _path(self):
    return self._folder / self.name / f"run-{self.runs}"

  def _undisturbed(self, part):
    child = self._start(self._folder / self.name / part)
    assert child.end() == 0, child.report("undisturbed")
    return child

  def _start(self, path):
    self.processes += 1
    return _Child(self.name, path, self._folder)

  def _compare(self, child):
    expected = self._whole.outcome
    differ = {
        name: (child.outcome.get(name), expected.get(name))
        for name in child.outcome.keys() | expected.keys()
        if child.outcome.get(name) != expected.get(name)
    }
    assert not differ, child.report(f"another outcome: {differ}")
    self.runs += 1


class _Child:
  """A process that runs a job."""

  def __init__(self, name, path, folder):
    self.name, self.path, self.folder = name, path, folder
    path.parent.mkdir(parents=True, exist_ok=True)
    self._log = path.with_name(f"{path.name}.log")
    context = _context()
    self._done = context.RawValue("q", -1)  # -1: has not begun
    self._clock = time.monotonic()
    self._process = context.Process(
        target=_work, args=(name, path, folder, self._log, self._done)
    )
    self._process.start()

  @property
  def done(self):
    return self._done.value

  @property
  def began(self):
    return self._done.value >= 0

  def kill(self, sent, generator, whole):
    """Signals the process at a random moment of its life."""
    if generator.random() < 0.85:
      while not self.began and self._process.is_alive():
        time.sleep(0.002)
      self._process.join(generator.uniform(0, 0.9 * whole.worked))
    else:
      self._process.join(generator.uniform(0, 0.9 * whole.started))
    if sent != "KILL":
      self._process.terminate()
      if sent == "TERM":
        return
      self._process.join(GRACE)
    self._process.kill()

  def end(self):
    """Waits for the process; returns its status."""
    while not self.began and self._process.is_alive():
      self._process.join(0.002)
    self.started = time.monotonic() - self._clock
    self._process.join(SECONDS)
    if self._process.exitcode is None:
      self._process.kill()
      raise AssertionError(self.report(f"has not ended after {SECONDS:.0f} s"))
    self.worked = time.monotonic() - self._clock - self.started
    return self._process.exitcode

  @functools.cached_property
  def outcome(self):
    """Of the job, which has ended."""
    return JOBS[self.name].outcome(self.path)

  def report(self, what):
    """The message of a failure."""
    return (
        f"{self.name} in {self.path}: {what}, status"
        f" {self._process.exitcode}: {self._log.read_text()[-2000:]}"
    )


def _context():
  context = multiprocessing.get_context("forkserver")
  # Only a process with one thread can be forked
  os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
  context.set_forkserver_preload([
      "optax",
      "weightspace.training.pretrain",
      "zoo_gen.shards",
      __name__,
  ])
  return context


class _Counter:
  """A progress that writes units done to shared memory."""

  def __init__(self, done):
    self._done = done

  @contextlib.contextmanager
  def stage(self, name, *, total=None, unit="steps", initial=0):
    self._done.value = initial
    yield self

  def advance(self, n=1, **metrics):
    self._done.value += n


def _work(name, path, folder, log, done):
  import jax

  with open(log, "ab", buffering=0) as file:
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
  jax.config.update("jax_num_cpu_devices", 2)
  jax.config.update("jax_compilation_cache_dir", str(folder / "cache"))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
  JOBS[name].run(path, folder, _Counter(done))
