"""LSTMs trained by PyTorch alone, on formal languages that an encoder lacks."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import torch

from weightspace import tasks
from weightspace.pretrained import PretrainedEncoder
from weightspace.tasks import TaskFamily

NOVEL = 25  # of 216 languages: surely among those that were held out
LENGTH = 42  # symbols of a string with BOS and padding
BOS, EOS = 4, 5


def languages(encoder: PretrainedEncoder) -> tuple[np.ndarray, TaskFamily]:
  """The most novel languages of the encoder's zoo, [NOVEL, 3] int32."""
  family = tasks.make(encoder.zoo.family, encoder.zoo.family_config)
  known = encoder.reference.tasks.astype(np.int32)
  novelty = np.asarray(jax.vmap(family.novelty)(known))
  return known[np.argsort(-novelty)[:NOVEL]], family


def strings(shifts: Sequence[int], numbers: np.ndarray) -> np.ndarray:
  """Strings of a language as tokens, [n, LENGTH]; `numbers` of a's, [n]."""
  tokens = np.full((len(numbers), LENGTH), EOS)
  for row, n in zip(tokens, numbers):
    counts = [n, *(n + m for m in shifts)]
    letters = np.repeat(np.arange(4), counts)
    row[: len(letters) + 1] = [BOS, *letters]
  return tokens


def train(
    shifts: Sequence[int], *, hidden: int, steps: int, seed: int
) -> tuple[Any, np.ndarray]:
  """Trains an LSTM of two layers with a read-out on a language.

  Returns:
    The module, and 1000 strings that it generates, [1000, LENGTH].
  """
  torch.manual_seed(seed)
  draws = np.random.default_rng(seed)
  low = max(0, -min(shifts))
  high = min(10, (LENGTH - 2 - sum(shifts)) // 4 + 1)
  model = torch.nn.ModuleDict({
      "lstm": torch.nn.LSTM(6, hidden, num_layers=2, batch_first=True),
      "readout": torch.nn.Linear(hidden, 6),
  })
  optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=1e-4)
  schedule = torch.optim.lr_scheduler.LinearLR(
      optimizer, 1.0, 0.3, total_iters=steps
  )
  eye = torch.eye(6)
  for _ in range(steps):
    batch = torch.as_tensor(strings(shifts, draws.integers(low, high, 32)))
    logits = model["readout"](model["lstm"](eye[batch[:, :-1]])[0])
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch[:, 1:].flatten()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
  return model, _sample(model, 1000)


def _sample(model, count):
  """Strings that the network generates, [count, LENGTH]."""
  eye, state = torch.eye(6), None
  token, tokens = torch.full((count,), BOS), []
  with torch.no_grad():
    for _ in range(LENGTH):
      tokens.append(token)
      hidden, state = model["lstm"](eye[token][:, None], state)
      probabilities = model["readout"](hidden[:, 0]).softmax(dim=-1)
      token = torch.multinomial(probabilities, 1)[:, 0]
  return torch.stack(tokens, dim=1).numpy()
