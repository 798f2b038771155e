"""Conversion of networks from and to torch and Flax.

    from weightspace.interop import torch as from_torch

    rnn, weights = from_torch.load("lstm.safetensors")

Converting arrays imports neither library.
"""

from typing import NamedTuple

from weightspace.rnn import RNN
from weightspace.types import Weights


class Network(NamedTuple):
  """One network: its architecture's functions and its weights."""

  rnn: RNN
  weights: Weights  # float32; copies
