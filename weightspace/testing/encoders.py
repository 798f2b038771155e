"""The contract of encoders."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells, symmetry
from weightspace.encoders import Encoder, Inputs, Transcript
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.testing._rules import make_test, rule

INPUTS, OUTPUTS, NETWORKS = 4, 4, 3  # as many of both: autoregressive
WIDTHS = {  # two widths of networks in a mixed zoo, by cell
    "elman": ((4,), (6,)), "gru": ((4,), (6,)), "lstm": ((4, 3), (5, 6)),
}  # fmt: skip
LENGTH = 4  # steps of a sequence
BOUNDS = (-2.0, 1.0)  # of probes that are real numbers


class Case(NamedTuple):
  """An encoder of networks that `rnn_of` makes.

  Attributes:
    encoder: the encoder.
    cell: of the networks.
    kind: of their inputs, "token" or "real".
    bounds: of probes that are real numbers.
  """

  encoder: Encoder
  cell: str = "lstm"
  kind: str = "token"
  bounds: tuple[float, float] = BOUNDS


@functools.cache
def rnn_of(cell: str, width: int = 0) -> RNN:
  """The small networks that encoders are tried on, of a cell."""
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


@rule
def check_code(case):
  """A code is a deterministic float32 vector of length 1."""
  encoder, cell = case.encoder, case.cell
  params, weights = params_of(encoder), one(cell)
  code = jax.eval_shape(encoder.apply, params, weights)
  assert code.ndim == 1
  assert code.dtype == np.float32
  norms = np.linalg.norm(codes(encoder, cell), axis=-1)
  np.testing.assert_allclose(norms, 1, rtol=1e-4)
  for leaf in jax.tree.leaves(params):
    assert leaf.dtype == jnp.float32


@rule
def check_without_jit(case):
  """A code computed op by op is that of the compiled program."""
  encoder, cell = case.encoder, case.cell
  params, weights = params_of(encoder), one(cell)
  eager = encoder.apply(params, weights)
  jitted = jax.jit(encoder.apply)(params, weights)
  np.testing.assert_allclose(jitted, eager, rtol=1e-4, atol=1e-5)


@rule
def check_key(case):
  """Codes depend on the key only; without one they are deterministic."""
  encoder, cell = case.encoder, case.cell
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


@rule
def check_networks_apart(case):
  """A network's code does not depend on the rest of its batch."""
  encoder, cell = case.encoder, case.cell
  apply = jax.jit(encoder.apply)
  alone = [apply(params_of(encoder), one(cell, i)) for i in range(NETWORKS)]
  np.testing.assert_allclose(
      codes(encoder, cell)[0], np.stack(alone), rtol=1e-4, atol=1e-5
  )


@rule
def check_gradients(case):
  """Gradients are finite, also for a network of zeros."""
  encoder, cell = case.encoder, case.cell
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


@rule
def check_invariance(case):
  """`invariant` claims invariance under signed permutations, correctly."""
  encoder, cell = case.encoder, case.cell
  _, change = changes(codes(encoder, cell))
  if encoder.invariant:
    assert change < 1e-4
  elif cells.load(cell).odd_gates:  # other cells have no signs to flip
    assert change > 1e-3


@rule
def check_transcript(case):
  """Probes are valid inputs, and answers the network's outputs on them.

  Tokens are not negative and sum to 1; real numbers are bounded.
  """
  encoder, cell = case.encoder, case.cell
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
  if case.kind == "token":
    assert np.all(transcript.probes >= 0)
    sums = np.sum(transcript.probes, axis=-1)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
  else:
    assert np.all(transcript.probes >= case.bounds[0])
    assert np.all(transcript.probes <= case.bounds[1])
  outputs = jax.jit(rnn.unroll)(weights, transcript.probes)
  answers, expected = map(jax.nn.log_softmax, (transcript.answers, outputs))
  np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


@rule
def check_start(case):
  """Probes that are initialised as real inputs equal them.

  `start_from` refuses, by a ValueError, fewer inputs than there are probes.
  """
  encoder, cell = case.encoder, case.cell
  if encoder.start_from is None:
    return
  params, weights = params_of(encoder), one(cell)
  probe = jax.jit(encoder.transcript)
  length, parallel, _ = probe(params, weights).probes.shape
  shape = (parallel + 1, length, INPUTS)
  if case.kind == "token":
    tokens = jax.random.randint(jax.random.key(5), shape[:2], 0, INPUTS)
    examples = jax.nn.one_hot(tokens, INPUTS)
  else:  # some numbers are equal, none is a bound
    low, high = case.bounds
    examples = jax.random.uniform(
        jax.random.key(5), shape, minval=0.9 * low + 0.1 * high, maxval=high
    ).clip(max=0.2 * low + 0.8 * high)
  started = encoder.start_from(params, examples)
  probes = probe(started, weights).probes
  expected = np.swapaxes(examples[:parallel], 0, 1)
  if case.kind == "token":
    np.testing.assert_array_equal(
        np.argmax(probes, axis=-1), np.argmax(expected, axis=-1)
    )
  else:
    np.testing.assert_allclose(probes, expected, atol=1e-4)
  try:
    encoder.start_from(params, examples[: parallel - 1])
  except ValueError:
    pass
  else:
    raise AssertionError(f"{parallel - 1} inputs started {parallel} probes")
  assert jax.tree.structure(started) == jax.tree.structure(params)


@rule
def check_observation(case):
  """`apply` is `read` of `observe`, which uses no learned params."""
  encoder, cell = case.encoder, case.cell
  if encoder.observe is None:
    assert encoder.read is None
    return
  params, weights = params_of(encoder), one(cell)
  features = jax.jit(encoder.observe)(params, weights)
  assert features.ndim == 1
  assert features.dtype == np.float32
  for key in (None, jax.random.key(3)):
    np.testing.assert_allclose(
        jax.jit(encoder.read)(params, features, key),
        jax.jit(encoder.apply)(params, weights, key),
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


def contract(
    make: Callable[[RNN, Inputs], Encoder],
    *,
    on: Sequence[str] = ("lstm",),
    kinds: Sequence[str] = ("token", "real"),
    bounds: tuple[float, float] = BOUNDS,
) -> Callable[..., None]:
  """A pytest test of an encoder.

  Args:
    make: (shape of networks, `Inputs`) -> the encoder.
    on: names of the cells of the networks to encode.
    kinds: of inputs, "token" and "real"; ("token",) of an encoder that needs
      networks which generate.
    bounds: of probes that are real numbers.
  """
  first = {"token": 0, "real": None}
  return make_test(CHECKS, *(
      (f"{cell}-{kind}", (Case(
          make(rnn_of(cell), Inputs(kind, first[kind], LENGTH)),
          cell, kind, bounds,
      ),))
      for cell in on
      for kind in kinds
  ))  # fmt: skip
