"""The folders of the release of the paper's authors: what is in them.

    parameters.npy        [R, P] float32, torch's `parameters()` order
    sequences.npy         formal languages: [R, K, T + 1] int16, tokens;
                          tiled MNIST: [R, K, 50, 16] float16, zeros and tiles
    logits.npy            [R, K, T, V] float16
    tasks.npy             formal languages: [R, 4] integers, 0 m_b m_c m_d;
                          tiled MNIST: [R, 1] reals, the angle in degrees
    num_step_correct.npy  formal languages: [R, 3] integers: run, training step,
                          strings that counted as right, of 1000
    num_step.npy          tiled MNIST: [R, 2] integers: run, training step
    accuracy_losses.npy   tiled MNIST: [R, 4] reals: accuracy, loss on images
                          trained on, loss on others, weight decay
    args.json             flags of the program that made it; may be missing

Tokens are a b c d BOS EOS, from 0. All networks are `torch.nn.LSTM` with a
linear read-out. Rows are snapshots of runs. Of formal languages the logits are
log-probabilities, of digits they are what the read-out said.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.exchange import npy_shapes
from weightspace.io import files, npy
from weightspace.rnn import RNNSpec
from weightspace.tasks import formal_language, tiled_mnist

PARAMETERS, SEQUENCES = "parameters.npy", "sequences.npy"
LOGITS, TASKS = "logits.npy", "tasks.npy"
ARGS = "args.json"
FORMAL, MNIST = "formal_language", "tiled_mnist"
COUNTED = 1000  # strings that `correct` is of
_MOST_BYTES = 2**20  # of args.json


class Layout(NamedTuple):
  """What differs between the two families.

  Attributes:
    family: the name of ours.
    inputs: size of an input, I.
    outputs: size of an output, V.
    sequence: shape of a sequence; None is any length.
    dtype: of sequences.
    task: numbers of a task, and the kinds of dtype they may have.
    table: the file that begins with run and step, and its columns.
    measures: a file of reals, and its columns; or None.
  """

  family: str
  inputs: int
  outputs: int
  sequence: tuple[int | None, ...]
  dtype: str
  task: tuple[int, str]
  table: tuple[str, int]
  measures: tuple[str, int] | None


LAYOUTS = (
    Layout(
        family=FORMAL,
        inputs=formal_language.VOCABULARY,
        outputs=formal_language.VOCABULARY,
        sequence=(None,),
        dtype="int16",
        task=(4, "iu"),
        table=("num_step_correct.npy", 3),
        measures=None,
    ),
    Layout(
        family=MNIST,
        inputs=tiled_mnist.SPEC.inputs,
        outputs=tiled_mnist.SPEC.outputs,
        sequence=(tiled_mnist.SPEC.length, tiled_mnist.SPEC.inputs),
        dtype="float16",
        task=(1, "f"),
        table=("num_step.npy", 2),
        measures=("accuracy_losses.npy", 4),
    ),
)


@dataclass(frozen=True)
class Folder:
  """A folder whose files are there and have shapes that fit.

  Attributes:
    path: where it is.
    layout: of its family.
    rnn: the shape of its networks.
    sequences: of each row, K.
    length: of a sequence.
    args: what args.json holds, {} where there is none.
    order: [R], its rows by run, then by step.
    run: [R] int64, of the rows in that order.
    step: [R] int64, of the rows in that order.
  """

  path: Path
  layout: Layout
  rnn: RNNSpec
  sequences: int
  length: int
  args: dict[str, Any]
  order: np.ndarray
  run: np.ndarray
  step: np.ndarray

  @property
  def names(self) -> list[str]:
    """Its .npy files."""
    return names(self.layout)

  def read(self, name: str, places: np.ndarray) -> np.ndarray:
    """Rows of a file, by their places in `order`; a copy, the map is gone."""
    return np.array(_map(self.path / name)[self.order[places]])

  def where(self, name: str, place: int) -> str:
    """Names a row for a message."""
    return (
        f"{self.path / name} row {self.order[place]} (run {self.run[place]},"
        f" step {self.step[place]})"
    )


def names(layout: Layout) -> list[str]:
  """The .npy files of a family's folders."""
  own = [layout.table, *filter(None, [layout.measures])]
  return [PARAMETERS, SEQUENCES, LOGITS, TASKS, *(name for name, _ in own)]


def open_folder(path: Path) -> Folder:
  """Opens a folder and checks all but what its large arrays hold.

  Raises:
    ValueError: naming the file, and the row where it is one, what was found
      and what was expected.
    FileNotFoundError: naming the files that are not there.
  """
  layout = _layout(path)
  args = _args(path)
  arrays = {name: _map(path / name) for name in names(layout)}
  _check_shapes(path, layout, arrays)
  table = np.array(arrays[layout.table[0]]).astype(np.int64)
  run, step = table[:, 0], table[:, 1]
  _check_rows(path / layout.table[0], run, step)
  order = np.lexsort((step, run))
  sequences = arrays[SEQUENCES].shape
  size = arrays[PARAMETERS].shape[1]
  try:
    hidden = npy_shapes.hidden(size, layout.inputs, layout.outputs, args)
  except ValueError as error:
    raise UserError(
        f"{path / PARAMETERS} has {size} columns: {error}"
    ) from error
  return Folder(
      path=path,
      layout=layout,
      rnn=RNNSpec("lstm", hidden, layout.inputs, layout.outputs),
      sequences=sequences[1],
      length=sequences[2],
      args=args,
      order=order,
      run=run[order],
      step=step[order],
  )


