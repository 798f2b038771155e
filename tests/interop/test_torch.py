"""Torch's networks become ours and go back, bit for bit.

What needs torch itself is skipped without it; golden values made with it and
arrays with its names need none.
"""

import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.interop.networks import assert_same_bits, fill, networks
from weightspace.interop import flax as flax_format
from weightspace.interop import tensors
from weightspace.interop import torch as interop
from weightspace.rnn import RNNSpec, make_rnn

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "torch_rnn.npz"


def state_dict(cell="lstm", hidden=(4, 4), inputs=3, outputs=2, **names):
  rnn = make_rnn(RNNSpec(cell, hidden, inputs, outputs))
  return interop.to_state_dict(rnn, fill(rnn, 0), **names)


@given(networks(equal_widths=True), st.sampled_from(["", "rnn", "a.b.lstm"]))
def test_one_module_and_back(network, name):
  rnn, weights = network
  arrays = interop.to_state_dict(rnn, weights, recurrent=name, readout="head")
  network = interop.load(arrays)
  assert network.rnn.spec == rnn.spec
  assert_same_bits(network.weights, weights)
  again = interop.to_state_dict(*network, recurrent=name, readout="head")
  assert list(again) == list(arrays)
  assert_same_bits(again, arrays)


@given(networks())
def test_a_module_for_each_layer_and_back(network):
  rnn, weights = network
  names = [f"layers.{k}" for k in range(len(rnn.spec.hidden))]
  arrays = interop.to_state_dict(rnn, weights, recurrent=names, readout="")
  network = interop.load(arrays, recurrent=names, readout="")
  assert network.rnn.spec == rnn.spec
  assert_same_bits(network.weights, weights)


@given(networks(equal_widths=True))
def test_through_a_file(tmp_path_factory, network):
  rnn, weights = network
  path = tmp_path_factory.getbasetemp() / "network.safetensors"
  interop.save(path, rnn, weights)
  network = interop.load(path)
  assert network.rnn.spec == rnn.spec
  assert_same_bits(network.weights, weights)


def test_golden_networks_are_read_as_they_are():
  """Their answers are compared with torch's in tests/test_torch.py."""
  with np.load(GOLDEN, allow_pickle=False) as arrays:
    cases = sorted({name.split("/")[0] for name in arrays})
    for case in cases:
      cell, inputs, layers, outputs = case.split("-")
      hidden, depth = map(int, layers.split("x"))
      vector = arrays[f"{case}/weights"]
      sizes = hidden, depth, int(inputs), int(outputs)
      network = interop.load(_torch_names(vector, interop.CELLS[cell], sizes))
      assert network.rnn.spec == RNNSpec(
          cell, (hidden,) * depth, int(inputs), int(outputs)
      )
      flat = network.rnn.flatten(network.weights)
      np.testing.assert_array_equal(flat, vector)


def _torch_names(vector, module, sizes):
  """A state dict from torch's flat parameters, as its documentation says."""
  hidden, depth, inputs, outputs = sizes
  rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[module] * hidden
  shapes = {}
  for k in range(depth):
    shapes |= {
        f"layers.weight_ih_l{k}": (rows, hidden if k else inputs),
        f"layers.weight_hh_l{k}": (rows, hidden),
        f"layers.bias_ih_l{k}": (rows,),
        f"layers.bias_hh_l{k}": (rows,),
    }
  shapes |= {"readout.weight": (outputs, hidden), "readout.bias": (outputs,)}
  ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
  assert ends[-1] == len(vector)
  return {
      name: part.reshape(shape)
      for (name, shape), part in zip(
          shapes.items(), np.split(vector, ends[:-1])
      )
  }


def test_missing_biases_are_zeros_and_come_out_as_zeros():
  arrays = state_dict("gru")
  without = {k: a for k, a in arrays.items() if "bias" not in k}
  network = interop.load(without)
  out = interop.to_state_dict(*network)
  assert set(out) == set(arrays)
  for name, array in out.items():
    assert np.all(array == without.get(name, 0))


