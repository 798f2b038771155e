"""The loop that probing encoders share: probes, gradients, memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import encoders
from weightspace.encoders import _deferred, _interrogation, _modules
from weightspace.rnn import RNNSpec, fold_embedding, make_rnn
from weightspace.types import Linear

RNN = make_rnn(RNNSpec("gru", (4,), 3, 3))
FIRST = 2
INPUTS = encoders.Inputs("token", first=FIRST)
SMALL = {
    "parallel": 2, "length": 4, "hidden": 8, "layers": 2, "decoder": 8,
    "code": 4, "probe_scale": 4.0,
}  # fmt: skip


def make(name="interactive", **fields):
  return encoders.make(name, {**SMALL, **fields}, RNN, INPUTS)


@functools.cache
def networks():
  keys = jax.random.split(jax.random.key(0), 3)
  return jax.tree.map(lambda leaf: 3 * leaf, jax.vmap(RNN.init)(keys))


def transcripts(encoder):
  params = jax.jit(encoder.init)(jax.random.key(1))
  return jax.jit(jax.vmap(encoder.transcript, (None, 0)))(params, networks())


@pytest.mark.slow
def test_only_interactive_probes_depend_on_the_network():
  fixed, adaptive = transcripts(make("noninteractive")), transcripts(make())
  for probes, answers in (fixed, adaptive):
    np.testing.assert_array_equal(probes[0, 0], probes[1, 0])
    assert np.max(np.abs(answers[0] - answers[1])) > 1e-2
  np.testing.assert_array_equal(fixed.probes[0], fixed.probes[1])
  assert np.max(np.abs(adaptive.probes[0] - adaptive.probes[1])) > 1e-3


@pytest.mark.parametrize("name", ["interactive", "noninteractive"])
@pytest.mark.parametrize("parallel", [1, 8])
def test_any_number_of_sequences(name, parallel):
  encoder = make(name, parallel=parallel, length=3)
  probes, _ = transcripts(encoder)
  assert probes.shape == (3, 3, parallel, 3)
  if parallel > 1:  # the sequences differ
    assert np.max(np.abs(probes[:, :, 0] - probes[:, :, 1])) > 1e-3


@pytest.mark.slow
def test_memory_of_a_gradient_grows_linearly_in_the_length():
  def needed(length):
    encoder = make(length=length)
    params = jax.eval_shape(encoder.init, jax.random.key(0))

    def loss(params, weights):
      return jnp.sum(jax.vmap(encoder.apply, (None, 0))(params, weights)[:, 0])

    compiled = jax.jit(jax.grad(loss)).lower(params, networks()).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  short, middle, long = needed(16), needed(32), needed(64)
  assert long > middle > short
  assert (long - middle) / (middle - short) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("start", [
    pytest.param(start, marks=[] if start == "samples" else [pytest.mark.slow])
    for start in _interrogation.STARTS
])  # fmt: skip
def test_a_deferred_gradient_is_the_gradient(start):
  """It equals the gradient that JAX derives step by step."""

  def gradients(encoder, params, weights):
    def loss(params, weights):
      codes = jax.vmap(encoder.apply, (None, 0))(params, weights)
      return jnp.sum(jnp.sin(jnp.arange(codes.size)) * codes.ravel())

    return jax.jit(jax.grad(loss, (0, 1)))(params, weights)

  def scan(step, maps, params, rest, start, xs):
    walk = functools.partial(_deferred.directly(step, maps), (params, rest))
    return jax.lax.scan(walk, start, xs)

  encoder = make(start=start)
  params = random_params(encoder)
  deferred = gradients(encoder, params, networks())
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(_interrogation._deferred, "scan", scan)
    plain = gradients(encoder, params, networks())
  size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain))
  assert size > 0.1
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * size),
      deferred, plain,
  )  # fmt: skip


def random_params(encoder):
  """Params without zeros, as after some training."""
  params = jax.jit(encoder.init)(jax.random.key(3))
  leaves, treedef = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(4), len(leaves))
  return treedef.unflatten(
      leaf + 0.3 * jax.random.normal(key, leaf.shape)
      for key, leaf in zip(keys, leaves)
  )


def test_the_papers_configuration_equals_a_numpy_reference():
  """Interactive probing as in section 4.2: one decoder, one core."""
  encoder = make("interactive", probe_scale=1.0)
  params = random_params(encoder)
  weights = jax.tree.map(lambda leaf: leaf[0], networks())

  def dense(layer, x):
    return x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])

  def lstm(layer, state, x):
    h, c = state
    gates = (
        np.einsum("ghi,i->gh", layer.wx, x) + layer.bx
        + np.einsum("ghi,i->gh", layer.wh, h) + layer.bh
    )  # fmt: skip
    i, f, o = (1 / (1 + np.exp(-gates[k])) for k in (0, 1, 3))
    c = f * c + i * np.tanh(gates[2])
    return o * np.tanh(c), c

  decoder = params["decoder"]["params"]
  core = [(np.zeros(8), np.zeros(8))] * 2
  state, output = RNN.initial_state((2,)), np.zeros(8)
  for _ in range(4):
    hidden = np.maximum(dense(decoder["Dense_0"], output), 0)
    logits = dense(decoder["Dense_1"], hidden).reshape(2, 3)
    probe = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    state, answer = RNN.step(weights, state, jnp.float32(probe))
    output = dense(params["embed"]["params"], np.ravel(answer))
    for place, layer in enumerate(params["core"]):
      core[place] = lstm(layer, core[place], output)
      output = output + core[place][0]
  code = dense(params["read_state"]["params"], output)
  np.testing.assert_allclose(
      encoder.apply(params, weights), code / np.linalg.norm(code), atol=1e-5
  )


def test_before_training_probes_are_samples_of_the_network():
  """An untrained decoder adds 0, so tokens have the network's frequencies."""
  encoder = make(start="samples", tokens="hard", parallel=400, probe_scale=1.0)
  params = jax.jit(encoder.init)(jax.random.key(1))
  weights = jax.tree.map(lambda leaf: leaf[0], networks())
  probes, answers = jax.jit(encoder.transcript)(params, weights)
  np.testing.assert_array_equal(probes[0, :, FIRST], 1)
  expected = jax.nn.softmax(answers[:-1]).mean(axis=1)
  shares = probes[1:].mean(axis=1)
  np.testing.assert_allclose(shares, expected, atol=0.08)
  assert np.abs(shares - 1 / 3).max() > 0.1


