"""The Encoder contract, on every cell."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, encoders, plugins, symmetry
from weightspace.encoders import Encoder, Transcript
from weightspace.rnn import RNNSpec, make_rnn

INPUTS, OUTPUTS, NETWORKS = 4, 4, 3  # they generate what they read
KINDS = ("token", "real")
# Sizes that make an encoder small, by the names that its Config may have
SMALL = {
    "hidden": 8, "layers": 1, "width": 8, "depth": 1, "heads": 2, "channels": 4,
    "decoder": 8, "length": 4, "parallel": 2, "code": 5, "low": -2.0,
    "high": 1.0, "reader": 8, "strings": 2, "eval_strings": 3,
}  # fmt: skip


def small(name):
  """Fields of the encoder's config that keep it small."""
  fields = plugins.load(encoders.__name__, name).Config
  known = fields.__dataclass_fields__
  return {k: v for k, v in SMALL.items() if k in known}


@functools.cache
def rnn_of(cell):
  hidden = (4, 3) if cell == "lstm" else (4,)
  return make_rnn(RNNSpec(cell, hidden, INPUTS, OUTPUTS))


@functools.cache
def networks(cell):
  """Weights [n, ...] of networks, of those reordered, of those also signed."""
  rnn = rnn_of(cell)
  hidden = rnn.spec.hidden
  reverse = symmetry.Element(
      tuple(np.arange(h, dtype=np.int32)[::-1] for h in hidden),
      tuple(np.ones(h, np.float32) for h in hidden),
  )
  odd = bool(cells.load(cell).odd_gates)
  signs = tuple((-1.0) ** (odd * np.arange(h)) for h in hidden)
  signed = reverse._replace(signs=tuple(s.astype(np.float32) for s in signs))

  @jax.jit
  @jax.vmap
  def three(key):
    weights = jax.tree.map(lambda leaf: 2 * leaf, rnn.init(key))
    moved = (symmetry.act(rnn, g, weights) for g in (reverse, signed))
    return weights, *moved

  return three(jax.random.split(jax.random.key(3), NETWORKS))


def one(cell, i=0):
  """Weights of one of the networks."""
  return jax.tree.map(lambda leaf: np.asarray(leaf)[i], networks(cell)[0])


@functools.cache
def params_of(encoder):
  return jax.jit(encoder.init)(jax.random.key(0))


@functools.cache
def codes(encoder, cell):
  """Codes of all of `networks`: [3, n, Z]."""
  together = jax.tree.map(
      lambda *leaves: np.concatenate(leaves), *networks(cell)
  )
  found = jax.jit(jax.vmap(encoder.apply, (None, 0)))(
      params_of(encoder), together
  )
  return np.asarray(found).reshape(3, NETWORKS, -1)


def check_code(encoder, cell, kind):
  """A code is float32 of length 1, and the same each time."""
  del kind
  params, weights = params_of(encoder), one(cell)
  code = jax.eval_shape(encoder.apply, params, weights)
  assert code.ndim == 1
  assert code.dtype == np.float32
  norms = np.linalg.norm(codes(encoder, cell), axis=-1)
  np.testing.assert_allclose(norms, 1, rtol=1e-4)
  for leaf in jax.tree.leaves(params):
    assert leaf.dtype == jnp.float32


def check_without_jit(encoder, cell, kind):
  """A code computed op by op is that of the compiled program."""
  del kind
  params, weights = params_of(encoder), one(cell)
  eager = encoder.apply(params, weights)
  jitted = jax.jit(encoder.apply)(params, weights)
  np.testing.assert_allclose(jitted, eager, rtol=1e-4, atol=1e-5)


def check_key(encoder, cell, kind):
  """With a key too; the same one gives the same code, none is always alike."""
  del kind
  params, weights = params_of(encoder), one(cell)
  apply = jax.jit(encoder.apply)
  first, again, other = (
      np.asarray(apply(params, weights, jax.random.key(seed)))
      for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  for code in (first, other):
    assert code.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(code), 1, rtol=1e-4)
  np.testing.assert_array_equal(apply(params, weights), apply(params, weights))


def check_networks_apart(encoder, cell, kind):
  """A network's code does not depend on which others are encoded with it."""
  del kind
  apply = jax.jit(encoder.apply)
  alone = [apply(params_of(encoder), one(cell, i)) for i in range(NETWORKS)]
  np.testing.assert_allclose(
      codes(encoder, cell)[0], np.stack(alone), rtol=1e-4, atol=1e-5
  )


def check_gradients(encoder, cell, kind):
  """Gradients are finite, also for a network of zeros: a constant one."""
  del kind
  params, weights = params_of(encoder), one(cell)

  @jax.jit
  def gradients(params, weights):
    def loss(params, weights):
      code = encoder.apply(params, weights)
      return jnp.sum(code * jnp.arange(1.0, len(code) + 1))

    return jax.grad(loss, argnums=(0, 1))(params, weights)

  for example in (weights, jax.tree.map(jnp.zeros_like, weights)):
    for leaf in jax.tree.leaves(gradients(params, example)):
      assert np.all(np.isfinite(leaf))