def test_nothing_is_shared_with_the_source():
  arrays = state_dict()
  network = interop.load(arrays)
  before = jax.tree.map(np.array, network.weights)
  for array in arrays.values():
    array[...] = 7
  assert_same_bits(network.weights, before)
  out = interop.to_state_dict(*network)
  out["rnn.weight_hh_l0"][...] = 7
  assert_same_bits(network.weights, before)


def _with(**changes):
  """The state dict with arrays added, replaced or, where None, left out."""
  arrays = state_dict()
  for name, array in changes.items():
    arrays[name.replace("__", ".")] = array
  return {k: a for k, a in arrays.items() if a is not None}


_BLANK = np.zeros((16, 4), np.float32)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({}, "0 recurrent modules"),
        (_with(other__weight_ih_l0=_BLANK), "2 recurrent modules.*name it"),
        (_with(rnn__weight_ih_l0_reverse=_BLANK), "bidirectional"),
        (_with(rnn__weight_hr_l0=_BLANK), r"projections \(proj_size\)"),
        (_with(rnn__bias_hh_l1=None), "expected weight_ih, weight_hh, bias_ih"),
        (_with(rnn__weight_ih_l5=_BLANK), "nothing; "),
        (_with(rnn__weight_ih_l9999=_BLANK), "10000 layers"),
        (_with(rnn__weight_hh_l0=_BLANK[:8]), r"\(8, 4\), expected \[4 H, H\]"),
        (_with(rnn__weight_hh_l1=_BLANK[:12]), r"\(16, 4\), expected \(12, 4"),
        (_with(rnn__weight_ih_l1=_BLANK[:, :3]), "3 inputs.* 4 outputs"),
        (_with(rnn__bias_ih_l0=_BLANK), r"\(16, 4\), expected \(16,\)"),
        (_with(rnn__weight_ih_l0=_BLANK[:, :0]), r"\(16, 0\)"),
        (_with(rnn__weight_ih_l0=_BLANK[0, 0]), r"shape \(\)"),
        (_with(rnn__weight_hh_l0=np.zeros((0, 0), "f4")), r"\(0, 0\)"),
        (_with(rnn__weight_ih_l0=np.full((16, 3), 0.1)), "lose digits"),
        (_with(readout__weight=None), "0 Linear readouts of 4 hidden"),
        (_with(embed__weight=_BLANK), "2 Linear readouts.*'embed'.*name it"),
        (_with(readout__bias=_BLANK[0]), r"\(4,\), expected \(2,\)"),
        (_with(norm__weight=_BLANK[0]), "has more than.*'norm.weight'"),
        (3, "expected a module, a state dict or the path"),
        ("x.onnx", "expected a state dict as .safetensors"),
    ],
)
def test_refused(arrays, message):
  with pytest.raises(ValueError, match=message):
    interop.load(arrays)


def test_what_else_there_is_is_ignored_where_both_are_named():
  arrays = _with(norm__weight=_BLANK[0], other__weight_ih_l0=_BLANK)
  network = interop.load(arrays, recurrent="rnn", readout="readout")
  assert network.rnn.spec == RNNSpec("lstm", (4, 4), 3, 2)
  with pytest.raises(ValueError, match=r"no recurrent module 'lstm'.*'rnn'"):
    interop.load(arrays, recurrent="lstm")
  with pytest.raises(ValueError, match=r"no head\.weight"):
    interop.load(arrays, recurrent="rnn", readout="head")


