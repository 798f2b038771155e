"""Zoos of state dicts as torch saves them."""

import numpy as np
import pytest

from weightspace import zoo

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

NETWORKS, SYMBOLS, STEPS = 8, 5, 6
SUFFIXES = ".pt", ".pth", ".ckpt"


def model(i):
  torch.manual_seed(i)
  cell = (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN)[i % 3]
  return torch.nn.ModuleDict({
      "embedding": torch.nn.Embedding(SYMBOLS, 3),
      "rnn": cell(3, 4, batch_first=True),
      "readout": torch.nn.Linear(4, 2),
  })


def answer(network, tokens):
  with torch.no_grad():
    hidden = network["rnn"](network["embedding"](torch.as_tensor(tokens)))[0]
    return network["readout"](hidden).numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("torch")
  tokens = np.random.default_rng(0).integers(0, SYMBOLS, (4, STEPS))
  outputs = []
  for i in range(NETWORKS):
    network = model(i)
    state = network.state_dict()
    if i % 3:  # a checkpoint of training
      state = {"state_dict": state, "epoch": i}
    torch.save(state, folder / f"{i}{SUFFIXES[i % 3]}")
    outputs.append(answer(network, tokens))
  np.savez(folder / "inputs.npz", inputs=tokens, outputs=np.stack(outputs[:3]))
  np.savez(folder / "every.npz", inputs=tokens, outputs=np.stack(outputs))
  return folder


def test_networks_answer_as_their_models(folder):
  zoo.from_networks(folder / "zoo", folder / "?.*", folder / "inputs.npz")
  opened = zoo.open(folder / "zoo")
  every = np.load(folder / "every.npz")["outputs"]
  log_probs = torch.log_softmax(torch.as_tensor(every), -1).numpy()
  for row, net_id in enumerate(opened.columns["net_id"]):
    np.testing.assert_allclose(
        opened.rollouts([row]).log_probs[0], log_probs[net_id], atol=2e-3
    )
  assert opened.rnns[0].spec.inputs == SYMBOLS  # the embedding is folded


def test_models_that_compute_something_else_are_named(folder):
  arrays = dict(np.load(folder / "inputs.npz"))
  arrays["outputs"][1] *= 3
  with pytest.raises(ValueError, match=r"1\.pth: outputs.* differ by"):
    zoo.from_networks(folder / "refused", folder / "?.*", arrays)
  assert not (folder / "refused").exists()