def _moved(encoder, cell):
  """How far codes move when units are reordered, and when also signed."""
  own, reordered, signed = codes(encoder, cell)
  return np.max(np.abs(reordered - own)), np.max(np.abs(signed - own))


def check_invariance(encoder, cell, kind):
  """Signed permutations leave the code as it is, if and only if it says so."""
  del kind
  _, moved = _moved(encoder, cell)
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
  weights = one(cell)
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
  found, expected = map(jax.nn.log_softmax, (transcript.answers, heard))
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def check_start(encoder, cell, kind):
  """Probes that start as real inputs are those, as far as they can be."""
  if encoder.start_from is None:
    return
  rnn, (length, parallel) = rnn_of(cell), (SMALL["length"], SMALL["parallel"])
  shape = (parallel + 1, length, INPUTS)
  if kind == "token":
    tokens = jax.random.randint(jax.random.key(5), shape[:2], 0, INPUTS)
    examples = jax.nn.one_hot(tokens, INPUTS)
  else:
    examples = jax.random.uniform(jax.random.key(5), shape, minval=-1.5)
    examples = examples.clip(-1.5, 0.5)
  params = encoder.start_from(params_of(encoder), examples)
  probes = jax.jit(encoder.transcript)(params, one(cell)).probes
  expected = np.swapaxes(examples[:parallel], 0, 1)
  if kind == "token":
    np.testing.assert_array_equal(
        np.argmax(probes, axis=-1), np.argmax(expected, axis=-1)
    )
  else:
    np.testing.assert_allclose(probes, expected, atol=1e-4)
  with pytest.raises(ValueError, match="as many real sequences as"):
    encoder.start_from(params, examples[: parallel - 1])
  assert jax.tree.structure(params) == jax.tree.structure(params_of(encoder))
  del rnn


def check_observation(encoder, cell, kind):
  """What is observed once and then read is what is encoded at once."""
  del kind
  if encoder.observe is None:
    assert encoder.read is None
    return
  params, weights = params_of(encoder), one(cell)
  features = jax.jit(encoder.observe)(params, weights)
  assert features.ndim == 1
  assert features.dtype == np.float32
  for key in (None, jax.random.key(3)):
    found = encoder.read(params, features, key)
    np.testing.assert_allclose(
        found, encoder.apply(params, weights, key), rtol=1e-4, atol=1e-5
    )
  learned = {k: v for k, v in params.items() if k != "fixed"}
  changed = jax.tree.map(lambda leaf: leaf + 1, learned)
  np.testing.assert_array_equal(
      jax.jit(encoder.observe)(params | changed, weights), features
  )
  slopes = jax.grad(lambda p: jnp.sum(encoder.apply(p, weights)[:2]))(params)
  assert not np.any(slopes["fixed"])


CHECKS = (
    check_code,
    check_without_jit,
    check_networks_apart,
    check_gradients,
    check_invariance,
    check_transcript,
    check_key,
    check_start,
    check_observation,
)


GENERATING = ("dialogue", "listening")  # of networks that generate
# What else encoders can be: those that probe
VARIANTS = {
    "interactive, samples": ("interactive", {
        "start": "samples", "reads": "state+sums", "step_codes": True,
    }),
    "interactive, inputs, hard": ("interactive", {
        "start": "inputs", "tokens": "hard", "reads": "sums",
    }),
    "noninteractive, inputs": ("noninteractive", {
        "start": "inputs", "reads": "answers+state",
    }),
}  # fmt: skip


@functools.cache
def made(name, cell, kind):
  name, fields = VARIANTS.get(name, (name, {}))
  inputs = encoders.Inputs(kind, first=0, length=SMALL["length"])
  return encoders.make(name, {**small(name), **fields}, rnn_of(cell), inputs)


def _cases():
  """All encoders on all cells; most are slow but on LSTMs."""
  for name in [*encoders.names(), *VARIANTS]:
    for cell in cells.names():
      for check in CHECKS:
        slow = (
            check is check_without_jit
            or (check is check_gradients and name in VARIANTS)
            or (cell != "lstm" and (cell, check) != ("elman", check_invariance))
        )
        marks = [pytest.mark.slow] if slow else []
        id_ = f"{name}-{cell}-{check.__name__}"
        yield pytest.param(name, cell, check, marks=marks, id=id_)


@pytest.mark.parametrize("name, cell, check", [*_cases()])
def test_contract(name, cell, check):
  check(made(name, cell, "token"), cell, "token")


@pytest.mark.parametrize("check", [check_transcript, check_start])
@pytest.mark.parametrize(
    "name", sorted({*encoders.names(), *VARIANTS} - {*GENERATING})
)
def test_contract_of_probes_that_are_real(name, check):
  if VARIANTS.get(name, ("", {}))[1].get("start") != "samples":
    check(made(name, "lstm", "real"), "lstm", "real")


