"""Networks that plain PyTorch trains to repeat bits after a delay.

    python -m experiments.torch_networks.delays --out=FOLDER

Writes FOLDER/nets/000.pt, ..., state dicts of LSTMs, GRUs and RNNs; inputs.npz,
bits that they read, and what the first of them answered; and runs.csv, with the
delay, the optimiser, the dropout and the accuracy of each. These are the files
of docs/your_networks.md. Needs the extra `torch`.
"""

import concurrent.futures
import csv
import functools
import importlib.util
import multiprocessing
from pathlib import Path

from absl import flags

from weightspace import launch
from weightspace.errors import MissingPackage

_OUT = flags.DEFINE_string("out", None, "Folder, made if it is missing.")
_NETWORKS = flags.DEFINE_integer("networks", 200, "Networks to train.", 1)
_STEPS = flags.DEFINE_integer("steps", 400, "Of training each.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Of all that is drawn.", 0, 2**31)

LONGEST = 8  # of the delays
LENGTH, BATCH, VERIFIED = 40, 64, 4


def main() -> None:
  """Trains and saves the networks, one process on each core."""
  if importlib.util.find_spec("torch") is None:
    raise MissingPackage(
        "the networks are trained by torch, which is not installed: pip install"
        " 'weightspace[torch]'"
    )
  import numpy as np

  from weightspace.progress import Progress

  out = Path(_OUT.value)
  (out / "nets").mkdir(parents=True, exist_ok=True)
  read = np.random.default_rng(_SEED.value).integers(0, 2, (32, LENGTH))
  train = functools.partial(_train, _SEED.value, _STEPS.value, out, read)
  trained = []
  context = multiprocessing.get_context("spawn")
  with (
      concurrent.futures.ProcessPoolExecutor(mp_context=context) as pool,
      Progress().stage(
          "train", total=_NETWORKS.value, unit="networks"
      ) as stage,
  ):
    for row, answers in pool.map(train, range(_NETWORKS.value)):
      trained.append((row, answers))
      stage.advance(1, accuracy=row["accuracy"])
  rows = [row for row, _ in trained]
  outputs = np.stack([answers for _, answers in trained[:VERIFIED]])
  np.savez(out / "inputs.npz", inputs=read, outputs=outputs)
  with open(out / "runs.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
  print(f"{out}: {len(rows)} networks")


def _train(seed, steps, out, read, i):
  """Network `i`: its row of the table, and what it answers to `read`."""
  import numpy as np
  import torch

  torch.set_num_threads(1)  # networks are too small for more
  torch.manual_seed(seed + i)
  draws = np.random.default_rng((seed, i))
  row = {
      "file": f"nets/{i:03d}.pt",
      "delay": int(draws.integers(1, LONGEST + 1)),
      "cell": ("LSTM", "GRU", "RNN")[i % 3],
      "units": int(draws.choice([12, 16, 24])),
      "optimizer": str(draws.choice(["Adam", "RMSprop"])),
      "dropout": float(draws.choice([0.0, 0.2])),
  }
  units, delay = row["units"], row["delay"]
  model = torch.nn.ModuleDict({
      "embedding": torch.nn.Embedding(2, 6),
      "dropout": torch.nn.Dropout(row["dropout"]),
      "rnn": getattr(torch.nn, row["cell"])(6, units, batch_first=True),
      "readout": torch.nn.Linear(units, 2),
  })
  optimizer = getattr(torch.optim, row["optimizer"])(model.parameters(), 0.005)
  for _ in range(steps):
    bits = torch.as_tensor(draws.integers(0, 2, (BATCH, LENGTH)))
    loss = torch.nn.functional.cross_entropy(
        _answer(model, bits)[:, delay:].flatten(0, 1),
        bits[:, :-delay].flatten(),
    )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
  model.eval()
  with torch.no_grad():
    bits = torch.as_tensor(draws.integers(0, 2, (BATCH, LENGTH)))
    right = _answer(model, bits)[:, delay:].argmax(-1) == bits[:, :-delay]
    answers = _answer(model, torch.as_tensor(read)).numpy()
  torch.save(model.state_dict(), out / row["file"])
  return {**row, "accuracy": round(right.float().mean().item(), 4)}, answers


def _answer(model, bits):
  read = model["dropout"](model["embedding"](bits))
  return model["readout"](model["rnn"](read)[0])


if __name__ == "__main__":
  launch.run(main, required=("out",))
