"""The Encoder contract; of those that read weights, on LSTMs too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import encoders, plugins
from weightspace.encoders import Encoder, Transcript
from weightspace.testing.encoders import (
    BOUNDS,
    CHECKS,
    LENGTH,
    NETWORKS,
    Case,
    changes,
    check_code,
    check_gradients,
    check_invariance,
    check_key,
    check_networks_apart,
    check_observation,
    check_start,
    check_transcript,
    check_without_jit,
    codes,
    encode,
    networks,
    one,
    params_of,
    rnn_of,
)

# Sizes of small encoders, by the names of their Configs' fields
SMALL = {
    "hidden": 8, "layers": 1, "width": 8, "depth": 1, "heads": 2, "channels": 4,
    "decoder": 8, "length": LENGTH, "parallel": 2, "code": 5,
    "low": BOUNDS[0], "high": BOUNDS[1], "reader": 8, "strings": 2,
    "eval_strings": 3,
}  # fmt: skip


def small(name):
  """Config fields of a small encoder of that name."""
  fields = plugins.load(encoders.__name__, name).Config
  known = fields.__dataclass_fields__
  return {k: v for k, v in SMALL.items() if k in known}


CELL = "elman"  # one layer of one gate is little to compile
AUTOREGRESSIVE = ("dialogue", "listening")  # need such networks
OF_ONE_WIDTH = ("flat", "transformer")  # params depend on widths
SIGNED = "hybrid, signed"  # in all else it is like any other hybrid
VARIANTS = {  # names and fields of further encoders
    "interactive, samples": ("interactive", {
        "start": "samples", "reads": "state+sums", "step_codes": True,
    }),
    "interactive, inputs, hard": ("interactive", {
        "start": "inputs", "tokens": "hard", "reads": "sums",
    }),
    "noninteractive, inputs": ("noninteractive", {
        "start": "inputs", "reads": "answers+state",
    }),
    SIGNED: ("hybrid", {"symmetry": "signed"}),
}  # fmt: skip


@functools.cache
def made(name, cell, kind, width=0):
  name, fields = VARIANTS.get(name, (name, {}))
  inputs = encoders.Inputs(kind, first=0, length=LENGTH)
  return encoders.make(
      name, {**small(name), **fields}, rnn_of(cell, width), inputs
  )


# Those that read gates, and one of those that run the network: to these, a cell
# is a step of it like any other, which has a contract of its own. These LSTMs
# have two layers; what "dws" does to them is part of what "hybrid" does
DIFFERENT_ON_LSTMS = (
    "statistics", "flat", "transformer", "hybrid", "interactive",
)  # fmt: skip
SLOW = (check_without_jit, check_networks_apart, check_key)


def _cases():
  """All encoders, and the checks that each has to pass."""
  checks = [(name, CELL, check) for name in encoders.names()
            for check in CHECKS]
  checks += [(name, "lstm", check) for name in DIFFERENT_ON_LSTMS
             for check in (check_invariance, check_transcript)]
  for name in VARIANTS:  # whose fields matter to these
    checks.append((name, CELL, check_invariance))
    if name != SIGNED:
      checks += [(name, CELL, check)
                 for check in (check_gradients, check_transcript, check_start)]
  for name, cell, check in checks:
    slow = check in SLOW or cell != CELL or name in VARIANTS
    marks = [pytest.mark.slow] if slow else []
    id_ = f"{name}-{cell}-{check.__name__}"
    yield pytest.param(name, cell, check, marks=marks, id=id_)


@pytest.mark.parametrize("name, cell, check", [*_cases()])
def test_contract(name, cell, check):
  check(Case(made(name, cell, "token"), cell))


@pytest.mark.slow
@pytest.mark.parametrize("name", encoders.names())
def test_one_encoder_serves_networks_of_several_widths(name):
  """In a mixed zoo, the same params encode every width, invariantly."""
  params = params_of(made(name, CELL, "token"))
  other = made(name, CELL, "token", width=1)
  same = jax.tree.map(jnp.shape, params) == jax.tree.map(
      jnp.shape, jax.eval_shape(other.init, jax.random.key(0))
  )
  assert same == (name not in OF_ONE_WIDTH)
  if not same:
    return
  weights = one(CELL, width=1)
  assert jax.eval_shape(other.apply, params, weights).shape == (SMALL["code"],)
  if name in ("hybrid", "interactive"):  # the others are their parts
    z = encode(other, params, CELL, width=1)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, rtol=1e-4)
    original, permuted, signed = z
    np.testing.assert_allclose(permuted, original, atol=1e-4)
    if other.invariant:
      np.testing.assert_allclose(signed, original, atol=1e-4)


@pytest.mark.parametrize("name", encoders.names())
def test_training_lowers_for_accelerators(name):
  """A batch's loss and gradient lower for GPUs and TPUs, without callbacks."""
  encoder = made(name, CELL, "token")

  def loss(params, weights, keys):
    z = jax.vmap(encoder.apply, (None, 0, 0))(params, weights, keys)
    return jnp.sum(z[:, 0])

  weights, _, _ = networks(CELL)
  traced = jax.jit(jax.value_and_grad(loss)).trace(
      params_of(encoder), weights, jax.random.split(jax.random.key(0), NETWORKS)
  )
  text = traced.lower(lowering_platforms=("cuda", "tpu")).as_text()
  assert "callback" not in text
  assert "weightspace" not in text  # calls of C++ kernels


@pytest.mark.parametrize("check", [check_transcript, check_start])
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else [])
    for name in sorted(
        {*encoders.names(), *VARIANTS} - {*AUTOREGRESSIVE, SIGNED}
    )
])  # fmt: skip
def test_contract_with_real_inputs(name, check):
  if VARIANTS.get(name, ("", {}))[1].get("start") != "samples":
    check(Case(made(name, CELL, "real"), CELL, "real"))


