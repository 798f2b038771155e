"""The loop that probing encoders share: probes, gradients, memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import encoders
from weightspace.encoders import _interrogation, _modules
from weightspace.rnn import RNNSpec, make_rnn, read_directly
from weightspace.types import Linear

RNN = make_rnn(RNNSpec("gru", (4,), 3, 3))
SMALL = {
    "parallel": 2, "length": 4, "hidden": 8, "layers": 2, "decoder": 8,
    "code": 4, "probe_scale": 4.0,
}  # fmt: skip


def make(name="interactive", **fields):
  return encoders.make(name, {**SMALL, **fields}, RNN, "token")


@functools.cache
def networks():
  keys = jax.random.split(jax.random.key(0), 3)
  return jax.tree.map(lambda leaf: 3 * leaf, jax.vmap(RNN.init)(keys))


def transcripts(encoder):
  params = jax.jit(encoder.init)(jax.random.key(1))
  return jax.jit(jax.vmap(encoder.transcript, (None, 0)))(params, networks())


def test_only_interactive_probes_depend_on_the_network():
  fixed, asked = transcripts(make("noninteractive")), transcripts(make())
  for found in (fixed, asked):  # nothing has been heard before the first probe
    np.testing.assert_array_equal(found.probes[0, 0], found.probes[1, 0])
    assert np.max(np.abs(found.answers[0] - found.answers[1])) > 1e-2
  np.testing.assert_array_equal(fixed.probes[0], fixed.probes[1])
  assert np.max(np.abs(asked.probes[0] - asked.probes[1])) > 1e-3


@pytest.mark.parametrize("name", ["interactive", "noninteractive"])
@pytest.mark.parametrize("parallel", [1, 4, 8])
def test_any_number_of_sequences(name, parallel):
  encoder = make(name, parallel=parallel, length=3)
  found = transcripts(encoder)
  assert found.probes.shape == (3, 3, parallel, 3)
  if parallel > 1:  # they are different sequences
    assert np.max(np.abs(found.probes[:, :, 0] - found.probes[:, :, 1])) > 1e-3


@pytest.mark.parametrize("name", ["interactive", "noninteractive"])
def test_memory_of_a_gradient_grows_linearly_in_the_length(name):
  def needed(length):
    encoder = make(name, length=length)
    params = jax.eval_shape(encoder.init, jax.random.key(0))

    def loss(params, weights):
      return jnp.sum(jax.vmap(encoder.apply, (None, 0))(params, weights)[:, 0])

    compiled = jax.jit(jax.grad(loss)).lower(params, networks()).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  short, middle, long = needed(16), needed(32), needed(64)
  assert long > middle > short
  assert (long - middle) / (middle - short) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("factor, expected", [(2.0, 1.0), (0.5, 0.5**6)])
def test_a_tamed_gradient_does_not_grow_on_its_way_back(factor, expected):
  def step(arguments, carry, t):
    (scale,) = arguments
    return {"a": scale * carry["a"]}, t

  def last(step, start):
    walk = functools.partial(step, (jnp.float32(factor),))
    return jnp.sum(jax.lax.scan(walk, {"a": start}, jnp.arange(6))[0]["a"])

  start = jnp.array([1.0, 2.0])
  plain = jax.grad(functools.partial(last, step))(start)
  tamed = jax.grad(functools.partial(last, _interrogation._tamed(step)))(start)
  np.testing.assert_allclose(plain, factor**6)
  np.testing.assert_allclose(tamed, expected, rtol=1e-5)


def test_taming_changes_no_code():
  plain, tamed = make(), make(tame_gradient=True)
  params = jax.jit(plain.init)(jax.random.key(2))
  codes = [
      jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, networks())
      for encoder in (plain, tamed)
  ]
  np.testing.assert_allclose(*codes, atol=1e-6)


@pytest.mark.parametrize("core", _interrogation.CORES)
def test_a_deferred_gradient_is_the_gradient(core):
  """The one that JAX finds by itself, step by step, as where it is tamed."""

  def gradients(encoder, params, weights):
    def loss(params, weights):
      codes = jax.vmap(encoder.apply, (None, 0))(params, weights)
      return jnp.sum(jnp.sin(jnp.arange(codes.size)) * codes.ravel())

    return jax.jit(jax.grad(loss, (0, 1)))(params, weights)

  deferred = make(core=core)
  params = jax.jit(deferred.init)(jax.random.key(3))
  found = gradients(deferred, params, networks())
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(_interrogation, "_tamed", lambda step: step)
    plain = gradients(make(core=core, tame_gradient=True), params, networks())
  size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain))
  assert size > 0.1
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5 * size)


def test_a_core_reads_answers_as_it_would_their_embedding():
  core = _modules.init_core(jax.random.key(0), 8, 2)
  random = np.random.default_rng(0)
  w, b, read = (random.standard_normal(s) for s in ((8, 3), 8, 3))
  x = jnp.asarray(w @ read + b, jnp.float32)
  embedding = Linear(jnp.float32(w), jnp.float32(b))

  def states(core, read):
    maps, state = _modules.core_maps(2), _modules.core_state(8, 2)
    for _ in range(3):
      state, _ = _modules.core_step(
          lambda name, v: maps[name](core, v), state, read, x, None
      )
    return jax.tree.leaves(state)

  direct = states(read_directly(core, embedding), jnp.float32(read))
  for a, b in zip(direct, states(core, x)):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_gated_core_stays_bounded():
  """What the probes are decoded from: a residual core adds, a gated mixes."""
  x = jnp.full(8, 100.0)
  core = jax.tree.map(jnp.zeros_like, _modules.init_core(
      jax.random.key(0), 8, 2
  ))  # fmt: skip
  maps, state = _modules.core_maps(2), _modules.core_state(8, 2)

  def affine(name, v):
    return maps[name](core, v)

  _, added = _modules.core_step(affine, state, x, x, None)
  _, mixed = _modules.core_step(affine, state, x, x, jnp.ones((2, 8)))
  np.testing.assert_array_equal(added, x)
  np.testing.assert_array_equal(mixed, 0)
  assert "gates" in jax.eval_shape(make(core="gated").init, jax.random.key(0))
  with pytest.raises(ValueError, match="core must be one of residual, gated"):
    make(core="plain")


@pytest.mark.parametrize("name", ["interactive", "noninteractive"])
def test_params_may_be_numpys(name):
  """As `pretrain.load` gives them, and closed over, not passed to a jit."""
  encoder = make(name)
  params = jax.jit(encoder.init)(jax.random.key(0))
  weights = jax.tree.map(lambda leaf: leaf[0], networks())
  host = jax.device_get(params)
  code = jax.jit(lambda weights: encoder.apply(host, weights))(weights)
  np.testing.assert_allclose(code, encoder.apply(params, weights), atol=1e-6)
