"""The Encoder contract, on every cell."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, encoders, plugins, symmetry
from weightspace.encoders import Encoder, Transcript
from weightspace.rnn import RNNSpec, make_rnn

INPUTS, OUTPUTS, NETWORKS = 3, 4, 3
KINDS = ("token", "real")
# Sizes that make an encoder small, by the names that its Config may have
SMALL = {
    "hidden": 8, "layers": 1, "width": 8, "depth": 1, "heads": 2, "channels": 4,
    "decoder": 8, "length": 4, "parallel": 2, "code": 5, "low": -2.0,
    "high": 1.0,
}  # fmt: skip


def small(name):
  """Fields of the encoder's config that keep it small."""
  fields = plugins.load(encoders.__name__, name).Config
  known = fields.__dataclass_fields__
  return {k: v for k, v in SMALL.items() if k in known}


@functools.cache
def rnn_of(cell):
  return make_rnn(RNNSpec(cell, (4, 3), INPUTS, OUTPUTS))


@functools.cache
def networks(cell):
  """Weights [n, ...] of several networks that behave quite differently."""
  rnn = rnn_of(cell)
  keys = jax.random.split(jax.random.key(3), NETWORKS)
  weights = jax.jit(jax.vmap(rnn.init))(keys)
  return jax.tree.map(lambda leaf: 2 * leaf, weights)


def first(weights):
  return jax.tree.map(lambda leaf: leaf[0], weights)


@functools.cache
def params_of(encoder):
  return jax.jit(encoder.init)(jax.random.key(0))


def check_code(encoder, cell, kind):
  """A code is float32 of length 1, and the same each time."""
  del kind
  params, weights = params_of(encoder), networks(cell)
  again = jax.jit(encoder.init)(jax.random.key(0))
  jax.tree.map(np.testing.assert_array_equal, again, params)
  for leaf in jax.tree.leaves(params):
    assert leaf.dtype == jnp.float32
  eager = np.asarray(encoder.apply(params, first(weights)))
  assert eager.ndim == 1
  assert eager.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(eager), 1, rtol=1e-4)
  twice = np.asarray(encoder.apply(params, first(weights)))
  np.testing.assert_array_equal(eager, twice)
  jitted = jax.jit(encoder.apply)(params, first(weights))
  np.testing.assert_allclose(jitted, eager, rtol=1e-4, atol=1e-5)


def check_networks_apart(encoder, cell, kind):
  """A network's code does not depend on which others are encoded with it."""
  del kind
  params, weights = params_of(encoder), networks(cell)
  together = jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, weights)
  apply = jax.jit(encoder.apply)
  alone = [
      apply(params, jax.tree.map(lambda leaf, i=i: leaf[i], weights))
      for i in range(NETWORKS)
  ]
  np.testing.assert_allclose(together, np.stack(alone), rtol=1e-4, atol=1e-5)


def check_gradients(encoder, cell, kind):
  """Gradients are finite, also for a network of zeros: a constant one."""
  del kind
  params, weights = params_of(encoder), first(networks(cell))

  @jax.jit
  def gradients(params, weights):
    def loss(params, weights):
      code = encoder.apply(params, weights)
      return jnp.sum(code * jnp.arange(1.0, len(code) + 1))

    return jax.grad(loss, argnums=(0, 1))(params, weights)

  for example in (weights, jax.tree.map(jnp.zeros_like, weights)):
    for leaf in jax.tree.leaves(gradients(params, example)):
      assert np.all(np.isfinite(leaf))


def _moved(encoder, cell, signed):
  """The largest change of a code under a random element of the group."""
  rnn, params = rnn_of(cell), params_of(encoder)

  @jax.jit
  def move(key, weights):
    other = symmetry.augment(key, rnn, weights, signed=signed)
    code = encoder.apply(params, weights)
    return jnp.max(jnp.abs(encoder.apply(params, other) - code))

  keys = jax.random.split(jax.random.key(7), NETWORKS)
  return float(np.max(jax.vmap(move)(keys, networks(cell))))