@pytest.mark.parametrize("name", [*AUTOREGRESSIVE, "interactive, samples"])
def test_sampling_needs_autoregressive_networks(name):
  with pytest.raises(ValueError, match="needs autoregressive networks"):
    made(name, CELL, "real")
  name, fields = VARIANTS.get(name, (name, {}))
  without_first = encoders.Inputs("token", length=LENGTH)
  with pytest.raises(ValueError, match=r"TaskSpec\.first"):
    encoders.make(
        name, {**small(name), **fields}, rnn_of("gru"), without_first
    )


@pytest.mark.parametrize("cell", [
    CELL, pytest.param("lstm", marks=pytest.mark.slow)
])  # fmt: skip
def test_statistics_of_absolute_values_are_invariant(cell):
  fields = {**small("statistics"), "symmetry": "signed"}
  encoder = encoders.make("statistics", fields, rnn_of(cell), TOKENS)
  assert encoder.invariant
  check_invariance(Case(encoder, cell))


@pytest.mark.parametrize("name, cell", [
    ("dws", CELL), ("hybrid", CELL), ("statistics", CELL),
    pytest.param("hybrid", "lstm", marks=pytest.mark.slow),
    pytest.param("statistics", "lstm", marks=pytest.mark.slow),
])  # fmt: skip
def test_invariance_under_permutations_alone(name, cell):
  encoder = made(name, cell, "token")
  assert not encoder.invariant
  assert changes(codes(encoder, cell))[0] < 1e-4


TOKENS = encoders.Inputs("token")


def _flat(project=lambda x: x):
  """The simplest valid encoder: a projection of the weights."""

  def init(key):
    return jax.random.normal(key, (SMALL["code"], rnn_of(CELL).size))

  def apply(params, weights, key=None):
    del key
    code = params @ rnn_of(CELL).flatten(weights)
    return project(code / jnp.sqrt(jnp.sum(code**2) + 1e-9))

  return Encoder(init, apply, invariant=False)


FLAT = _flat()
HONEST = made("interactive", CELL, "token")
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


def _observes_learned_params(params, weights):
  features = made("watching", CELL, "token").observe(params, weights)
  first = params["reader"]["params"]["Dense_0"]["bias"][0]
  return features + first


def _starts_elsewhere(params, examples):
  started = made("noninteractive, inputs", CELL, "token").start_from(
      params, examples
  )
  return started | {"start": started["start"][::-1]}


def _probes(change):
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
    "claims invariance without having it": (
        FLAT._replace(invariant=True),
        check_invariance,
    ),
    "claims invariance, of permutations only": (
        made("statistics", CELL, "token")._replace(invariant=True),
        check_invariance,
    ),
    "is invariant without claiming it": (
        HONEST._replace(invariant=False),
        check_invariance,
    ),
    "tokens that do not sum to 1": (
        _probes(lambda t: t._replace(probes=2 * t.probes)),
        check_transcript,
    ),
    "negative tokens": (
        _probes(lambda t: t._replace(probes=t.probes.at[..., :2].add(
            jnp.array([-1.0, 1.0])
        ))),
        check_transcript,
    ),
    "time is not first": (
        _probes(lambda t: Transcript(*(x.swapaxes(0, 1)[:1] for x in t))),
        check_transcript,
    ),
    "answers that are not the network's": (
        _probes(lambda t: t._replace(answers=2 * t.answers)),
        check_transcript,
    ),
    "a code of another length with a key": (
        FLAT._replace(apply=_longer_with_a_key),
        check_key,
    ),
    "observes with learned params": (
        made("watching", CELL, "token")._replace(
            observe=_observes_learned_params
        ),
        check_observation,
    ),
    "probes that start in reverse": (
        made("noninteractive, inputs", CELL, "token")._replace(
            start_from=_starts_elsewhere
        ),
        check_start,
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken, check", BROKEN.values(), ids=BROKEN)
def test_contract_rejects(broken, check):
  with pytest.raises(AssertionError):
    check(Case(broken, CELL))


def test_the_flat_encoder_is_valid():
  for check in CHECKS:
    check(Case(FLAT, CELL))


def test_contract_rejects_batch_statistics():
  """Codes that depend on the batch; a batch of one shows no difference."""

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
    check_networks_apart(Case(FLAT._replace(apply=apply), CELL))


def test_contract_rejects_reals_out_of_bounds():
  honest = made("interactive", CELL, "real")

  def transcript(params, weights):
    valid = honest.transcript(params, weights)
    return valid._replace(probes=valid.probes + 3)

  with pytest.raises(AssertionError):
    check_transcript(
        Case(honest._replace(transcript=transcript), CELL, "real")
    )


def test_every_check_rejects_something():
  rejected = {check for _, check in BROKEN.values()} | {check_networks_apart}
  assert rejected == set(CHECKS)


def test_encoders_are_modules_of_the_package(plant):
  code = "from weightspace.encoders.constant import Config, make"
  plant("weightspace.encoders", "planted", code)
  assert "planted" in encoders.names()
  encoder = encoders.make("planted", {"code": 3}, rnn_of("gru"), TOKENS)
  check_code(Case(encoder, "gru"))


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
        ("statistics", {"symmetry": "none"}, "token", "must be one of perm"),
        ("statistics", {"hidden": 0}, "token", "must be at least 1"),
    ],
)
def test_invalid_configs_raise(name, fields, kind, message):
  with pytest.raises(ValueError, match=message):
    encoders.make(name, fields, rnn_of(CELL), encoders.Inputs(kind, 0, 4))
