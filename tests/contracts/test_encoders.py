"""The Encoder contract, on every cell."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, encoders, plugins, symmetry
from weightspace.encoders import Encoder, Transcript
from weightspace.rnn import RNNSpec, make_rnn

INPUTS, OUTPUTS, NETWORKS = 4, 4, 3  # as many of both: autoregressive
WIDTHS = {  # two widths of networks in a mixed zoo, by cell
    "elman": ((4,), (6,)), "gru": ((4,), (6,)), "lstm": ((4, 3), (5, 6)),
}  # fmt: skip
KINDS = ("token", "real")
# Sizes of small encoders, by the names of their Configs' fields
SMALL = {
    "hidden": 8, "layers": 1, "width": 8, "depth": 1, "heads": 2, "channels": 4,
    "decoder": 8, "length": 4, "parallel": 2, "code": 5, "low": -2.0,
    "high": 1.0, "reader": 8, "strings": 2, "eval_strings": 3,
}  # fmt: skip


def small(name):
  """Config fields of a small encoder of that name."""
  fields = plugins.load(encoders.__name__, name).Config
  known = fields.__dataclass_fields__
  return {k: v for k, v in SMALL.items() if k in known}


@functools.cache
def rnn_of(cell, width=0):
  hidden = WIDTHS.get(cell, WIDTHS["gru"])[width]
  return make_rnn(RNNSpec(cell, hidden, INPUTS, OUTPUTS))


@functools.cache
def networks(cell, width=0):
  """Weights [n, ...]: original, permuted, and permuted with flipped signs."""
  rnn = rnn_of(cell, width)
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


def one(cell, i=0, width=0):
  """Weights of one of the networks."""
  weights, _, _ = networks(cell, width)
  return jax.tree.map(lambda leaf: np.asarray(leaf)[i], weights)


@functools.cache
def params_of(encoder):
  return jax.jit(encoder.init)(jax.random.key(0))


def encode(encoder, params, cell, width=0):
  """Codes of all of `networks`: [3, n, Z]."""
  weights = jax.tree.map(
      lambda *leaves: np.concatenate(leaves), *networks(cell, width)
  )
  z = jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, weights)
  return np.asarray(z).reshape(3, NETWORKS, -1)


@functools.cache
def codes(encoder, cell):
  return encode(encoder, params_of(encoder), cell)


def check_code(encoder, cell, kind):
  """A code is a deterministic float32 vector of length 1."""
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
  """Codes depend on the key only; without one they are deterministic."""
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
  """A network's code does not depend on the rest of its batch."""
  del kind
  apply = jax.jit(encoder.apply)
  alone = [apply(params_of(encoder), one(cell, i)) for i in range(NETWORKS)]
  np.testing.assert_allclose(
      codes(encoder, cell)[0], np.stack(alone), rtol=1e-4, atol=1e-5
  )


def check_gradients(encoder, cell, kind):
  """Gradients are finite, also for a network of zeros."""
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


def changes(z):
  """Changes of codes [3, n, Z] under permutations, and with flipped signs."""
  original, permuted, signed = z
  return np.max(np.abs(permuted - original)), np.max(np.abs(signed - original))


def check_invariance(encoder, cell, kind):
  """`invariant` claims invariance under signed permutations, correctly."""
  del kind
  _, change = changes(codes(encoder, cell))
  if encoder.invariant:
    assert change < 1e-4
  elif cells.load(cell).odd_gates:  # other cells have no signs to flip
    assert change > 1e-3


def check_transcript(encoder, cell, kind):
  """Probes are valid inputs, and answers the network's outputs on them."""
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
  outputs = jax.jit(rnn.unroll)(weights, transcript.probes)
  answers, expected = map(jax.nn.log_softmax, (transcript.answers, outputs))
  np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


def check_start(encoder, cell, kind):
  """Probes that are initialised as real inputs equal them."""
  if encoder.start_from is None:
    return
  length, parallel = SMALL["length"], SMALL["parallel"]
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


