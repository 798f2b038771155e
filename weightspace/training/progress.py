"""Progress of long stages: a live bar on a terminal, log lines elsewhere.

Library code is given a `Progress` and draws nothing itself:

  with progress.stage("pretrain", total=2000, unit="steps") as stage:
    ...
    stage.advance(50, loss=loss)
"""

import collections
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_WINDOW = 30.0  # seconds over which the rate is measured


class Stage:
  """How far one stage is, and how long the rest will take.

  Attributes:
    name: what is shown.
    total: units of work, those done before a resume included; None where
      that is not known.
    unit: what they are called, in the plural.
    initial: units that were done before this run.
    done: units done so far.
    metrics: the newest values given to `advance`.
  """

  def __init__(
      self,
      name: str,
      total: int | None,
      unit: str,
      initial: int,
      clock: Callable[[], float],
      show: Callable[["Stage"], None],
  ):
    self.name, self.total, self.unit, self.initial = name, total, unit, initial
    self.done, self.metrics = initial, {}
    self._clock, self._show = clock, show
    self._start = clock()
    self._marks = collections.deque()

  def advance(self, n: int = 1, **metrics) -> None:
    """Reports `n` more units done, and the newest metrics: scalars.

    Metrics may be arrays on a device; they are waited for when shown.
    """
    self.done += n
    self.metrics = {**self.metrics, **metrics}  # a bar reads it in a thread
    now = self._clock()
    self._marks.append((now, self.done))
    while len(self._marks) > 2 and self._marks[1][0] < now - _WINDOW:
      self._marks.popleft()
    self._show(self)

  @property
  def elapsed(self) -> float:
    """Seconds since the stage began in this run."""
    return self._clock() - self._start

  @property
  def eta(self) -> float | None:
    """Seconds to go at the rate of late, None before there is a rate.

    Work of an earlier run does not count, nor does the first `advance`, which
    includes compilation.
    """
    if self.total is None or len(self._marks) < 2:
      return None
    (first, before), (last, after) = self._marks[0], self._marks[-1]
    if after <= before or last <= first:
      return None
    left = (self.total - after) * (last - first) / (after - before)
    return max(0.0, left - (self._clock() - last))

  @property
  def status(self) -> str:
    """Share and count done, the time taken, the time to go, the metrics."""
    count = f"{self.done} {self.unit}"
    if self.total is not None:
      percent = 100 * self.done // max(self.total, 1)
      count = f"{percent} % ({self.done}/{self.total} {self.unit})"
    eta = "unknown" if self.eta is None else seconds(self.eta)
    parts = [count, seconds(self.elapsed), f"ETA {eta}"]
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
    stream = sys.stderr if stream is None else stream
    live = stream.isatty() if live is None else live
    self._clock = clock
    self._display = _Bars(stream) if live else _Lines(stream, every, clock)

  @classmethod
  def silent(cls) -> "Progress":
    """A progress that nobody sees."""
    progress = cls(live=False)
    progress._display = _Nothing()
    return progress

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
    stage = Stage(
        name, total, unit, initial, self._clock, self._display.update
    )
    self._display.start(stage)
    try:
      yield stage
    except BaseException:
      count = stage.done if total is None else f"{stage.done}/{total}"
      took = seconds(stage.elapsed)
      self._display.end(stage, f"stopped at {count} {unit} after {took}")
      raise
    count = f"{stage.done - initial} {unit}"
    self._display.end(stage, f"done, {count} in {seconds(stage.elapsed)}")


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


def _opening(stage):
  resumed = f", {stage.initial} done before" if stage.initial else ""
  size = "" if stage.total is None else f"{stage.total} "
  return f"{stage.name}: {size}{stage.unit}{resumed}"


class _Nothing:
  def start(self, stage):
    pass

  def update(self, stage):
    pass

  def end(self, stage, line):
    pass


class _Lines:
  def __init__(self, stream, every, clock):
    self._stream, self._every, self._clock = stream, every, clock
    self._last = {}

  def start(self, stage):
    self._last[stage] = self._clock()
    self._write(_opening(stage))

  def update(self, stage):
    if self._clock() - self._last[stage] >= self._every:
      self._last[stage] = self._clock()
      self._write(f"{stage.name}: {stage.status}")

  def end(self, stage, line):
    del self._last[stage]
    self._write(f"{stage.name}: {line}")

  def _write(self, line):
    self._stream.write(line + "\n")
    self._stream.flush()


class _Bars:
  """Live bars of the stages under way; a finished one becomes a line."""

  def __init__(self, stream):
    self._stream, self._bars, self._tasks = stream, None, {}

  def start(self, stage):
    if self._bars is None:
      self._bars = _rich_bars(self._stream)
      self._bars.start()
    self._tasks[stage] = self._bars.add_task(
        stage.name, total=stage.total, completed=stage.initial, stage=stage
    )

  def update(self, stage):
    self._bars.update(self._tasks[stage], completed=stage.done)

  def end(self, stage, line):
    self._bars.remove_task(self._tasks.pop(stage))
    self._bars.console.print(
        f"{stage.name}: {line}", markup=False, highlight=False
    )
    if not self._tasks:
      self._bars.stop()
      self._bars = None


def _rich_bars(stream):
  from rich import console, progress, text

  class Status(progress.ProgressColumn):
    max_refresh = 0.25  # seconds: metrics are waited for

    def render(self, task):
      return text.Text(task.fields["stage"].status)

  return progress.Progress(
      progress.TextColumn("{task.description}", markup=False),
      progress.BarColumn(bar_width=20),
      Status(),
      console=console.Console(file=stream),
      refresh_per_second=4,
      redirect_stdout=False,
      redirect_stderr=False,
  )
