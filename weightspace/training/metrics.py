"""Metrics of a run as JSON lines, and as TensorBoard events on request."""

import json
import math
import os
from pathlib import Path

from weightspace.io import files

_REMEDY = (
    "mend it or move it away: a run goes on without the metrics of before"
)


_QUOTED = ("nan", "inf", "-inf")


class MetricsLog:
  """A file of JSON lines, one object for each `write`, the step first.

  JSON has no NaN and no infinities: they are written as the strings "nan",
  "inf" and "-inf", and `read` turns them into floats again.
  """

  def __init__(self, path: str | os.PathLike, *, tensorboard: bool = False):
    """Appends to what is there, but for a last line torn by a kill.

    Call `rewind` when a run resumes.

    Args:
      path: the file; folders on the way to it are made.
      tensorboard: also write event files (by tensorboardX) beside it.
    """
    self.path = Path(path)
    self.path.parent.mkdir(parents=True, exist_ok=True)
    self._events = None
    if tensorboard:
      import tensorboardX

      self._events = tensorboardX.SummaryWriter(str(self.path.parent))
    _drop_torn_line(self.path)

  def write(self, step: int, **scalars) -> None:
    """Writes one line, at once; scalars may be arrays on a device."""
    values = {name: _number(value) for name, value in scalars.items()}
    line = json.dumps({"step": int(step)} | _quoted(values))
    try:
      with open(self.path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    except OSError as error:
      raise files.failed(self.path, error) from error
    if self._events is not None:
      for name, value in values.items():
        self._events.add_scalar(name, value, int(step))
      self._events.flush()

  def rewind(self, step: int) -> None:
    """Drops what was written after `step`; not from TensorBoard's events."""
    if not self.path.exists():
      return
    for killed in files.leftovers(self.path):
      killed.unlink()
    lines = _text(self.path).splitlines(keepends=True)
    kept = [
        line
        for line, values in zip(lines, _values(self.path, lines))
        if values["step"] <= step
    ]
    files.replace_text(self.path, "".join(kept))

  def sync(self) -> None:
    """Makes what was written durable."""
    if self.path.exists():
      files.sync_folder(self.path)

  def close(self) -> None:
    """Closes TensorBoard's events."""
    if self._events is not None:
      self._events.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()


def read(path: str | os.PathLike) -> list[dict]:
  """The lines of a metrics file as dicts; a torn last line is left out.

  Raises:
    ValueError: another line is damaged.
    OSError: it cannot be read.
  """
  text = _text(Path(path))
  whole = text[: text.rfind("\n") + 1]
  return [_unquoted(line) for line in _values(path, whole.splitlines())]


def _text(path):
  with files.reading(path) as file:
    content = file.readall()
  try:
    return content.decode("utf-8")
  except UnicodeDecodeError as error:
    raise ValueError(f"{path} is damaged: {error}; {_REMEDY}") from error


def _values(path, lines):
  for number, line in enumerate(lines, 1):
    try:
      values = json.loads(line)
    except (ValueError, RecursionError):
      values = None
    if not isinstance(values, dict) or type(values.get("step")) is not int:
      raise ValueError(
          f"{path} is damaged: line {number} is no line of metrics; {_REMEDY}"
      )
    yield values


def _drop_torn_line(path: Path) -> None:
  if path.exists():
    data = path.read_bytes()
    if not data.endswith(b"\n"):
      os.truncate(path, data.rfind(b"\n") + 1)


def _number(value) -> int | float:
  value = value.item() if hasattr(value, "item") else value
  if not isinstance(value, int | float):
    raise TypeError(f"a metric is a scalar, got {type(value).__name__}")
  return value


def _quoted(values):
  return {
      name: value if math.isfinite(value) else str(value)
      for name, value in values.items()
  }


def _unquoted(line):
  return {
      name: float(value) if value in _QUOTED else value
      for name, value in line.items()
  }