def check_invariance(encoder, cell, kind):
  """Signed permutations leave the code as it is, if and only if it says so."""
  del kind
  moved = _moved(encoder, cell, signed=True)
  if encoder.invariant:
    assert moved < 1e-4
  elif cells.load(cell).odd_gates:
    # A cell without odd gates has no signs to change, so that a code which
    # only respects permutations may stay
    assert moved > 1e-3


def check_transcript(encoder, cell, kind):
  """Probes are inputs that could be, answers what the network says to them."""
  if encoder.transcript is None:
    return
  rnn, params = rnn_of(cell), params_of(encoder)
  weights = first(networks(cell))
  transcript = jax.jit(encoder.transcript)(params, weights)
  assert isinstance(transcript, Transcript)
  length, parallel, inputs = transcript.probes.shape
  assert inputs == INPUTS
  assert transcript.answers.shape == (length, parallel, OUTPUTS)
  for leaf in transcript:
    assert leaf.dtype == jnp.float32
  if kind == "token":
    assert np.all(transcript.probes >= 0)
    sums = np.sum(transcript.probes, axis=-1)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
  else:
    assert np.all(transcript.probes >= SMALL["low"])
    assert np.all(transcript.probes <= SMALL["high"])
  heard = jax.jit(rnn.unroll)(weights, transcript.probes)
  np.testing.assert_allclose(transcript.answers, heard, rtol=1e-4, atol=1e-5)


CHECKS = (
    check_code,
    check_networks_apart,
    check_gradients,
    check_invariance,
    check_transcript,
)


@functools.cache
def made(name, cell, kind):
  return encoders.make(name, small(name), rnn_of(cell), kind)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("cell", cells.names())
@pytest.mark.parametrize("name", encoders.names())
def test_contract(name, cell, check):
  check(made(name, cell, "token"), cell, "token")


@pytest.mark.parametrize("name", encoders.names())
def test_contract_of_probes_that_are_real(name):
  check_transcript(made(name, "lstm", "real"), "lstm", "real")


@pytest.mark.parametrize("cell", cells.names())
def test_statistics_of_absolute_values_are_invariant(cell):
  fields = {**small("statistics"), "symmetry": "signed"}
  encoder = encoders.make("statistics", fields, rnn_of(cell), "token")
  assert encoder.invariant
  check_invariance(encoder, cell, "token")


def test_statistics_of_the_weights_respect_permutations():
  encoder = made("statistics", "lstm", "token")
  assert not encoder.invariant
  assert _moved(encoder, "lstm", signed=False) < 1e-4


def _flat(project=lambda x: x):
  """The simplest encoder that obeys the contract: a projection of weights."""

  def init(key):
    return jax.random.normal(key, (SMALL["code"], rnn_of("lstm").size))

  def apply(params, weights):
    code = params @ rnn_of("lstm").flatten(weights)
    return project(code / jnp.sqrt(jnp.sum(code**2) + 1e-9))

  return Encoder(init, apply, invariant=False)


FLAT = _flat()
HONEST = made("interactive", "lstm", "token")
CALLS = []


def _restless(params, weights):
  CALLS.append(None)
  angle = 0.1 * len(CALLS)
  code = FLAT.apply(params, weights)
  turned = code.at[0].set(jnp.cos(angle) * code[0] - jnp.sin(angle) * code[1])
  return turned.at[1].set(jnp.sin(angle) * code[0] + jnp.cos(angle) * code[1])


def _rooted(params, weights):
  code = FLAT.apply(params, weights)
  spread = jnp.sqrt(jnp.var(weights.readout.b))
  return code.at[0].multiply(1 + spread)


def _asks(change):
  def transcript(params, weights):
    return change(HONEST.transcript(params, weights))

  return HONEST._replace(transcript=transcript)


