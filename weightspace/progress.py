"""Progress of long stages: a live bar on a terminal, log lines elsewhere.

Library code is given a `Progress` and draws nothing itself:

  with progress.stage("pretrain", total=2000, unit="steps") as stage:
    ...
    stage.advance(50, loss=loss)

The library `rich` counts, estimates rates and draws.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich import console, progress, text

_WINDOW = 120.0  # seconds over which the rate is measured


class Stage:
  """How far one stage is.

  Attributes:
    name: what is shown.
    unit: what units of work are called, in the plural.
    task: `rich`'s, which counts.
    metrics: the newest values given to `advance`.
  """

  def __init__(
      self,
      name: str,
      unit: str,
      task: progress.Task,
      advance: Callable[["Stage", int], None],
  ):
    """Counts in a task, which `advance` moves on."""
    self.name, self.unit, self.task = name, unit, task
    self.metrics = {}
    self._advance = advance

  def advance(self, n: int = 1, **metrics) -> None:
    """Reports `n` more units done, and the newest metrics: scalars.

    Metrics may be arrays on a device; they are waited for when shown.
    """
    self.metrics = {**self.metrics, **metrics}  # a bar reads it in a thread
    self._advance(self, n)

  @property
  def eta(self) -> float | None:
    """Whole seconds to go at the recent rate, None before there is a rate.

    Work of an earlier run does not count, nor does the first `advance`, which
    includes compilation.
    """
    return self.task.time_remaining

  @property
  def status(self) -> str:
    """Share and count done, the time taken, the time to go, the metrics."""
    done, total = int(self.task.completed), self.task.total
    count = f"{done} {self.unit}"
    if total is not None:
      count = f"{100 * done // max(total, 1)} % ({done}/{total} {self.unit})"
    eta = "unknown" if self.eta is None else seconds(self.eta)
    parts = [count, seconds(self.task.elapsed), f"ETA {eta}"]
    parts += [f"{k} {float(v):.4g}" for k, v in self.metrics.items()]
    return ", ".join(parts)


class Progress:
  """Where the progress of stages is shown."""

  def __init__(
      self,
      stream: TextIO | None = None,
      *,
      live: bool | None = None,
      every: float = 5.0,
      clock: Callable[[], float] = time.monotonic,
  ):
    """Shows nothing yet.

    Args:
      stream: where to write, by default the process's stderr.
      live: a live bar (True) or log lines (False); by default a bar if
        `stream` is a terminal.
      every: least seconds between two log lines of a stage.
      clock: seconds, as `time.monotonic`.
    """
    self._stream = sys.stderr if stream is None else stream
    self._live = self._stream.isatty() if live is None else live
    self._every, self._clock = every, clock
    self._shown = {}  # when a stage wrote its last line
    self._bars = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        _Status(),
        console=console.Console(file=self._stream),
        get_time=clock,
        speed_estimate_period=_WINDOW,
        refresh_per_second=4,
        redirect_stdout=False,
        redirect_stderr=False,
    )

  @classmethod
  def silent(cls) -> "Progress":
    """A progress that nobody sees."""
    silent = cls(live=False)
    silent._stream = None
    return silent

  @contextlib.contextmanager
  def stage(
      self,
      name: str,
      *,
      total: int | None = None,
      unit: str = "steps",
      initial: int = 0,
  ) -> Iterator[Stage]:
    """Shows a stage while the block runs, then one line with its time.

    Args:
      name: what the stage does.
      total: units of work in it, `initial` included; None if not known.
      unit: what they are called, in the plural.
      initial: units done before this run, where it resumes.
    """
    added = self._bars.add_task(name, total=total, completed=initial)
    (task,) = (task for task in self._bars.tasks if task.id == added)
    stage = Stage(name, unit, task, self._advance)
    self._bars.update(added, stage=stage)
    self._start(stage, initial)
    of_total = "" if total is None else f"/{total}"
    end = "stopped at {done}" + of_total + " {unit} after {time}"
    try:
      yield stage
      end = "done, {new} {unit} in {time}"
    finally:
      done = int(task.completed)
      end = end.format(
          done=done, new=done - initial, unit=unit, time=seconds(task.elapsed)
      )
      self._end(stage, end)

  def _start(self, stage, initial):
    if self._live:
      self._bars.start()
      return
    self._shown[stage] = self._clock()
    total = "" if stage.task.total is None else f"{stage.task.total} "
    resumed = f", {initial} done before" if initial else ""
    self._write(f"{stage.name}: {total}{stage.unit}{resumed}")

  def _advance(self, stage, n):
    self._bars.advance(stage.task.id, n)
    now = self._clock()
    if not self._live and now - self._shown[stage] >= self._every:
      self._shown[stage] = now
      self._write(f"{stage.name}: {stage.status}")

  def _end(self, stage, line):
    self._shown.pop(stage, None)
    self._bars.remove_task(stage.task.id)
    self._write(f"{stage.name}: {line}")
    if self._live and not self._bars.tasks:
      self._bars.stop()

  def _write(self, line):
    if self._live:
      self._bars.console.print(line, markup=False, highlight=False)
    elif self._stream is not None:
      self._stream.write(line + "\n")
      self._stream.flush()


class _Status(progress.ProgressColumn):
  max_refresh = 0.25  # seconds: metrics are waited for

  def render(self, task):
    stage = task.fields.get("stage")  # not there just after it was added
    return text.Text(stage.status if stage else "")


def seconds(value: float) -> str:
  """A duration in words: 0.4 s, 42 s, 3 min 05 s, 2 h 07 min."""
  if value < 9.95:
    return f"{value:.1f} s"
  whole = round(value)
  if whole < 60:
    return f"{whole} s"
  if whole < 3600:
    return f"{whole // 60} min {whole % 60:02d} s"
  return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
