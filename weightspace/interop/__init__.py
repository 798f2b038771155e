"""Networks of other libraries: `torch` and `flax`, both ways.

    from weightspace.interop import torch as from_torch

    rnn, weights = from_torch.load("lstm.safetensors")

Neither library is imported to read or write arrays.
"""

from typing import NamedTuple

from weightspace.rnn import RNN
from weightspace.types import Weights


class Network(NamedTuple):
  """One network: what can be done with it, and its weights."""

  rnn: RNN
  weights: Weights  # float32, copies: nothing is shared with the source