BROKEN = {
    "codes of any length": (_flat(lambda code: 2 * code), check_code),
    "codes of half precision": (
        _flat(lambda code: code.astype(jnp.float16)),
        check_code,
    ),
    "codes that are a matrix": (_flat(lambda code: code[None]), check_code),
    "a code that changes": (FLAT._replace(apply=_restless), check_code),
    "infinite slope at constant weights": (
        FLAT._replace(apply=_rooted),
        check_gradients,
    ),
    "claims invariance and has none": (
        FLAT._replace(invariant=True),
        check_invariance,
    ),
    "claims invariance and respects permutations only": (
        made("statistics", "lstm", "token")._replace(invariant=True),
        check_invariance,
    ),
    "is invariant and denies it": (
        HONEST._replace(invariant=False),
        check_invariance,
    ),
    "tokens that do not sum to 1": (
        _asks(lambda t: t._replace(probes=2 * t.probes)),
        check_transcript,
    ),
    "negative tokens": (
        _asks(lambda t: t._replace(probes=t.probes.at[..., :2].add(
            jnp.array([-1.0, 1.0])
        ))),
        check_transcript,
    ),
    "time is not first": (
        _asks(lambda t: Transcript(*(x.swapaxes(0, 1)[:1] for x in t))),
        check_transcript,
    ),
    "answers that nobody gave": (
        _asks(lambda t: t._replace(answers=t.answers + 1)),
        check_transcript,
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken, check", BROKEN.values(), ids=BROKEN)
def test_contract_rejects(broken, check):
  with pytest.raises(AssertionError):
    check(broken, "lstm", "token")


def test_the_flat_encoder_is_broken_in_no_way():
  for check in CHECKS:
    check(FLAT, "lstm", "token")


def test_contract_rejects_networks_that_see_each_other():
  """As batch statistics would make them: only visible in company."""

  def apply(params, weights):
    code = FLAT.apply(params, weights)

    @jax.custom_batching.custom_vmap
    def centred(code):
      return code

    @centred.def_vmap
    def _(axis_size, in_batched, codes):
      del axis_size, in_batched
      return codes - jnp.mean(codes, axis=0), True

    return centred(code)

  with pytest.raises(AssertionError):
    check_networks_apart(FLAT._replace(apply=apply), "lstm", "token")


def test_contract_rejects_reals_out_of_bounds():
  honest = made("interactive", "lstm", "real")

  def transcript(params, weights):
    found = honest.transcript(params, weights)
    return found._replace(probes=found.probes + 3)

  with pytest.raises(AssertionError):
    check_transcript(honest._replace(transcript=transcript), "lstm", "real")


def test_every_check_rejects_something():
  rejected = {check for _, check in BROKEN.values()} | {check_networks_apart}
  assert rejected == set(CHECKS)


def test_a_planted_encoder_is_found(plant):
  source = "from weightspace.encoders.constant import Config, make"
  plant("weightspace.encoders", "planted", source)
  assert "planted" in encoders.names()
  encoder = encoders.make("planted", {"code": 3}, rnn_of("gru"), "token")
  check_code(encoder, "gru", "token")


@pytest.mark.parametrize(
    "name, fields, kind, message",
    [
        ("interactve", {}, "token", "did you mean 'interactive'"),
        ("interactive", {"lenght": 3}, "token", "did you mean 'length'"),
        ("interactive", {"length": 0}, "token", "length must be at least 1"),
        ("interactive", {"low": 2.0, "high": 1.0}, "real", "must be below"),
        ("interactive", {}, "tokens", "kind must be 'token' or 'real'"),
        ("statistics", {"symmetry": "none"}, "token", "'permutation' or"),
        ("statistics", {"hidden": 0}, "token", "must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(name, fields, kind, message):
  with pytest.raises(ValueError, match=message):
    encoders.make(name, fields, rnn_of("lstm"), kind)
