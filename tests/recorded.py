"""A folder of small networks of three shapes, their inputs and a table."""

import csv

import jax
import numpy as np

from weightspace.interop import torch as torch_format
from weightspace.rnn import RNNSpec, make_rnn

SHAPES = ("lstm", (4,)), ("gru", (3, 3)), ("elman", (5,))
INPUTS, OUTPUTS, STEPS, SEQUENCES = 2, 3, 6, 4
NETWORKS = 11
OPTIMIZERS = "sgd", "adam", "rmsprop"


def spec(i, inputs=INPUTS, outputs=OUTPUTS):
  cell, hidden = SHAPES[(i * i) % 3 if i % 4 else 2]  # in no regular order
  return RNNSpec(cell, hidden, inputs, outputs)


def network(i, inputs=INPUTS, outputs=OUTPUTS):
  rnn = make_rnn(spec(i, inputs, outputs))
  weights = rnn.init(jax.random.key(i))
  return rnn, jax.tree.map(lambda leaf: np.asarray(2 * leaf), weights)


def reals(seed=0, *axes):
  shape = (*axes, SEQUENCES, STEPS, INPUTS)
  values = np.random.default_rng(seed).standard_normal(shape)
  return values.astype(np.float32)


def tokens(seed=0, *axes, size=INPUTS):
  generator = np.random.default_rng(seed)
  return generator.integers(0, size, (*axes, SEQUENCES, STEPS))


def rows():
  """The table: one network after another, and one with two snapshots."""
  return [
      {
          "file": f"nets/{i:02d}.safetensors", "delay": 3 + i // 2,
          "optimizer": OPTIMIZERS[i % 3], "score": i / 20,
      }
      for i in range(NETWORKS)
  ]  # fmt: skip


def write(folder, inputs=INPUTS, outputs=OUTPUTS, listed=None):
  """Makes FOLDER/nets, inputs.npz and runs.csv."""
  (folder / "nets").mkdir(parents=True)
  for i in range(NETWORKS):
    torch_format.save(
        folder / f"nets/{i:02d}.safetensors", *network(i, inputs, outputs)
    )
  np.savez(folder / "inputs.npz", inputs=reals(), lengths=[6, 3, 1, 6])
  write_table(folder, rows() if listed is None else listed)
  return folder


def write_table(folder, listed):
  with open(folder / "runs.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, listed[0])
    writer.writeheader()
    writer.writerows(listed)
