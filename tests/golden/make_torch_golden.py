"""Makes torch_rnn.npz: what torch's RNNs answer, and their gradients.

  python tests/golden/make_torch_golden.py

Needs torch and numpy alone. The values let the tests compare with torch where
it is not installed; where it is, they compare with it directly too.
"""

import pathlib

import numpy as np
import torch

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}
SIZES = (  # inputs, hidden, layers, outputs
    (6, 8, 2, 6),
    (1, 5, 1, 3),
    (3, 4, 3, 2),
)
STEPS = 100


class Chain(torch.nn.Module):
  """Recurrent layers, one torch module each, and a linear read-out.

  Its `parameters()` are in the order of those of a `torch.nn.LSTM` of several
  layers, but the layers may differ in width.
  """

  def __init__(self, cell, inputs, hidden, outputs):
    super().__init__()
    sizes = (inputs, *hidden)
    self.layers = torch.nn.ModuleList(
        MODULES[cell](i, h) for i, h in zip(sizes, hidden)
    )
    self.readout = torch.nn.Linear(hidden[-1], outputs)

  def forward(self, xs):
    for layer in self.layers:
      xs, _ = layer(xs)
    return self.readout(xs)


class Stack(torch.nn.Module):
  """One torch module of several layers, and a linear read-out."""

  def __init__(self, cell, inputs, hidden, layers, outputs):
    super().__init__()
    self.layers = MODULES[cell](inputs, hidden, layers)
    self.readout = torch.nn.Linear(hidden, outputs)

  def forward(self, xs):
    return self.readout(self.layers(xs)[0])


def flat(tensors) -> np.ndarray:
  return torch.cat([t.detach().ravel() for t in tensors]).numpy()


def answers(model, xs) -> dict[str, np.ndarray]:
  """Weights, inputs, outputs, and the gradient of the mean squared output."""
  xs = torch.as_tensor(xs)
  ys = model(xs)
  gradients = torch.autograd.grad(ys.square().mean(), model.parameters())
  return {
      "weights": flat(model.parameters()),
      "inputs": xs.numpy(),
      "outputs": ys.detach().numpy(),
      "gradients": flat(gradients),
  }


def main():
  torch.manual_seed(0)
  arrays = {}
  for cell in MODULES:
    for inputs, hidden, layers, outputs in SIZES:
      model = Stack(cell, inputs, hidden, layers, outputs)
      case = f"{cell}-{inputs}-{hidden}x{layers}-{outputs}"
      for name, array in answers(model, torch.randn(STEPS, inputs)).items():
        arrays[f"{case}/{name}"] = array
  path = pathlib.Path(__file__).with_name("torch_rnn.npz")
  np.savez_compressed(path, **arrays)


if __name__ == "__main__":
  main()
