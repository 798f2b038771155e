"""Rows of the folders of the paper's authors: checked, and as ours.

Where the release lets a network write a string without EOS, its membership
test overwrites BOS by EOS in what is then stored. The network read BOS, and
that is what is made of it here.
"""

import math

import numpy as np

from weightspace.errors import UserError
from weightspace.exchange.npy_layout import (
  COUNTED,
  FORMAL,
  LOGITS,
  PARAMETERS,
  SEQUENCES,
  TASKS,
  Folder,
)
from weightspace.tasks.formal_language import BOS, EOS, VOCABULARY

# Of log-probabilities in float16 that sum to one: 2^-11 of their entropy
_ROUNDING = 2e-3


def row_bytes(folder: Folder) -> int:
  """Bytes of a row in the three large files."""
  steps = folder.length - (folder.layout.family == FORMAL)
  one = 2 * folder.length * math.prod(folder.layout.sequence[1:])
  one += 2 * steps * folder.layout.outputs
  size = folder.read(PARAMETERS, np.array([0])).nbytes
  return size + folder.sequences * one


def convert(folder: Folder, places: np.ndarray) -> dict[str, np.ndarray]:
  """Rows as arrays of our zoos.

  Args:
    folder: where they are.
    places: [n], in the folder's order.

  Returns:
    `weights`, `sequences`, `log_probs`, `finite`, and the columns that were
    recorded: `step`, `task`, `run`, and `correct`, or the measures of digits.
  """
  sequences = folder.read(SEQUENCES, places)
  task = folder.read(TASKS, places)
  table = folder.read(folder.layout.table[0], places)
  arrays = {
      "weights": folder.read(PARAMETERS, places),
      "log_probs": normalised(folder.read(LOGITS, places)),
      "step": folder.step[places].astype(np.int32),
      "run": folder.run[places],
      "finite": np.ones(len(places), bool),
  }
  if folder.layout.family == FORMAL:
    tokens = sequences.astype(np.int8)
    tokens[..., 0] = BOS
    return arrays | {
        "sequences": tokens,
        "task": task[:, 1:].astype(np.int32),
        "correct": table[:, 2].astype(np.int32),
    }
  measures = folder.read(folder.layout.measures[0], places).astype(np.float32)
  names = ("accuracy", "train_loss", "eval_loss", "weight_decay")
  return arrays | {
      "sequences": np.ascontiguousarray(sequences[:, :, 1:]),
      "task": task.astype(np.float32),
      **{name: measures[:, i].copy() for i, name in enumerate(names)},
  }


def check(folder: Folder, places: np.ndarray) -> None:
  """Checks what rows hold, before `convert`.

  Raises:
    ValueError: naming the file, the row, and what is wrong in it.
  """
  weights = folder.read(PARAMETERS, places)
  _raise(folder, PARAMETERS, places, ~np.isfinite(weights), "NaN or infinity")
  logits = folder.read(LOGITS, places)
  # -inf is what float16 makes of log-probabilities below -65504
  wrong = np.isnan(logits) | (logits == np.inf)
  wrong |= np.all(np.isinf(logits), axis=-1, keepdims=True)
  _raise(folder, LOGITS, places, wrong, "what is no logit: NaN or infinity")
  del weights, logits, wrong
  sequences = folder.read(SEQUENCES, places)
  task = folder.read(TASKS, places)
  if folder.layout.family == FORMAL:
    _check_tokens(folder, places, sequences)
    _check_shifts(folder, places, task)
    name = folder.layout.table[0]
    correct = folder.read(name, places)[:, 2]
    wrong = (correct < 0) | (correct > COUNTED)
    _raise(folder, name, places, wrong, f"no count of {COUNTED} strings")
  else:
    wrong = ~np.isfinite(sequences)
    _raise(folder, SEQUENCES, places, wrong, "NaN or infinity")
    wrong = np.any(sequences[:, :, 0] != 0, axis=(1, 2))
    _raise(folder, SEQUENCES, places, wrong, "a first step that is not zeros")
    wrong = ~((task >= 0) & (task <= 360))
    _raise(folder, TASKS, places, wrong, "no angle from 0 to 360 degrees")
    name = folder.layout.measures[0]
    measures = folder.read(name, places)
    wrong = ~(np.isfinite(measures) & (measures >= 0))
    wrong[:, 0] |= measures[:, 0] > 1
    text = "no accuracy, two losses and weight decay"
    _raise(folder, name, places, wrong, text)


def check_tasks(folder: Folder) -> None:
  """ValueError unless all snapshots of a run have one task."""
  task = folder.read(TASKS, np.arange(len(folder.order)))
  changes = np.any(task[1:] != task[:-1], axis=1)
  changes &= folder.run[1:] == folder.run[:-1]
  if np.any(changes):
    place = np.flatnonzero(changes)[0] + 1
    raise UserError(
        f"{folder.where(TASKS, place)} holds the task {task[place].tolist()},"
        f" that run's row {folder.order[place - 1]} {task[place - 1].tolist()}"
    )


def normalised(logits: np.ndarray) -> np.ndarray:
  """Log-probabilities, float16, of logits that may be such already.

  What sums to one up to the rounding of float16 stays as it is, to the bit.
  """
  result = np.empty_like(logits)
  for row, one in enumerate(logits):  # float32 of all would be much memory
    result[row] = _normalised(one)
  return result


def _normalised(logits):
  exact = logits.astype(np.float32)
  most = exact.max(axis=-1, keepdims=True)
  total = np.exp(exact - most).sum(axis=-1, keepdims=True)
  shift = most + np.log(total)
  with np.errstate(over="ignore"):  # to -inf
    shifted = (exact - shift).astype(np.float16)
  return np.where(np.abs(shift) < _ROUNDING, logits, shifted)


def _check_tokens(folder, places, sequences):
  wrong = (sequences < 0) | (sequences >= VOCABULARY)
  text = f"what is no token: not from 0 to {VOCABULARY - 1}"
  _raise(folder, SEQUENCES, places, wrong, text)
  unended = ~np.any(sequences[..., 1:] == EOS, axis=-1)
  first = sequences[..., 0]
  wrong = (first != BOS) & ~((first == EOS) & unended)
  _raise(folder, SEQUENCES, places, wrong, f"a string that BOS ({BOS}) is not"
         " the first token of")  # fmt: skip


def _check_shifts(folder, places, task):
  wrong = np.any(np.abs(task) >= folder.length, axis=1) | (task[:, 0] != 0)
  text = (
      "no shifts 0 m_b m_c m_d, which must be smaller than the length of a"
      f" string, {folder.length}"
  )
  _raise(folder, TASKS, places, wrong, text)


def _raise(folder, name, places, wrong, text):
  rows = np.any(wrong.reshape(len(places), -1), axis=1)
  if np.any(rows):
    place = places[np.argmax(rows)]
    raise UserError(f"{folder.where(name, place)} holds {text}")