def test_layers_of_different_cells_are_refused():
  arrays = state_dict("lstm", (4,), 3, recurrent="a") | state_dict(
      "gru", (4,), 4, recurrent="b"
  )
  with pytest.raises(ValueError, match=r"a is LSTM and b is GRU"):
    interop.load(arrays, recurrent=("a", "b"))
  arrays = state_dict("gru", (4,), 3, recurrent="a") | state_dict(
      "gru", (4,), 3, recurrent="b"
  )
  with pytest.raises(ValueError, match=r"layer 1 has 3 .*layer 0 has 4"):
    interop.load(arrays, recurrent=("a", "b"))


def test_on_the_way_out():
  rnn = make_rnn(RNNSpec("gru", (3, 4), 2, 2))
  weights = fill(rnn, 1)
  with pytest.raises(ValueError, match=r"the same width, .* \(3, 4\)"):
    interop.to_state_dict(rnn, weights)
  with pytest.raises(ValueError, match=r"2 modules, .* for 2 layers|1 modules"):
    interop.to_state_dict(rnn, weights, recurrent=("a", "a"))


def _wrong_weights():
  """(RNN, weights that are not its own, message), of each kind."""
  lstm = make_rnn(RNNSpec("lstm", (3,), 2, 2))
  gru = make_rnn(RNNSpec("gru", (3,), 2, 2))
  weights = fill(lstm, 0)
  readout = weights.readout
  yield (
      lstm, jax.tree.map(lambda leaf: np.stack([leaf] * 4), weights),
      r"layers/0/wx has shape \(4, 4, 3, 2\).* a batch",
  )  # fmt: skip
  yield gru, weights, r"layers/0/wx .*\(4, 3, 2\), expected \(3, 3, 2\) of gru"
  yield (
      lstm, weights._replace(readout=readout._replace(b=readout.w)),
      r"readout/b has shape",
  )  # fmt: skip
  yield (
      lstm, weights._replace(layers=weights.layers * 2), "got 2 layers"
  )
  yield lstm, jax.tree.map(np.int32, weights), "dtype int32"
  yield lstm, jax.tree.map(lambda x: x * np.pi, jax.tree.map(
      np.float64, weights)), "lose digits"  # fmt: skip


def test_other_weights_than_the_architectures_are_not_written(tmp_path):
  for rnn, weights, message in _wrong_weights():
    with pytest.raises(ValueError, match=message):
      interop.save(tmp_path / "x.safetensors", rnn, weights)
    with pytest.raises(ValueError, match=message):
      flax_format.to_params(rnn, weights)
  assert not list(tmp_path.iterdir())


def test_a_cell_that_torch_has_not(plant):
  code = (ROOT / "weightspace" / "cells" / "elman.py").read_text()
  plant("weightspace.cells", "planted", code)
  rnn = make_rnn(RNNSpec("planted", (3,), 2, 2))
  with pytest.raises(ValueError, match=r"no module for the cell 'planted'"):
    interop.to_state_dict(rnn, fill(rnn, 0))


def test_an_untrusted_file_is_a_value_error(tmp_path):
  path = tmp_path / "x.safetensors"
  tensors.write(path, {"rnn.weight_hh_l0": np.zeros((3, 3, 3), np.int8)})
  with pytest.raises(ValueError):
    interop.load(path)
  with pytest.raises(FileNotFoundError):
    interop.load(tmp_path / "none.safetensors")


def test_torch_is_not_imported():
  program = (
      "import sys; sys.modules['torch'] = None\n"
      "import numpy as np\n"
      "from weightspace.interop import torch as interop\n"
      "names = 'weight_ih_l0', 'weight_hh_l0', 'weight'\n"
      "blank = dict.fromkeys(names, np.zeros((1, 1), np.float32))\n"
      "print(interop.load(blank).rnn.spec.cell)\n"
      "try: interop.load('x.pt')\n"
      "except ValueError as error: print(error)"
  )
  process = subprocess.run(
      [sys.executable, "-c", program],
      cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
  )
  assert process.stdout.startswith("elman\n")
  assert "torch is not installed" in process.stdout


# With torch itself


