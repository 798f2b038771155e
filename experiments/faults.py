"""Kills generation and training at random moments and looks at what is left.

Real processes and real signals: SIGKILL, SIGTERM, and SIGTERM followed by
SIGKILL, as schedulers do it. Processes are forked from a server that has
imported everything and started nothing, and read what is compiled from a
cache, so that a kill costs a second and not ten.
"""

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from weightspace.training.progress import Progress

GRACE = 0.05  # seconds between SIGTERM and SIGKILL, where both are sent
SECONDS = 900.0  # that no process may take, however busy the machine
_ZOO = {
    "family": "formal_language",
    "task": {"length": 12, "max_n": 3, "shift_min": -1, "shift_max": 1,
             "eval_strings": 20, "eval_batch": 4},
    "rnn": {"cell": "elman", "hidden": (4,)},
    "recipe": {"snapshot_steps": (0, 20, 60), "batch": 4},
    "networks": 14,
    "shard_size": 4,
    "rollouts": 3,
    "seed": 0,
}  # fmt: skip
_RUN = {
    "encoder": {"name": "statistics", "hidden": 8, "layers": 1, "code": 4},
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 3e-3},
    "emulation": {"steps": 300, "batch": 8, "validate_every": 12,
                  "checkpoint_every": 16},
}  # fmt: skip


class Job(NamedTuple):
  """Something that must survive.

  Attributes:
    run: (folder of its own, folder shared by all, progress) -> None.
    outcome: (folder) -> what must be the same in the end, by name.
    saved: (folder) -> units of the progress that no kill can take any more.
    check: (folder) -> raises AssertionError if what is there, finished or not,
      is not sound.
  """

  run: Callable[[Path, Path, Progress], None]
  outcome: Callable[[Path], dict[str, Any]]
  saved: Callable[[Path], int]
  check: Callable[[Path], None]


class Tally(NamedTuple):
  """What happened.

  Attributes:
    kills: by job and signal.
    terminated: how many of the processes that were sent SIGTERM at work exited
      with status 143, all they had done saved.
    runs: that were brought to their end, each with the undisturbed outcome.
    processes: started in all.
    seconds: of it all.
  """

  kills: dict[str, dict[str, int]]
  terminated: int
  runs: int
  processes: int
  seconds: float


def torment(folder: Path, *, kills: int, seed: int = 0) -> Tally:
  """Kills each of `JOBS`, in turn, and runs each again until it is done.

  Args:
    folder: empty, for all of it.
    kills: how many, of all jobs together.
    seed: of the moments; when a process gets how far is the machine's affair.

  Raises:
    AssertionError: something was lost, doubled or changed; the message says
      after which kill, and where it lies.
  """
  clock = time.monotonic()
  victims = [_Victim(name, folder, random.Random(seed)) for name in JOBS]
  signals = itertools.cycle(SIGNALS)
  while sum(victim.killed for victim in victims) < kills:
    min(victims, key=lambda victim: victim.killed).suffer(next(signals))
  for victim in victims:
    victim.recover()
  return Tally(
      {victim.name: victim.kills for victim in victims},
      sum(victim.terminated for victim in victims),
      sum(victim.runs for victim in victims),
      sum(victim.processes for victim in victims),
      round(time.monotonic() - clock, 1),
  )


class _Victim:
  """One job after another, each killed until it is done all the same."""

  def __init__(self, name, folder, chance):
    self.name, self._job = name, JOBS[name]
    self._folder, self._chance = folder, chance
    self.kills = dict.fromkeys(SIGNALS, 0)
    self.terminated = self.runs = self.processes = 0
    # Twice: the first compiles, the second is timed
    cold, self._whole = (self._undisturbed(part) for part in ("cold", "whole"))
    assert cold.outcome == self._whole.outcome, f"{name}: no two runs agree"
    self._path = self._next()

  @property
  def killed(self):
    return sum(self.kills.values())

  def suffer(self, sent):
    """Starts a process, kills it and looks at what is left."""
    child = self._start(self._path)
    child.kill(sent, self._chance, self._whole)
    status = child.end()
    self._job.check(self._path)
    if status == 0:  # the signal came too late
      self._finish(child)
      return
    self.kills[sent] += 1
    if status == 143:
      assert sent != "KILL", child.report(sent)
      saved = self._job.saved(self._path)
      # More where it was stopped before it took up what earlier ones saved
      assert saved >= child.done, child.report(
          f"{sent}: {saved} of {child.done} units are saved;"
      )
      self.terminated += 1
    elif sent != "KILL" and status == -signal.SIGTERM:
      # There was nothing to save yet
      assert not child.began, child.report(sent)
    else:
      assert sent != "TERM" and status == -signal.SIGKILL, child.report(sent)

  def recover(self):
    """Lets the run under way come to its end."""
    child = self._start(self._path)
    assert child.end() == 0, child.report("not disturbed any more")
    self._job.check(self._path)
    self._finish(child)

  def _undisturbed(self, part):
    child = self._start(self._folder / self.name / part)
    assert child.end() == 0, child.report("undisturbed")
    return child

  def _start(self, path):
    self.processes += 1
    return _Child(self.name, path, self._folder)

  def _next(self):
    return self._folder / self.name / f"run-{self.runs}"

  def _finish(self, child):
    differ = {
        name: (child.outcome.get(name), value)
        for name, value in self._whole.outcome.items()
        if child.outcome.get(name) != value
    }
    differ |= {n: v for n, v in child.outcome.items() if n not in
               self._whole.outcome}  # fmt: skip
    assert not differ, child.report(f"another outcome: {differ}")
    self.runs += 1
    self._path = self._next()


