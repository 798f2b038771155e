"""The baseline: one network at a time, as one would train it in PyTorch.

  python -m experiments.benchmarks._torch_loop --steps=1000

A 2-layer LSTM of 32 units learns one formal language, at the paper's sizes:
42 symbols with BOS, batches of 32, generated anew at every step. Needs torch
alone, so that it runs in an environment without JAX. The last line it prints
is JSON: `ms_per_step`, after warming up, and `loss`, the last one.
"""

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional

LETTERS = 4
BOS, EOS = LETTERS, LETTERS + 1
VOCABULARY = LETTERS + 2
LENGTH = 42  # symbols of a sequence, with BOS
MAX_N = 10
BATCH, HIDDEN, LAYERS = 32, 32, 2


class Language(nn.Module):
  """Reads symbols [T, B], predicts the logits of the next ones [T, B, V]."""

  def __init__(self):
    super().__init__()
    self.lstm = nn.LSTM(VOCABULARY, HIDDEN, LAYERS)
    self.readout = nn.Linear(HIDDEN, VOCABULARY)

  def forward(self, tokens: torch.Tensor) -> torch.Tensor:
    one_hot = functional.one_hot(tokens, VOCABULARY).float()
    return self.readout(self.lstm(one_hot)[0])


def sample_strings(m: torch.Tensor) -> torch.Tensor:
  """Strings a^n b^(n+m_b) c^(n+m_c) d^(n+m_d) EOS..., [LENGTH, BATCH]."""
  shifts = torch.cat([torch.zeros(1, dtype=torch.long), m])
  low = int((-shifts).max())
  # n so small that an EOS fits after BOS and the string
  high = min(MAX_N, (LENGTH - 2 - int(shifts.sum())) // LETTERS + 1)
  n = torch.randint(low, high, (BATCH,))
  ends = (n[:, None] + shifts).cumsum(dim=1)  # [BATCH, LETTERS]
  position = torch.arange(LENGTH - 1)[:, None, None]
  ended = (position >= ends).sum(dim=2)  # letters whose runs are over
  symbols = torch.where(ended < LETTERS, ended, EOS)
  return torch.cat([torch.full((1, BATCH), BOS), symbols])


def learning_rate(step: int) -> float:
  """0.01 falls linearly to 0.003 at step 10k, then to 0.0003 at 20k."""
  if step < 10_000:
    return 0.01 + (0.003 - 0.01) * step / 10_000
  return 0.003 + (0.0003 - 0.003) * min(step / 10_000 - 1, 1)


def train(steps: int, seed: int = 0, warm_up: int = 50) -> dict[str, float]:
  """Trains one network for `warm_up + steps` steps and times the latter."""
  torch.manual_seed(seed)
  model = Language()
  m = torch.randint(-3, 3, (3,))
  optimizer = torch.optim.AdamW(
      model.parameters(), lr=0.01, weight_decay=1e-4, fused=True
  )
  for step in range(warm_up + steps):
    if step == warm_up:
      start = time.perf_counter()
    for group in optimizer.param_groups:
      group["lr"] = learning_rate(step)
    tokens = sample_strings(m)
    logits = model(tokens[:-1])
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
  seconds = time.perf_counter() - start
  return {"ms_per_step": 1000 * seconds / steps, "loss": loss.item()}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--steps", type=int, default=1000, help="steps timed")
  parser.add_argument("--seed", type=int, default=0)
  arguments = parser.parse_args()
  if arguments.steps < 1:
    parser.error("--steps must be at least 1")
  torch.set_num_threads(1)  # one process per core is faster than threads
  print(json.dumps(train(arguments.steps, arguments.seed)), flush=True)


if __name__ == "__main__":
  main()