def check_observation(encoder, cell, kind):
  """`apply` is `read` of `observe`, which uses no learned params."""
  del kind
  if encoder.observe is None:
    assert encoder.read is None
    return
  params, weights = params_of(encoder), one(cell)
  features = jax.jit(encoder.observe)(params, weights)
  assert features.ndim == 1
  assert features.dtype == np.float32
  for key in (None, jax.random.key(3)):
    np.testing.assert_allclose(
        encoder.read(params, features, key),
        encoder.apply(params, weights, key),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
  learned = {k: v for k, v in params.items() if k != "fixed"}
  changed = jax.tree.map(lambda leaf: leaf + 1, learned)
  np.testing.assert_array_equal(
      jax.jit(encoder.observe)(params | changed, weights), features
  )
  gradient = jax.grad(lambda p: jnp.sum(encoder.apply(p, weights)[:2]))(params)
  assert not np.any(gradient["fixed"])


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


AUTOREGRESSIVE = ("dialogue", "listening")  # need such networks
OF_ONE_WIDTH = ("flat", "transformer")  # params depend on widths
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
    "hybrid, signed": ("hybrid", {"symmetry": "signed"}),
    "watching, MLP": ("watching", {"layers": 1, "every": 2}),
}  # fmt: skip


@functools.cache
def made(name, cell, kind, width=0):
  name, fields = VARIANTS.get(name, (name, {}))
  inputs = encoders.Inputs(kind, first=0, length=SMALL["length"])
  return encoders.make(
      name, {**small(name), **fields}, rnn_of(cell, width), inputs
  )


ON_EVERY_CELL = (
    check_code, check_gradients, check_invariance, check_transcript,
)  # fmt: skip
SLOW = (check_without_jit, check_networks_apart, check_key)


CELLS = [  # all, LSTMs alone are not slow
    pytest.param(cell, marks=[] if cell == "lstm" else [pytest.mark.slow])
    for cell in cells.names()
]


def _on_cells():
  """Encoders on all cells, variants on LSTMs; LSTMs alone are not slow."""
  for name in encoders.names():
    for cell in cells.names():
      marks = [] if cell == "lstm" else [pytest.mark.slow]
      yield pytest.param(name, cell, marks=marks, id=f"{name}-{cell}")
  for name in VARIANTS:
    yield pytest.param(name, "lstm", marks=pytest.mark.slow, id=f"{name}-lstm")


def _cases():
  """Those, and the checks that each has to pass."""
  for case in _on_cells():
    name, cell = case.values
    for check in CHECKS if cell == "lstm" else ON_EVERY_CELL:
      marks = [pytest.mark.slow] if check in SLOW else case.marks
      id_ = f"{name}-{cell}-{check.__name__}"
      yield pytest.param(name, cell, check, marks=marks, id=id_)


@pytest.mark.parametrize("name, cell, check", [*_cases()])
def test_contract(name, cell, check):
  check(made(name, cell, "token"), cell, "token")


@pytest.mark.slow
@pytest.mark.parametrize("name, cell", [*_on_cells()])
def test_one_encoder_serves_networks_of_several_widths(name, cell):
  """In a mixed zoo, the same params encode every width, invariantly."""
  params = params_of(made(name, cell, "token"))
  other = made(name, cell, "token", width=1)
  same = jax.tree.map(jnp.shape, params) == jax.tree.map(
      jnp.shape, jax.eval_shape(other.init, jax.random.key(0))
  )
  assert same == (name not in OF_ONE_WIDTH)
  if not same:
    return
  z = encode(other, params, cell, width=1)
  np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, rtol=1e-4)
  alone = jax.jit(other.apply)(params, one(cell, 1, width=1))
  np.testing.assert_allclose(z[0, 1], alone, rtol=1e-4, atol=1e-5)
  _, change = changes(z)
  assert change < 1e-4 or not other.invariant


