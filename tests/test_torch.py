"""Equal to torch's recurrent modules: values, gradients, order of weights."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace.rnn import RNNSpec, make_rnn

pytestmark = pytest.mark.slow

GOLDEN = pathlib.Path(__file__).parent / "golden" / "torch_rnn.npz"


def _cases():
  with np.load(GOLDEN, allow_pickle=False) as arrays:
    return sorted({name.split("/")[0] for name in arrays})


def _spec(case):
  cell, inputs, layers, outputs = case.split("-")
  hidden, depth = layers.split("x")
  return RNNSpec(cell, (int(hidden),) * int(depth), int(inputs), int(outputs))


def check_equals(spec, weights, inputs, outputs, gradients):
  """One RNN's outputs and gradients, weights as torch's flat vector."""
  rnn = make_rnn(spec)

  def loss(vector):
    ys = rnn.unroll(rnn.unflatten(vector), inputs)
    return jnp.mean(jnp.square(ys)), ys

  actual, ys = jax.jit(jax.grad(loss, has_aux=True))(weights)
  np.testing.assert_allclose(ys, outputs, rtol=0, atol=1e-5)
  np.testing.assert_allclose(actual, gradients, rtol=1e-4, atol=1e-5)


def _golden(case):
  names = ("weights", "inputs", "outputs", "gradients")
  with np.load(GOLDEN, allow_pickle=False) as arrays:
    return {name: arrays[f"{case}/{name}"] for name in names}


@pytest.mark.parametrize("case", _cases())
def test_golden(case):
  values = _golden(case)
  assert len(values["inputs"]) == 100
  check_equals(_spec(case), **values)


def test_golden_values_are_small_and_cover_all_cells():
  assert GOLDEN.stat().st_size < 100_000
  assert {_spec(case).cell for case in _cases()} >= {"lstm", "gru", "elman"}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_another_order_of_gates_is_noticed(cell):
  case = next(case for case in _cases() if case.startswith(cell))
  values = _golden(case)
  rnn = make_rnn(_spec(case))
  weights = rnn.unflatten(values["weights"])
  layers = jax.tree.map(lambda w: np.roll(w, 1, axis=0), weights.layers)
  values["weights"] = rnn.flatten(weights._replace(layers=layers))
  with pytest.raises(AssertionError):
    check_equals(rnn.spec, **values)


@pytest.mark.parametrize(
    "cell, inputs, hidden, outputs, batch",
    [
        ("lstm", 6, (32, 32), 6, (4,)),
        ("lstm", 16, (7, 12, 3), 10, ()),
        ("gru", 6, (16, 16), 6, ()),
        ("elman", 4, (3, 11, 6, 2), 5, (3,)),
    ],
)
def test_live(torch, cell, inputs, hidden, outputs, batch):
  from tests.golden import make_torch_golden as golden

  torch.manual_seed(1)
  spec = RNNSpec(cell, hidden, inputs, outputs)
  xs = torch.randn(100, *batch, inputs)
  models = [golden.Chain(cell, inputs, hidden, outputs)]
  if len(set(hidden)) == 1:  # torch's own stacks have layers of equal width
    models.append(golden.Stack(cell, inputs, hidden[0], len(hidden), outputs))
  for model in models:
    check_equals(spec, **golden.answers(model, xs))


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_live_parameters_are_in_the_same_order(torch, cell):
  from tests.golden import make_torch_golden as golden

  torch.manual_seed(2)
  model = golden.Stack(cell, 3, 4, 2, 5)
  rnn = make_rnn(RNNSpec(cell, (4, 4), 3, 5))
  leaves = jax.tree.leaves(rnn.unflatten(golden.flat(model.parameters())))
  for leaf, tensor in zip(leaves, model.parameters(), strict=True):
    shape = tensor.shape
    np.testing.assert_array_equal(leaf.reshape(shape), tensor.detach().numpy())