class _Child:
  """A process at work."""

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

  def kill(self, sent, chance, whole):
    """Signals the process at a random moment of its life."""
    if chance.random() < 0.85:
      while not self.began and self._process.is_alive():
        time.sleep(0.002)
      self._process.join(chance.uniform(0, 0.9 * whole.worked))
    else:
      self._process.join(chance.uniform(0, 0.9 * whole.started))
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
    if self._process.exitcode == 0:
      self.outcome = JOBS[self.name].outcome(self.path)
    return self._process.exitcode

  def report(self, what):
    """What to say of a failure."""
    return (
        f"{self.name} in {self.path}: {what}, status"
        f" {self._process.exitcode}: {self._log.read_text()[-2000:]}"
    )


def _context():
  context = multiprocessing.get_context("forkserver")
  # The server must have one thread alone, or it could not be forked
  os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
  context.set_forkserver_preload([
      "optax",
      "weightspace.training.pretrain",
      "zoo_gen.shards",
      __name__,
  ])
  return context


class _Counting:
  """A progress that is a number which another process sees."""

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
  JOBS[name].run(path, folder, _Counting(done))


def _generate(path, folder, progress):
  from zoo_gen import shards

  shards.generate(path, shards.plan(_ZOO), progress=progress, max_segment=10)


def _zoo_outcome(path):
  return {
      str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
      for file in sorted(path.rglob("*"))
      if file.is_file()
  }


def _newest(folder):
  """The newest step that was saved whole."""
  steps = [
      int(file.name)
      for file in folder.glob("*")
      if file.is_dir() and file.name.isdecimal()
  ]
  return max(steps, default=0)


def _zoo_saved(path):
  from weightspace import zoo
  from zoo_gen import shards

  spec = shards.plan(_ZOO)
  steps = spec.snapshot_steps[-1]
  return sum(
      len(zoo.shard_networks(spec, i))
      * (
          steps
          if zoo.has_shard(path, i)
          else _newest(path / "work" / f"{i:05d}" / "state")
      )
      for i in range(zoo.num_shards(spec))
  )


def _zoo_check(path):
  """Whatever is there is sound; no network is there twice."""
  from weightspace import zoo

  if not (path / "zoo.json").exists():
    return
  problems = zoo.verify(path)
  try:
    source = zoo.open(path)
  except zoo.ZooError:
    assert len(problems) == 1 and "is unfinished" in problems[0], problems
    return
  assert problems == []
  steps = list(source.spec.snapshot_steps)
  rows = list(zip(source.columns["net_id"], source.columns["step"]))
  assert rows == list(itertools.product(range(_ZOO["networks"]), steps))


def _pretrain(path, folder, progress):
  from weightspace import zoo
  from weightspace.training.pretrain import pretrain

  pretrain(zoo.open(folder / "zoo" / "whole"), _RUN, path, progress=progress)


def _run_outcome(path):
  """All but Orbax's own files, which tell the time."""
  last = path / "checkpoints" / str(_RUN["emulation"]["steps"])
  names = [str(file.relative_to(path)) for file in path.rglob("*.json*")]
  return {
      "files": sorted(name for name in names if "METADATA" not in name),
      "config": (path / "config.json").read_bytes(),
      "metrics": (path / "metrics.jsonl").read_bytes(),
      "leaves": json.loads(last.with_suffix(".json").read_text())["leaves"],
      "state": {
          file.name: hashlib.sha256(file.read_bytes()).hexdigest()
          for file in last.rglob("*.npz")
      },
  }


def _run_saved(path):
  return _newest(path / "checkpoints")


def _run_check(path):
  """No checkpoint that was taken for good is bad."""
  assert not list(path.glob("checkpoints/bad-*")), path


JOBS = {
    "zoo": Job(_generate, _zoo_outcome, _zoo_saved, _zoo_check),
    "run": Job(_pretrain, _run_outcome, _run_saved, _run_check),
}
SIGNALS = ("KILL", "TERM", "TERM, KILL")
