"""Flax's networks become ours and go back, bit for bit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from tests.interop.networks import assert_same_bits, fill, networks
from weightspace.interop import flax as interop
from weightspace.rnn import RNNSpec, make_rnn

MODULES = {
    "lstm": (nn.LSTMCell, nn.OptimizedLSTMCell),
    "gru": (nn.GRUCell,),
    "elman": (nn.SimpleCell,),
}


def sequential(cell, hidden, outputs, module=0):
  make = MODULES[cell][module]
  return nn.Sequential(
      [*(nn.RNN(make(h)) for h in hidden), nn.Dense(outputs)]
  )


def randomised(params, seed=0):
  """Flax begins with biases of 0, which would hide where they go."""
  generator = np.random.default_rng(seed)
  return jax.tree.map(
      lambda a: generator.standard_normal(a.shape).astype(np.float32), params
  )


@pytest.mark.parametrize(
    "cell, module",
    [(cell, i) for cell in MODULES for i in range(len(MODULES[cell]))],
)
def test_outputs_and_parameters(cell, module):
  hidden = (5, 4) if cell == "gru" else (4,)
  model = sequential(cell, hidden, 3, module)
  xs = jax.random.normal(jax.random.key(1), (20, 2), jnp.float32)
  variables = randomised(jax.eval_shape(model.init, jax.random.key(0), xs))
  network = interop.load(variables)
  assert network.rnn.spec == RNNSpec(cell, hidden, 2, 3)
  ys = jax.jit(network.rnn.unroll)(network.weights, xs)
  np.testing.assert_allclose(ys, model.apply(variables, xs), atol=1e-5)
  assert_same_bits(interop.to_params(*network), variables)


@given(networks())
def test_from_ours_and_back_computes_the_same(network):
  rnn, weights = network
  variables = interop.to_params(rnn, weights)
  network = interop.load(variables)
  assert network.rnn.spec == rnn.spec
  assert_same_bits(interop.to_params(*network), variables)
  for a, b in zip(network.weights.layers, weights.layers):
    assert_same_bits((a.wx, a.wh), (b.wx, b.wh))
    np.testing.assert_array_equal(
        (a.bx + a.bh)[:2], (b.bx + b.bh)[:2]
    )
  if rnn.spec.cell == "gru":  # both biases of n are kept
    for a, b in zip(network.weights.layers, weights.layers):
      assert_same_bits((a.bx[2], a.bh[2]), (b.bx[2], b.bh[2]))
  assert_same_bits(network.weights.readout, weights.readout)


TOKENS = np.array([0, 3, 1, 5, 2])


def _variables(*modules, inputs=5):
  """(model, variables, inputs, outputs) of a stack of modules."""
  model = nn.Sequential(list(modules))
  xs = TOKENS
  if not isinstance(modules[0], nn.Embed):
    xs = np.random.default_rng(1).normal(size=(5, inputs)).astype(np.float32)
  variables = randomised(jax.eval_shape(model.init, jax.random.key(0), xs))
  return variables, xs, model.apply(variables, xs)


@pytest.mark.parametrize(
    "below, names, inputs",
    [
        (nn.Embed(6, 5), {}, 6),
        (nn.Embed(6, 5), {"layers": "layers_1/cell", "readout": "layers_2"}, 6),
        (nn.Embed(6, 5), {"embedding": "layers_0"}, 6),
        (nn.Dense(5), {}, 2),
        (nn.Dense(5), {"layers": "layers_1/cell", "readout": "layers_2"}, 2),
    ],
)
def test_an_input_layer_becomes_a_part_of_the_first_layer(below, names, inputs):
  variables, xs, ys = _variables(
      below, nn.RNN(nn.GRUCell(4)), nn.Dense(3), inputs=2
  )
  network = interop.load(variables, verify_with=(xs, ys), **names)
  assert network.rnn.spec == RNNSpec("gru", (4,), inputs, 3)


class Reversed(nn.Module):
  """Its names tell no order."""

  def setup(self):
    self.above = nn.Dense(3)
    self.below = nn.Dense(5)
    self.rnn = nn.RNN(nn.GRUCell(4))

  def __call__(self, xs):
    return self.above(self.rnn(self.below(xs)))


def test_outputs_decide_what_names_do_not():
  xs = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
  model = Reversed()
  variables = randomised(jax.eval_shape(model.init, jax.random.key(0), xs))
  named = {"layers": "rnn/cell", "readout": "above"}
  with pytest.raises(ValueError, match=r"outputs of 'below': .*verify_with="):
    interop.load(variables, **named)
  network = interop.load(
      variables, verify_with=(xs, model.apply(variables, xs)), **named
  )
  assert_same_bits(
      interop.load(variables, embedding="below").weights, network.weights
  )


def _relu(xs):
  return nn.relu(xs)


def test_modules_without_parameters_are_noticed_by_their_outputs():
  variables, xs, ys = _variables(
      nn.RNN(nn.SimpleCell(4)), _relu, nn.Dense(3)
  )
  interop.load(variables)
  with pytest.raises(ValueError, match=r"verify_with: .* differ by \d"):
    interop.load(variables, verify_with=(xs, ys))


class Normalised(nn.Module):
  @nn.compact
  def __call__(self, xs):
    return nn.WeightNorm(nn.Dense(3))(nn.RNN(nn.SimpleCell(4))(xs))


def test_what_may_take_part_is_refused():
  cell = nn.RNN(nn.SimpleCell(5))
  named = {"layers": "layers_0/cell", "readout": "layers_2"}
  statistics = nn.BatchNorm(True, use_scale=False, use_bias=False)
  for modules, names, message in (
      ((nn.Dense(5), cell), {}, r"'layers_0' may be .* a Dense that"),
      ((nn.Embed(6, 5), cell), {}, "0 Dense readouts"),
      ((cell, nn.Dense(5), nn.Dense(3)), named, "'layers_1' .*stand between"),
      ((cell, statistics, nn.Dense(3)), {}, "'batch_stats/layers_1/mean'"),
      (
          (cell, nn.RNN(nn.SimpleCell(5)), nn.Dense(3)), named,
          "'layers_1/cell' .* may be stacked with",
      ),
  ):  # fmt: skip
    variables, *_ = _variables(*modules)
    with pytest.raises(ValueError, match=message):
      interop.load(variables, **names)
  xs = np.zeros((4, 2), np.float32)
  variables = randomised(
      jax.eval_shape(Normalised().init, jax.random.key(0), xs)
  )
  for names in ({}, {"layers": "SimpleCell_0", "readout": "Dense_0"}):
    with pytest.raises(ValueError, match=r"not understood: 'WeightNorm_0/De"):
      interop.load(variables, **names)
  masked = _params(layers_2={**_kernel(3, 2), "mask": np.ones(2)})
  with pytest.raises(ValueError, match=r"not understood: 'layers_2/mask'"):
    interop.load(
        masked, layers=["layers_0/cell", "layers_1/cell"], readout="layers_2"
    )


class Named(nn.Module):
  def setup(self):
    self.zeroth = nn.RNN(nn.SimpleCell(3))
    self.first = nn.RNN(nn.SimpleCell(3))
    self.out = nn.Dense(2, use_bias=False)

  def __call__(self, xs):
    return self.out(self.first(self.zeroth(xs)))


def test_more_than_ten_layers_are_in_the_order_of_their_numbers():
  rnn = make_rnn(RNNSpec("gru", (2,) * 12, 2, 2))
  weights = fill(rnn, 0)
  paths = [f"GRUCell_{k}" for k in range(12)]  # as nn.compact names them
  params = interop.to_params(rnn, weights, layers=paths, readout="Dense_0")
  shuffled = {"params": dict(sorted(params["params"].items()))}
  assert list(shuffled["params"])[:3] == ["Dense_0", "GRUCell_0", "GRUCell_1"]
  assert list(shuffled["params"])[3] == "GRUCell_10"
  network = interop.load(shuffled)
  for a, b in zip(network.weights.layers, weights.layers):
    assert_same_bits(a.wh, b.wh)


def test_names_that_tell_no_order():
  model = Named()
  xs = jax.random.normal(jax.random.key(1), (9, 3), jnp.float32)
  variables = randomised(jax.eval_shape(model.init, jax.random.key(0), xs))
  with pytest.raises(ValueError, match=r"order of the layers.*name them"):
    interop.load(variables)
  rnn, weights = interop.load(
      variables["params"], layers=("zeroth/cell", "first/cell")
  )
  np.testing.assert_allclose(
      jax.jit(rnn.unroll)(weights, xs), model.apply(variables, xs), atol=1e-5
  )
  assert not np.any(weights.readout.b)


def _params(**changes):
  rnn = make_rnn(RNNSpec("gru", (3, 3), 2, 2))
  params = interop.to_params(rnn, fill(rnn, 0))["params"]
  return {k: v for k, v in {**params, **changes}.items() if v is not None}


def _kernel(*shape):
  return {"kernel": np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    "params, message",
    [
        ({}, "no parameters of an LSTMCell"),
        (
            {"cell": dict.fromkeys(("if", "in", "hf", "hn"), _kernel(2, 2))},
            "'cell' is an MGUCell",
        ),
        (_params(layers_2=None), "0 Dense readouts of 3"),
        (_params(more=_kernel(3, 5)), "2 Dense readouts.*'more'.*name it"),
        (_params(norm={"scale": jnp.ones(3)}), "'norm/scale'.*name both"),
        (_params(layers_2={"kernel": np.full((3, 2), 0.1)}), "lose digits"),
        (_params(layers_2={**_kernel(3, 2), "bias": jnp.ones(3)}), r"\(3,\)"),
        (
            _params(layers_1={"cell": dict.fromkeys("ih", _kernel(3, 3))}),
            "elman, gru; all layers",
        ),
        (3, "expected nested parameters, got int"),
    ],
)
def test_refused(params, message):
  with pytest.raises(ValueError, match=message):
    interop.load(params)


def test_layers_that_do_not_follow_one_another():
  rnn = make_rnn(RNNSpec("gru", (3,), 2, 2))
  other = interop.to_params(rnn, fill(rnn, 0))["params"]["layers_0"]
  with pytest.raises(ValueError, match=r"layers_1/cell has 2 .* 3 outputs"):
    interop.load(_params(layers_1=other))
  other["cell"]["hr"] = _kernel(3, 2)
  with pytest.raises(ValueError, match=r"layers_0/cell/hr/kernel.*\(3, 2\)"):
    interop.load(_params(layers_0=other))
  other["cell"]["hr"] = jnp.ones((3, 3))
  with pytest.raises(ValueError, match=r"layers_0/cell/hr has no kernel"):
    interop.load(_params(layers_0=other))
  with pytest.raises(ValueError, match=r"'layers_5' is not a cell.*'layers_0"):
    interop.load(_params(), layers="layers_5")
  with pytest.raises(ValueError, match=r"'norm' is not a Dense.*'layers_2'"):
    interop.load(_params(), readout="norm")


def test_paths_on_the_way_out():
  rnn = make_rnn(RNNSpec("elman", (2, 3), 2, 2))
  weights = fill(rnn, 0)
  variables = interop.to_params(
      rnn, weights, layers=["SimpleCell_0", "SimpleCell_1"], readout="Dense_0"
  )
  assert set(variables["params"]) == {"SimpleCell_0", "SimpleCell_1", "Dense_0"}
  with pytest.raises(ValueError, match=r"2 distinct paths"):
    interop.to_params(rnn, weights, layers=["a"])
  with pytest.raises(ValueError, match=r"two parts of the network"):
    interop.to_params(rnn, weights, layers=["a", "b"], readout="b")