def test_noise_is_new_with_each_key_and_the_same_for_all_networks():
  encoder = make(start="samples")
  params = jax.jit(encoder.init)(jax.random.key(1))
  weights = jax.tree.map(lambda leaf: leaf[0], networks())
  codes = [
      encoder.apply(params, weights, jax.random.key(k)) for k in (0, 0, 1)
  ]
  np.testing.assert_array_equal(codes[0], codes[1])
  assert np.abs(codes[0] - codes[2]).max() > 1e-4
  twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), weights)
  a, b = jax.vmap(encoder.apply, (None, 0))(params, twice)
  np.testing.assert_array_equal(a, b)


def test_with_step_codes_interactive_probing_can_be_noninteractive():
  """A core of zeros gives the same probes for every network."""
  encoder = make("interactive", step_codes=True)
  fixed = make("noninteractive")
  params = random_params(encoder)
  # The core's output stays 0, so probes are decoded from step codes alone
  params |= jax.tree.map(
      jnp.zeros_like, {k: params[k] for k in ("embed", "core")}
  )
  probes, plain = (
      jax.vmap(e.transcript, (None, 0))(params, networks()).probes
      for e in (encoder, fixed)
  )
  np.testing.assert_allclose(probes, plain, atol=1e-6)
  np.testing.assert_array_equal(probes[0], probes[1])


def test_an_embedding_is_folded_into_the_core():
  core = _modules.init_core(jax.random.key(0), 8, 2)
  random = np.random.default_rng(0)
  w, b, read = (random.standard_normal(s) for s in ((8, 3), 8, 3))
  x = jnp.asarray(w @ read + b, jnp.float32)
  embedding = Linear(jnp.float32(w), jnp.float32(b))

  def states(core, read):
    maps, state = _modules.core_maps(2), _modules.core_state(8, 2)
    for _ in range(3):
      state, _ = _modules.core_step(
          lambda name, v: maps[name](core, v), state, read, x
      )
    return jax.tree.leaves(state)

  direct = states(fold_embedding(core, embedding), jnp.float32(read))
  for a, b in zip(direct, states(core, x)):
    np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name", ["interactive", "noninteractive"])
def test_params_may_be_numpys(name):
  """As `pretrain.load` returns them, and as constants in jit."""
  encoder = make(name)
  params = jax.jit(encoder.init)(jax.random.key(0))
  weights = jax.tree.map(lambda leaf: leaf[0], networks())
  host = jax.device_get(params)
  code = jax.jit(lambda weights: encoder.apply(host, weights))(weights)
  np.testing.assert_allclose(code, encoder.apply(params, weights), atol=1e-6)
