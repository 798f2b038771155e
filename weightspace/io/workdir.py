"""The folder of a run: its config and its metrics.

  config.json    what decides the outcome of the run
  metrics.jsonl  a line for each step that reported metrics
  checkpoints/   see `weightspace.io.checkpoints`
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from weightspace.errors import UserError
from weightspace.io import files, locks

CONFIG = "config.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
_NOT_FINITE = ("nan", "inf", "-inf")


def claim(
    workdir: str | os.PathLike,
    config: Mapping[str, Any],
    complete: Callable[[Any], Any] = lambda config: config,
) -> Path:
  """Makes a run's folder, or takes the one that is there.

  Hold its lock, of `weightspace.io.locks`, while you write to it.

  Args:
    workdir: the folder.
    config: JSON values; what decides the outcome of the run.
    complete: (config) -> the same with defaults filled in. Configs are compared
      by what it returns, so a field that was added later, at its default, does
      not make a run another one.

  Returns:
    The folder.

  Raises:
    FileExistsError: it belongs to a run of another config, naming each field
      that differs, or holds something that is not a run.
    ValueError: its config is not JSON, or a file of it is a link.
  """
  workdir = Path(workdir)
  config = json.loads(json.dumps(config))
  file = workdir / CONFIG
  # Of a killed process, or of another one that begins the same run
  drafts = files.leftovers(file)
  if file.exists():
    files.refuse_links(*workdir.iterdir())
    _check_same(workdir, read(workdir), config, complete)
    for draft in drafts:
      draft.unlink(missing_ok=True)
    return workdir
  ours = {*drafts, workdir / locks.NAME}
  if workdir.exists() and any(f not in ours for f in workdir.iterdir()):
    raise FileExistsError(
        f"{workdir} is not empty and has no {CONFIG}, so it is not the folder"
        " of a run; choose another --workdir"
    )
  workdir.mkdir(parents=True, exist_ok=True)
  files.replace_text(file, json.dumps(config, indent=2) + "\n")
  return workdir


def read(workdir: str | os.PathLike) -> dict[str, Any]:
  """The config of the run in a folder.

  Raises:
    FileNotFoundError: there is no run.
    ValueError: its config is not JSON.
    OSError: it cannot be read.
  """
  file = Path(workdir) / CONFIG
  if not file.exists():
    raise FileNotFoundError(
        f"{file} does not exist: {workdir} is not the folder of a run"
    )
  try:
    return files.parse(file)[0]
  except ValueError as error:
    raise UserError(f"{file} cannot be used: {error}") from error


def _check_same(workdir, there, config, complete):
  if there == config:
    return
  try:
    there = complete(there)
  except (ValueError, TypeError, KeyError, AttributeError) as error:
    raise FileExistsError(
        f"{workdir} is the folder of a run that this release cannot continue:"
        f" {error}. Choose another --workdir"
    ) from error
  if differences := _differences(there, complete(config)):
    raise FileExistsError(
        f"{workdir} is the folder of a run with another config:"
        f" {'; '.join(differences)}. Use the same config, or choose another"
        " --workdir"
    )


def _differences(there, here, prefix=""):
  differences = []
  for name in sorted(there.keys() | here.keys()):
    a, b = there.get(name), here.get(name)
    if isinstance(a, dict) and isinstance(b, dict):
      differences += _differences(a, b, f"{prefix}{name}.")
    elif a != b:
      differences.append(f"{prefix}{name} is {a!r} there, {b!r} here")
  return differences


class MetricsLog:
  """A file of JSON lines, one object for each `write`, the step first.

  JSON has no NaN and no infinities: they are written as the strings "nan",
  "inf" and "-inf", and `read_metrics` turns them into floats again.
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
    if self.path.exists():
      data = self.path.read_bytes()
      if not data.endswith(b"\n"):
        os.truncate(self.path, data.rfind(b"\n") + 1)

  def write(self, step: int, **scalars) -> None:
    """Writes one line, at once; scalars may be arrays on a device."""
    values = {name: _number(value) for name, value in scalars.items()}
    line = json.dumps({"step": int(step)} | {
        name: value if math.isfinite(value) else str(value)
        for name, value in values.items()
    })  # fmt: skip
    with (
        files.naming(self.path),
        open(self.path, "a", encoding="utf-8") as file,
    ):
      file.write(line + "\n")
    if self._events is not None:
      for name, value in values.items():
        self._events.add_scalar(name, value, int(step))
      self._events.flush()

  def rewind(self, step: int) -> list[dict[str, Any]]:
    """Drops what was written after `step`; not from TensorBoard's events.

    Returns:
      The lines that are kept, as of `read_metrics`.
    """
    if not self.path.exists():
      return []
    for killed in files.leftovers(self.path):
      killed.unlink()
    lines = [
        (text, values)
        for text, values in _lines(self.path)
        if values["step"] <= step
    ]
    files.replace_text(self.path, "".join(text for text, _ in lines))
    return [values for _, values in lines]

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


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
  """The lines of a metrics file as dicts; a torn last line is left out.

  Raises:
    ValueError: another line is damaged.
    OSError: it cannot be read.
  """
  return [values for _, values in _lines(Path(path))]


def _lines(path):
  """(text, values) of each whole line."""
  with files.reading(path) as file:
    content = file.readall()
  whole = content[: content.rfind(b"\n") + 1]
  for number, line in enumerate(whole.splitlines(keepends=True), 1):
    try:
      text = line.decode("utf-8")
      values = json.loads(text)
    except (ValueError, RecursionError):
      values = None
    if not isinstance(values, dict) or type(values.get("step")) is not int:
      raise UserError(
          f"{path} is damaged: line {number} is no line of metrics; repair it"
          " or move it away: a run continues without its earlier metrics"
      )
    yield text, {
        name: float(value) if value in _NOT_FINITE else value
        for name, value in values.items()
    }


def _number(value) -> int | float:
  value = value.item() if hasattr(value, "item") else value
  if not isinstance(value, int | float):
    raise TypeError(f"a metric is a scalar, got {type(value).__name__}")
  return value
