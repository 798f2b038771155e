"""Torch models as people have them are read as they are, or refused."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from tests.interop.networks import assert_same_bits
from weightspace.interop import ArgumentNames, tensors
from weightspace.interop import torch as interop
from weightspace.rnn import RNNSpec

_FLAGS = ArgumentNames("--prefix", "--readout", "--embedding", "--verify_with")


def _arrays(*, biased=(), **shapes):
  """A state dict of random weights in this order; __ is a dot."""
  generator = np.random.default_rng(0)
  result = {}
  for name, shape in shapes.items():
    name = name.replace("__", ".")
    if name == "rnn":
      inputs, hidden = shape
      result["rnn.weight_ih_l0"] = generator.normal(size=(hidden, inputs))
      result["rnn.weight_hh_l0"] = generator.normal(size=(hidden, hidden))
      result["rnn.bias_ih_l0"] = generator.normal(size=hidden)
      result["rnn.bias_hh_l0"] = generator.normal(size=hidden)
    else:
      result[f"{name}.weight"] = generator.normal(size=shape)
      if name in biased:
        result[f"{name}.bias"] = generator.normal(size=shape[0])
  return {name: np.float32(array) for name, array in result.items()}


def _elman(arrays, xs):
  """Outputs in NumPy, [T, V], of what the recurrent module reads, [T, E]."""
  hidden, states = np.zeros(len(arrays["rnn.bias_hh_l0"])), []
  for x in xs:
    hidden = np.tanh(
        arrays["rnn.weight_ih_l0"] @ x + arrays["rnn.bias_ih_l0"]
        + arrays["rnn.weight_hh_l0"] @ hidden + arrays["rnn.bias_hh_l0"]
    )  # fmt: skip
    states.append(hidden)
  return np.array(states) @ arrays["fc.weight"].T + arrays["fc.bias"]


TOKENS = np.array([0, 3, 1, 1, 2, 5])
USUAL = _arrays(emb=(6, 3), rnn=(3, 4), fc=(2, 4), biased=["fc"])
SORTED = dict(sorted(USUAL.items()))  # as a .safetensors file has them


@pytest.mark.parametrize("arrays", [USUAL, SORTED])
@pytest.mark.parametrize(
    "names",
    [
        {},
        {"recurrent": "rnn", "readout": "fc"},
        {"recurrent": "rnn", "readout": "fc", "embedding": "emb"},
        {"embedding": "emb"},
    ],
)
def test_an_embedding_becomes_a_part_of_the_first_layer(arrays, names):
  rnn, weights = interop.load(arrays, **names)
  assert rnn.spec == RNNSpec("elman", (4,), 6, 2)
  np.testing.assert_allclose(
      weights.layers[0].wx[0],
      USUAL["rnn.weight_ih_l0"] @ USUAL["emb.weight"].T,
      rtol=1e-5, atol=1e-6,
  )  # fmt: skip
  ys = jax.jit(rnn.unroll)(weights, np.eye(6, dtype=np.float32)[TOKENS])
  expected = _elman(USUAL, USUAL["emb.weight"][TOKENS])
  np.testing.assert_allclose(ys, expected, atol=1e-5)


def test_a_linear_input_layer_becomes_a_part_of_the_first_layer():
  arrays = _arrays(
      proj=(3, 5), rnn=(3, 4), fc=(2, 4), biased=["proj", "fc"]
  )
  rnn, weights = interop.load(arrays)
  assert rnn.spec == RNNSpec("elman", (4,), 5, 2)
  xs = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
  expected = _elman(arrays, xs @ arrays["proj.weight"].T + arrays["proj.bias"])
  ys = jax.jit(rnn.unroll)(weights, xs)
  np.testing.assert_allclose(ys, expected, atol=1e-5)
  in_order_of_names = dict(sorted(arrays.items()))
  for names in ({}, {"recurrent": "rnn", "readout": "fc"}):
    with pytest.raises(ValueError, match=r"'proj.*embedding="):
      interop.load(in_order_of_names, **names)
  assert_same_bits(
      interop.load(in_order_of_names, embedding="proj").weights, weights
  )


def test_the_order_in_a_file_says_nothing(tmp_path):
  arrays = _arrays(fc=(3, 4), rnn=(3, 4), biased=["fc"])
  with pytest.raises(ValueError, match=r"'fc' may be .* a Linear that"):
    interop.load(arrays)  # in the order of registration
  arrays["fc.bias"] = arrays["fc.bias"].astype(np.float16)
  tensors.write(tmp_path / "x.safetensors", arrays)
  written = safetensors.numpy.load_file(tmp_path / "x.safetensors")
  assert list(written) != sorted(arrays)
  network = interop.load(tmp_path / "x.safetensors")
  assert network.rnn.spec == RNNSpec("elman", (4,), 3, 3)


def test_half_a_network_that_may_be_read_otherwise_is_refused():
  embedding = _arrays(emb=(6, 4), rnn=(4, 4))
  with pytest.raises(ValueError, match=r"'emb' may be .* an Embedding"):
    interop.load(embedding)
  with pytest.raises(ValueError, match=r"it with --readout='emb'"):
    interop.load(embedding, names=_FLAGS)
  assert interop.load(embedding, readout="emb").rnn.spec.outputs == 6
  below = _arrays(proj=(4, 4), rnn=(4, 4), biased=["proj"])
  with pytest.raises(ValueError, match=r"'proj' may be .* a Linear that"):
    interop.load(below)
  above = _arrays(rnn=(4, 4), head=(4, 4), biased=["head"])
  assert interop.load(above).rnn.spec == RNNSpec("elman", (4,), 4, 4)
  square = _arrays(emb=(4, 4), rnn=(4, 3), fc=(2, 3), biased=["fc"])
  with pytest.raises(ValueError, match=r"in 2 ways.* with verify_with="):
    interop.load(square)


@pytest.mark.parametrize(
    "arrays, names, message",
    [
        (
            _arrays(rnn=(3, 4), mid=(4, 4), fc=(2, 4), biased=["mid", "fc"]),
            {"recurrent": "rnn", "readout": "fc"},
            r"'mid' of the state dict may stand between",
        ),
        (
            _arrays(emb=(9, 5), proj=(3, 5), rnn=(3, 4), fc=(2, 4)),
            {"recurrent": "rnn", "readout": "fc", "embedding": "proj"},
            r"'emb' of the state dict may stand between",
        ),
        (
            _arrays(emb=(9, 5), proj=(3, 5), rnn=(3, 4), fc=(2, 4)),
            {"recurrent": "rnn", "readout": "fc"},
            r"may read the outputs of 'proj'.*--embedding='none'",
        ),
        (
            _arrays(emb=(9, 5), proj=(3, 5), rnn=(3, 4), fc=(2, 4)),
            {},
            r"Several Linear layers in a row must be multiplied into one",
        ),
        (
            USUAL | {"fc.scale": np.ones(2, np.float32)},
            {"recurrent": "rnn", "readout": "fc"},
            r"not understood: 'fc\.scale'",
        ),
        (USUAL, {"embedding": "fc"}, r"'fc' has a weight of \(2, 4\), exp"),
        (USUAL, {"embedding": "no"}, r"--embedding: .* has no no\.weight"),
        (
            USUAL | {"b.weight_hh_l0": np.zeros((4, 4), np.float32)},
            {},
            r"2 recurrent modules.*name it with --prefix=",
        ),
        (
            USUAL | {
                "low.weight_ih_l0": np.zeros((3, 6), np.float32),
                "low.weight_hh_l0": np.zeros((3, 3), np.float32),
            },
            {"recurrent": "rnn", "readout": "fc"},
            r"'low' of .* may be stacked with 'rnn': name all .*--prefix=",
        ),
    ],
)  # fmt: skip
def test_what_may_take_part_is_refused(arrays, names, message):
  with pytest.raises(ValueError, match=message):
    interop.load(arrays, **names, names=_FLAGS)


@pytest.mark.parametrize("names", [{}, {"recurrent": "rnn", "readout": "fc"}])
@pytest.mark.parametrize(
    "tensor, stored, advice",
    [
        ("fc.bias", ("{}_orig", "{}_mask"), r"prune\.remove\(module, 'bias'"),
        ("fc.weight", ("{}_orig", "{}_mask"), r"prune\.remove"),
        ("rnn.bias_ih_l0", ("{}_orig", "{}_mask"), r"remove\(.*'bias_ih_l0'"),
        ("rnn.weight_hh_l0", ("{}_g", "{}_v"), r"remove_weight_norm"),
        ("fc.weight", ("{}_orig", "{}_u", "{}_v"), r"remove_spectral_norm"),
        (
            "fc.bias", ("fc.parametrizations.bias.original",),
            r"remove_parametrizations\(module, 'bias'\)",
        ),
        (
            "rnn.weight_hh_l0",
            ("rnn.parametrizations.weight_hh_l0.original0",),
            r"remove_parametrizations\(module, 'weight_hh_l0'\)",
        ),
    ],
)  # fmt: skip
def test_weights_that_are_computed_are_refused(names, tensor, stored, advice):
  arrays = dict(USUAL)
  array = arrays.pop(tensor)
  arrays |= {name.format(tensor): array for name in stored}
  with pytest.raises(ValueError, match=rf"computed from others.*{advice}"):
    interop.load(arrays, **names)


def test_outputs_decide_between_readings():
  square = _arrays(emb=(6, 6), rnn=(6, 4), fc=(2, 4), biased=["fc"])
  for table in (square["emb.weight"], square["emb.weight"].T):  # or a Linear
    ys = _elman(square, table[TOKENS])
    for names in (
        {}, {"recurrent": "rnn", "readout": "fc"}, {"embedding": "emb"},
    ):  # fmt: skip
      weights = interop.load(
          square, verify_with=(TOKENS, ys), **names
      ).weights
      expected = square["rnn.weight_ih_l0"] @ table.T
      np.testing.assert_allclose(weights.layers[0].wx[0], expected, rtol=1e-4)
      with pytest.raises(ValueError, match=r"verify_with"):
        interop.load(square, **names)
  with pytest.raises(ValueError, match=r"verify_with: outputs .* differ by"):
    interop.load(square, verify_with=(TOKENS, ys + 1))


def test_outputs_of_the_model_are_compared():
  batch = np.stack([TOKENS, TOKENS[::-1]])  # batch first
  ys = np.stack([_elman(USUAL, USUAL["emb.weight"][row]) for row in batch])
  for verify_with in (
      (batch, ys),
      (batch.T, ys.swapaxes(0, 1)),
      (batch, ys[:, -1]),
      (TOKENS, ys[0]),
      (np.eye(6)[TOKENS], ys[0]),
      (TOKENS, ys[0, -1]),
  ):
    interop.load(USUAL, verify_with=verify_with)
  relu = ys + 0.14
  with pytest.raises(ValueError, match=r"--verify_with: .* differ by 0\.14,"):
    interop.load(USUAL, verify_with=(batch, relu), names=_FLAGS)
  interop.load(USUAL, verify_with=(batch, relu), tolerance=0.2)


@pytest.mark.parametrize(
    "verify_with, message",
    [
        ((TOKENS,), "must be the inputs and outputs"),
        ((TOKENS + 1, np.zeros((6, 2))), "tokens go from 1 to 6"),
        ((TOKENS[:1], np.zeros((1, 2))), "at least two steps"),
        ((TOKENS, np.zeros((6, 3))), "do not belong together"),
        ((np.zeros((6, 5)), np.zeros((6, 2))), r"inputs have shape \(6, 5\)"),
        ((TOKENS, np.full((6, 2), np.nan)), "not finite"),
        ((TOKENS, np.zeros((6, 2), int)), "outputs have dtype int"),
    ],
)
def test_what_cannot_be_compared_is_refused(verify_with, message):
  with pytest.raises(ValueError, match=message):
    interop.load(USUAL, verify_with=verify_with)


# With torch itself


def _usual(torch, between=None, cell="LSTM"):
  class Usual(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.emb = torch.nn.Embedding(6, 5, padding_idx=0)
      self.rnn = getattr(torch.nn, cell)(5, 7, 2, batch_first=True)
      if between is not None:
        self.between = between
      self.fc = torch.nn.Linear(7, 3)

    def forward(self, tokens):
      hidden = self.rnn(self.emb(tokens))[0]
      return self.fc(hidden if between is None else self.between(hidden))

  torch.manual_seed(0)
  return Usual()


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_live_the_usual_model(torch, cell):
  model = _usual(torch, cell=cell)
  with torch.no_grad():
    model.emb.weight[0] = 0.5  # of padding; used as it is
  tokens = torch.randint(0, 6, (4, 9))
  check = tokens, model(tokens)
  network = interop.load(model, verify_with=check)
  assert (network.rnn.spec.inputs, network.rnn.spec.outputs) == (6, 3)
  named = interop.load(model, recurrent="rnn", readout="fc")
  assert_same_bits(named.weights, network.weights)
  assert_same_bits(interop.load(model.state_dict()).weights, network.weights)


@pytest.mark.parametrize("names", [{}, {"recurrent": "rnn", "readout": "fc"}])
def test_live_what_stands_between_is_refused(torch, names):
  nn = torch.nn
  for module in (
      nn.ReLU(), nn.LayerNorm(7, elementwise_affine=False), nn.Tanh(),
      nn.BatchNorm1d(7, affine=False, track_running_stats=False),
      nn.Sequential(nn.GELU()),
  ):  # fmt: skip
    with pytest.raises(ValueError, match=r"'between\S*' is a \w+, which may"):
      interop.load(_usual(torch, module), **names)
  for module in (nn.Dropout(0.5), nn.Identity()):
    interop.load(_usual(torch, module).eval(), **names)
  with pytest.raises(ValueError, match=r"Linear layers in a row"):
    interop.load(
        _usual(torch, nn.Linear(7, 7)), embedding="emb", **names
    )
  model = _usual(torch, nn.ReLU())  # of which a state dict shows nothing
  tokens = torch.randint(0, 6, (4, 9))
  interop.load(model.state_dict(), **names)
  with pytest.raises(ValueError, match=r"verify_with: .* differ by 0\.\d+"):
    interop.load(
        model.state_dict(), verify_with=(tokens, model(tokens)), **names
    )


def test_live_types_are_those_of_the_module(torch):
  nn = torch.nn

  class Doubled(nn.LSTM):
    def forward(self, xs):
      return 2 * super().forward(xs)[0]

  head = nn.Linear(5, 5)
  for parts, message in (
      ({"emb": nn.Embedding(6, 5), "rnn": nn.LSTM(5, 5)}, "0 Linear readouts"),
      ({"proj": nn.Linear(5, 5), "rnn": nn.LSTM(5, 5)}, "'proj' may be the"),
      ({"rnn": Doubled(5, 5), "fc": head}, "rnn is a Doubled, expected nn.LS"),
      (
          {"emb": nn.Embedding(6, 5, max_norm=1.0), "rnn": nn.LSTM(5, 5),
           "fc": head},
          "emb is an Embedding with max_norm",
      ),
      (
          {"emb": nn.EmbeddingBag(6, 5), "rnn": nn.LSTM(5, 5), "fc": head},
          "has more than .*'emb.weight'",
      ),
  ):  # fmt: skip
    with pytest.raises(ValueError, match=message):
      interop.load(nn.ModuleDict(parts))
  square = {"emb": nn.Embedding(5, 5), "rnn": nn.LSTM(5, 5), "fc": head}
  network = interop.load(nn.ModuleDict(square))
  tokens = torch.randint(0, 5, (9, 2))
  ys = head(square["rnn"](square["emb"](tokens))[0])
  interop.load(nn.ModuleDict(square), verify_with=(tokens, ys))
  assert network.rnn.spec.inputs == 5


def test_live_a_module_of_two_names(torch):
  rnn, fc = torch.nn.GRU(4, 4), torch.nn.Linear(4, 2)
  twice = torch.nn.ModuleDict({"low": rnn, "high": rnn, "fc": fc})
  xs = torch.randn(5, 4)
  network = interop.load(
      twice, recurrent=("low", "high"),
      verify_with=(xs, fc(rnn(rnn(xs)[0])[0])),
  )  # fmt: skip
  assert network.rnn.spec.hidden == (4, 4)


def test_live_pruned_and_parametrised_modules(torch):
  utils = torch.nn.utils
  prune = pytest.importorskip("torch.nn.utils.prune")
  model = _usual(torch)
  prune.l1_unstructured(model.fc, "bias", amount=0.5)
  for names in ({}, {"recurrent": "rnn", "readout": "fc"}):
    with pytest.raises(ValueError, match=r"prune\.remove\(module, 'bias'\)"):
      interop.load(model, **names)
  prune.remove(model.fc, "bias")
  interop.load(model)
  utils.parametrizations.weight_norm(model.rnn, "weight_hh_l1")
  with pytest.raises(ValueError, match=r"remove_parametrizations"):
    interop.load(model, recurrent="rnn", readout="fc")


def test_live_a_checkpoint_of_training(torch, tmp_path):
  model = _usual(torch)
  weights = interop.load(model).weights
  path, state = tmp_path / "x.pt", model.state_dict()
  for name in ("state_dict", "net"):
    torch.save({name: state, "step": 3, "optimizer": {"state": {}}}, path)
    assert_same_bits(interop.load(path).weights, weights)
  torch.save({"model": state, "ema": state}, path)
  with pytest.raises(ValueError, match=r"several state dicts.* 'model', 'ema'"):
    interop.load(path)
  torch.save({"net": {"fc.weight": state["fc.weight"]}, "step": 3}, path)
  with pytest.raises(ValueError, match=r"0 recurrent .* holds 'net', 'step'"):
    interop.load(path)
  torch.save(model.rnn, path)
  with pytest.raises(ValueError, match=r"pickled .*save model.state_dict"):
    interop.load(path)
  for content, message in ((b"", "is empty; save"), (b"hello", "is damaged")):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
      interop.load(path)