@pytest.mark.parametrize("name, cell", [*_on_cells()])
def test_training_lowers_for_accelerators(name, cell):
  """A batch's loss and gradient lower for GPUs and TPUs, without callbacks."""
  encoder = made(name, cell, "token")

  def loss(params, weights, keys):
    z = jax.vmap(encoder.apply, (None, 0, 0))(params, weights, keys)
    return jnp.sum(z[:, 0])

  weights, _, _ = networks(cell)
  traced = jax.jit(jax.value_and_grad(loss)).trace(
      params_of(encoder), weights, jax.random.split(jax.random.key(0), NETWORKS)
  )
  for platform in ("cuda", "tpu"):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "callback" not in text
    assert "weightspace" not in text  # calls of C++ kernels


@pytest.mark.parametrize("check", [check_transcript, check_start])
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else [])
    for name in sorted({*encoders.names(), *VARIANTS} - {*AUTOREGRESSIVE})
])  # fmt: skip
def test_contract_with_real_inputs(name, check):
  if VARIANTS.get(name, ("", {}))[1].get("start") != "samples":
    check(made(name, "lstm", "real"), "lstm", "real")


@pytest.mark.parametrize("name", [*AUTOREGRESSIVE, "interactive, samples"])
def test_sampling_needs_autoregressive_networks(name):
  with pytest.raises(ValueError, match="needs autoregressive networks"):
    made(name, "lstm", "real")
  name, fields = VARIANTS.get(name, (name, {}))
  without_first = encoders.Inputs("token", length=SMALL["length"])
  with pytest.raises(ValueError, match=r"TaskSpec\.first"):
    encoders.make(
        name, {**small(name), **fields}, rnn_of("gru"), without_first
    )


@pytest.mark.parametrize("cell", CELLS)
def test_statistics_of_absolute_values_are_invariant(cell):
  fields = {**small("statistics"), "symmetry": "signed"}
  encoder = encoders.make("statistics", fields, rnn_of(cell), TOKENS)
  assert encoder.invariant
  check_invariance(encoder, cell, "token")


@pytest.mark.parametrize("name", ["dws", "hybrid", "statistics"])
@pytest.mark.parametrize("cell", CELLS)
def test_invariance_under_permutations_alone(name, cell):
  encoder = made(name, cell, "token")
  assert not encoder.invariant
  assert changes(codes(encoder, cell))[0] < 1e-4


TOKENS = encoders.Inputs("token")


def _flat(project=lambda x: x):
  """The simplest valid encoder: a projection of the weights."""

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


def _observes_learned_params(params, weights):
  features = made("watching", "lstm", "token").observe(params, weights)
  first = params["reader"]["params"]["Dense_0"]["bias"][0]
  return features + first


def _starts_elsewhere(params, examples):
  started = made("noninteractive, inputs", "lstm", "token").start_from(
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
        made("statistics", "lstm", "token")._replace(invariant=True),
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
        made("watching", "lstm", "token")._replace(
            observe=_observes_learned_params
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


def test_the_flat_encoder_is_valid():
  for check in CHECKS:
    check(FLAT, "lstm", "token")


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
    check_networks_apart(FLAT._replace(apply=apply), "lstm", "token")


def test_contract_rejects_reals_out_of_bounds():
  honest = made("interactive", "lstm", "real")

  def transcript(params, weights):
    valid = honest.transcript(params, weights)
    return valid._replace(probes=valid.probes + 3)

  with pytest.raises(AssertionError):
    check_transcript(honest._replace(transcript=transcript), "lstm", "real")


def test_every_check_rejects_something():
  rejected = {check for _, check in BROKEN.values()} | {check_networks_apart}
  assert rejected == set(CHECKS)


def test_encoders_are_modules_of_the_package(plant):
  code = "from weightspace.encoders.constant import Config, make"
  plant("weightspace.encoders", "planted", code)
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
        ("statistics", {"symmetry": "none"}, "token", "must be one of perm"),
        ("statistics", {"hidden": 0}, "token", "must be at least 1"),
    ],
)
def test_invalid_configs_raise(name, fields, kind, message):
  with pytest.raises(ValueError, match=message):
    encoders.make(name, fields, rnn_of("lstm"), encoders.Inputs(kind, 0, 4))