def _layout(path):
  if not path.is_dir():
    raise FileNotFoundError(f"{path} is no folder")
  fitting = [one for one in LAYOUTS if (path / one.table[0]).is_file()]
  if len(fitting) != 1:
    tables = " or ".join(one.table[0] for one in LAYOUTS)
    raise FileNotFoundError(
        f"{path} holds {'both' if fitting else 'neither'} {tables}, which tell"
        " formal languages from tiled MNIST; expected one of them"
    )
  missing = [n for n in names(fitting[0]) if not (path / n).is_file()]
  if missing:
    raise FileNotFoundError(f"{path} lacks {', '.join(missing)}")
  return fitting[0]


def _args(path):
  file = path / ARGS
  if not file.is_file():
    return {}
  if file.stat().st_size > _MOST_BYTES:
    raise UserError(f"{file} has more than {_MOST_BYTES} bytes")
  try:
    args, _ = files.parse(file)
    json.dumps(args, allow_nan=False)
  except ValueError as error:
    raise UserError(f"{file} cannot be used: {error}") from error
  return args


def _map(file):
  try:
    header = npy.read_header(file)
    array = np.memmap(
        file,
        header.dtype,
        "r",
        header.offset,
        header.shape,
        "F" if header.fortran else "C",
    )
  except (ValueError, OSError) as error:
    raise UserError(
        f"{file} is not an .npy array of numbers, or truncated ({error})"
    ) from error
  if not array.dtype.isnative or array.dtype.kind not in "iuf":
    raise UserError(f"{file} holds {array.dtype}, expected plain numbers")
  return array


def _check_shapes(path, layout, arrays):
  rows = len(arrays[PARAMETERS]) if arrays[PARAMETERS].ndim else 0
  shown = arrays[SEQUENCES].shape
  count = shown[1] if len(shown) > 1 else None
  length = shown[2] if len(shown) > 2 else None
  steps = layout.sequence[0] or (None if length is None else length - 1)
  expected = {
      PARAMETERS: ((rows, None), "f", "float32"),
      SEQUENCES: ((rows, None, *layout.sequence), "if", layout.dtype),
      LOGITS: ((rows, count, steps, layout.outputs), "f", "float16"),
      TASKS: ((rows, layout.task[0]), layout.task[1], None),
      layout.table[0]: ((rows, layout.table[1]), "iu", None),
  }
  if layout.measures:
    name, columns = layout.measures
    expected[name] = ((rows, columns), "f", None)
  if not rows:
    raise UserError(f"{path / PARAMETERS} has no rows")
  for name, (shape, kinds, dtype) in expected.items():
    array = arrays[name]
    fits = len(array.shape) == len(shape) and all(
        n > 0 and wanted in (None, n) for n, wanted in zip(array.shape, shape)
    )
    if fits and array.dtype.kind in kinds and dtype in (None, array.dtype.name):
      continue
    wanted = ", ".join("any" if n is None else str(n) for n in shape)
    kind = {"iu": "integers", "f": "reals"}.get(kinds, "numbers")
    raise UserError(
        f"{path / name} holds {list(array.shape)} {array.dtype}, expected"
        f" [{wanted}] {dtype or kind}; {PARAMETERS} has {rows} rows"
    )
  if layout.family == FORMAL and length < 2:
    raise UserError(f"{path / SEQUENCES} holds sequences of BOS alone")


def _check_rows(file, run, step):
  """Every run has the same steps, each once."""
  for values, what in ((run, "run"), (step, "step")):
    wrong = np.flatnonzero((values < 0) | (values >= 2**31))
    if len(wrong):
      raise UserError(
          f"{file} row {wrong[0]}: {what} is {values[wrong[0]]}, expected an"
          " integer from 0 and below 2^31"
      )
  order = np.lexsort((step, run))
  again = np.flatnonzero(
      (np.diff(run[order]) == 0) & (np.diff(step[order]) == 0)
  )
  if len(again):
    first, second = sorted(order[again[0] : again[0] + 2])
    raise UserError(
        f"{file} rows {first} and {second} are both run {run[first]} at step"
        f" {step[first]}; every network needs a run of its own, so number them"
        " anew where the folder joins several"
    )
  runs, steps = np.unique(run), np.unique(step)
  if len(runs) * len(steps) == len(run):
    return
  there = np.zeros((len(runs), len(steps)), bool)
  there[np.searchsorted(runs, run), np.searchsorted(steps, step)] = True
  lacking, which = np.argwhere(~there)[0]
  example = np.flatnonzero(step == steps[which])[0]
  raise UserError(
      f"{file} has no row of run {runs[lacking]} at step {steps[which]}, where"
      f" run {run[example]} has one in row {example}; every network needs all"
      f" of the steps {steps.tolist()}"
  )
