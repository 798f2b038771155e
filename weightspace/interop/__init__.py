"""Conversion of networks from and to torch and Flax.

    from weightspace.interop import torch as from_torch

    rnn, weights = from_torch.load("lstm.safetensors")

Converting arrays imports neither library.
"""

from typing import NamedTuple

from weightspace.rnn import RNN
from weightspace.types import Weights

NO_EMBEDDING = "none"  # in place of the name of an input layer: there is none


class Network(NamedTuple):
  """One network: its architecture's functions and its weights."""

  rnn: RNN
  weights: Weights  # float32; copies


class ArgumentNames(NamedTuple):
  """What messages call the arguments of `torch.load`; launchers have flags."""

  recurrent: str = "recurrent"
  readout: str = "readout"
  embedding: str = "embedding"
  verify_with: str = "verify_with"