def _model(torch, cell, inputs, hidden, outputs, depth, **options):
  torch.manual_seed(0)
  module = getattr(torch.nn, interop.CELLS[cell])
  return torch.nn.ModuleDict({
      "core": module(inputs, hidden, depth, **options),
      "head": torch.nn.Linear(hidden, outputs),
  })


def _answers(model, xs):
  return model["head"](model["core"](xs)[0]).detach().numpy()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", interop.CELLS)
def test_live(torch, tmp_path, cell, bias):
  model = _model(torch, cell, 5, 7, 3, 2, bias=bias)
  xs = torch.randn(50, 4, 5)
  torch.save(model.state_dict(), tmp_path / "x.pt")
  torch.save({"state_dict": model.state_dict()}, tmp_path / "y.pth")
  network = interop.load(model)
  assert network.rnn.spec == RNNSpec(cell, (7, 7), 5, 3)
  ys = jax.jit(network.rnn.unroll)(network.weights, jnp.asarray(xs.numpy()))
  np.testing.assert_allclose(ys, _answers(model, xs), rtol=0, atol=1e-5)
  for saved in (model.state_dict(), tmp_path / "x.pt", tmp_path / "y.pth"):
    assert_same_bits(interop.load(saved).weights, network.weights)

  arrays = interop.to_state_dict(*network, recurrent="core", readout="head")
  other = _model(torch, cell, 5, 7, 3, 2)
  other.load_state_dict({k: torch.from_numpy(a) for k, a in arrays.items()})
  for name, tensor in model.state_dict().items():
    assert torch.equal(other.state_dict()[name], tensor)
  np.testing.assert_array_equal(_answers(other, xs), _answers(model, xs))


def test_live_half_precision_is_read_exactly(torch):
  model = _model(torch, "lstm", 5, 7, 3, 1)
  for dtype in (torch.bfloat16, torch.float16):
    network = interop.load(model.to(dtype))
    layer = network.weights.layers[0]
    expected = model["core"].weight_hh_l0.detach().float().numpy()
    np.testing.assert_array_equal(layer.wh.reshape(28, 7), expected)
  with pytest.raises(ValueError, match=r"lose digits as float32"):
    interop.load(_model(torch, "lstm", 5, 7, 3, 1).double().apply(_irrational))


def _irrational(module):
  for parameter in module.parameters(recurse=False):
    parameter.data[...] = 0.1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bidirectional": True}, "core is bidirectional"),
        ({"proj_size": 2}, "core has projections"),
        ({"nonlinearity": "relu"}, "core is an nn.RNN with ReLU"),
    ],
)
def test_live_refusals(torch, options, message):
  cell = "elman" if "nonlinearity" in options else "lstm"
  with pytest.raises(ValueError, match=message):
    interop.load(_model(torch, cell, 5, 7, 3, 1, **options))


def test_live_tensors_may_go_on_changing(torch):
  model = _model(torch, "gru", 2, 3, 2, 1)
  network = interop.load(model)
  before = jax.tree.map(np.array, network.weights)
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(1)
  assert_same_bits(network.weights, before)


class _Planted:
  """What an untrusted pickle might do."""

  def __reduce__(self):
    return (pathlib.Path.touch, (pathlib.Path("planted"),))


def test_live_pickles_run_nothing(torch, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  torch.save(_Planted(), "bad.pt")
  torch.save(torch.zeros(3), "tensor.pt")
  pathlib.Path("cut.pt").write_bytes(b"PK\3\4")
  for name, message in (
      ("bad.pt", "holds a pickled"), ("cut.pt", "is damaged"),
  ):  # fmt: skip
    with pytest.raises(ValueError, match=message):
      interop.load(name)
  with pytest.raises(ValueError, match=r"contains a Tensor, not a state dict"):
    interop.load("tensor.pt")
  with pytest.raises(FileNotFoundError):
    interop.load("none.pt")
  assert not pathlib.Path("planted").exists()