@pytest.mark.parametrize("name", [*GENERATING, "interactive, samples"])
def test_networks_that_do_not_generate_are_refused(name):
  with pytest.raises(ValueError, match="needs networks that generate"):
    made(name, "lstm", "real")
  name, fields = VARIANTS.get(name, (name, {}))
  nameless = encoders.Inputs("token", length=SMALL["length"])
  with pytest.raises(ValueError, match=r"TaskSpec\.first"):
    encoders.make(name, {**small(name), **fields}, rnn_of("gru"), nameless)


@pytest.mark.parametrize("cell", cells.names())
def test_statistics_of_absolute_values_are_invariant(cell):
  fields = {**small("statistics"), "symmetry": "signed"}
  encoder = encoders.make("statistics", fields, rnn_of(cell), TOKENS)
  assert encoder.invariant
  check_invariance(encoder, cell, "token")


def test_statistics_of_the_weights_respect_permutations():
  encoder = made("statistics", "lstm", "token")
  assert not encoder.invariant
  assert _moved(encoder, "lstm")[0] < 1e-4


TOKENS = encoders.Inputs("token")


def _flat(project=lambda x: x):
  """The simplest encoder that obeys the contract: a projection of weights."""

  def init(key):
    return jax.random.normal(key, (SMALL["code"], rnn_of("lstm").size))

  def apply(params, weights, key=None):
    del key
    code = params @ rnn_of("lstm").flatten(weights)
    return project(code / jnp.sqrt(jnp.sum(code**2) + 1e-9))

  return Encoder(init, apply, invariant=False)


FLAT = _flat()
HONEST = made("interactive", "lstm", "token")
CALLS = []


def _restless(params, weights, key=None):
  CALLS.append(None)
  angle = 0.1 * len(CALLS)
  code = FLAT.apply(params, weights)
  turned = code.at[0].set(jnp.cos(angle) * code[0] - jnp.sin(angle) * code[1])
  return turned.at[1].set(jnp.sin(angle) * code[0] + jnp.cos(angle) * code[1])


def _rooted(params, weights, key=None):
  code = FLAT.apply(params, weights)
  spread = jnp.sqrt(jnp.var(weights.readout.b))
  return code.at[0].multiply(1 + spread)


def _longer_with_a_key(params, weights, key=None):
  code = FLAT.apply(params, weights)
  return code if key is None else 2 * code


def _observes_what_is_learned(params, weights):
  features = made("watching", "lstm", "token").observe(params, weights)
  first = params["reader"]["params"]["Dense_0"]["bias"][0]
  return features + first


def _starts_elsewhere(params, examples):
  started = made("noninteractive, inputs", "lstm", "token").start_from(
      params, examples
  )
  return started | {"start": started["start"][::-1]}


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
    "a code that changes": (FLAT._replace(apply=_restless), check_without_jit),
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
        _asks(lambda t: t._replace(answers=2 * t.answers)),
        check_transcript,
    ),
    "a code of another length where there is a key": (
        FLAT._replace(apply=_longer_with_a_key),
        check_key,
    ),
    "observes with what is learned": (
        made("watching", "lstm", "token")._replace(
            observe=_observes_what_is_learned
        ),
        check_observation,
    ),
    "probes that start in reverse": (
        made("noninteractive, inputs", "lstm", "token")._replace(
            start_from=_starts_elsewhere
        ),
        check_start,
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

  def apply(params, weights, key=None):
    code = FLAT.apply(params, weights)

    @jax.custom_batching.custom_vmap
    def centred(code):
      return code

    @centred.def_vmap
    def _(axis_size, in_batched, codes):
      del axis_size, in_batched
      return codes - jnp.mean(codes, axis=0, keepdims=True), True

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
  encoder = encoders.make("planted", {"code": 3}, rnn_of("gru"), TOKENS)
  check_code(encoder, "gru", "token")


@pytest.mark.parametrize(
    "name, fields, kind, message",
    [
        ("interactve", {}, "token", "did you mean 'interactive'"),
        ("interactive", {"lenght": 3}, "token", "did you mean 'length'"),
        ("interactive", {"length": 0}, "token", "length must be at least 1"),
        ("noninteractive", {"start": "samples"}, "token", "'interactive'"),
        ("interactive", {"start": "sample"}, "token", "start must be one of"),
        ("interactive", {"reads": "state+sum"}, "token", "reads must be one"),
        ("interactive", {"tokens": "firm"}, "token", "tokens must be one of"),
        ("interactive", {"probe_scale": 0.0}, "token", "must be positive"),
        ("listening", {"strings": 0}, "token", "strings must be at least 1"),
        ("listening", {"length": -1}, "token", "must not be negative"),
        ("transformer", {"width": 9, "heads": 2}, "token", "multiple of heads"),
        ("dws", {"basis": "maximum"}, "token", "basis must be one of paper"),
        ("interactive", {"low": 2.0, "high": 1.0}, "real", "must be below"),
        ("interactive", {}, "tokens", "kind must be 'token' or 'real'"),
        ("statistics", {"symmetry": "none"}, "token", "'permutation' or"),
        ("statistics", {"hidden": 0}, "token", "must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(name, fields, kind, message):
  with pytest.raises(ValueError, match=message):
    encoders.make(name, fields, rnn_of("lstm"), encoders.Inputs(kind, 0, 4))
