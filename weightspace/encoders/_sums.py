"""Sums over time of a network's inputs and outputs, and a DeepSets reader.

Sums discard times. For sequences sampled from an autoregressive network they
are counts. Counts generalise to networks of unseen tasks; a reader with access
to times memorises the training tasks.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace.encoders import Inputs, Transcript, _modules
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.rnn import RNN
from weightspace.types import Key, Weights


def features(kind: str, transcript: Transcript) -> jax.Array:
  """Sums over time, for each sequence.

  With x the probe and p the output probabilities at a step, the summands are
  x, p and all pairs x_i p_j; and, for the network's uncertainty,
  x_i p_j (1 - p_j), x_i log max p and x_i times the entropy of p. For real
  probes they are p and p (1 - p), joined by p of the last step.

  Args:
    kind: of the probes, "token" or "real".
    transcript: probes `[L, M, I]` and outputs `[L, M, V]`.

  Returns:
    `[M, F]` float32, divided by the square root of L.
  """
  probes, log_p = transcript.probes, jax.nn.log_softmax(transcript.answers)
  p = jnp.exp(log_p)
  variance = p * (1 - p)
  length, parallel, _ = p.shape
  if kind == "real":
    parts = [jnp.sum(p, axis=0), jnp.sum(variance, axis=0), p[-1]]
  else:
    parts = [
        jnp.sum(probes, axis=0),
        jnp.sum(p, axis=0),
        jnp.einsum("tmi,tmv->miv", probes, p).reshape(parallel, -1),
        jnp.einsum("tmi,tmv->miv", probes, variance).reshape(parallel, -1),
        jnp.einsum("tmi,tm->mi", probes, jnp.max(log_p, axis=-1)),
        -jnp.einsum("tmi,tmv,tmv->mi", probes, p, log_p),
    ]
  return jnp.concatenate(parts, axis=-1) * jnp.float32(length) ** -0.5


class Reader(nn.Module):
  """Maps features `[M, F]` of a set of sequences to a code `[Z]`.

  DeepSets: an MLP of each sequence, the mean, an MLP. A linear map of the mean
  features is added, since many properties are linear in them.

  Attributes:
    hidden: units of each hidden layer.
    code: size of the code, Z.
  """

  hidden: int
  code: int

  @nn.compact
  def __call__(self, features):
    each = nn.relu(_modules.MLP((self.hidden, self.hidden))(features))
    code = _modules.MLP((self.hidden, self.code))(jnp.mean(each, axis=0))
    return code + nn.Dense(self.code)(jnp.mean(features, axis=0))


def sample(
    rnn: RNN,
    inputs: Inputs,
    weights: Weights,
    key: Key | None,
    strings: int,
    length: int,
) -> Transcript:
  """Samples sequences from an autoregressive network, without gradients.

  Args:
    rnn: the network's architecture.
    inputs: the network's inputs; see `check_generates`.
    weights: of one network.
    key: for sampling; None for a constant key.
    strings: number of sequences, M.
    length: steps of each sequence, L.

  Returns:
    The tokens read `[L, M, I]`, one-hot, and log-probabilities `[L, M, V]`.
  """
  weights = jax.lax.stop_gradient(weights)
  draws = jax.random.uniform(sampling_key(key), (length, strings), jnp.float32)
  tokens, answers = rnn.generate(weights, inputs.first, draws)
  read = jnp.concatenate(
      [jnp.full((1, strings), inputs.first, tokens.dtype), tokens[:-1]]
  )
  read = jax.nn.one_hot(read, rnn.spec.inputs, dtype=jnp.float32)
  return Transcript(read, answers)


class SampleReader(NamedTuple):
  """Functions that read one network's own samples.

  Attributes:
    init: (key) -> params.
    apply: (params, weights, key or None) -> code [Z], not normalised.
    transcript: (weights, key or None) -> the samples, a `Transcript`.
  """

  init: Callable
  apply: Callable
  transcript: Callable


def make_sample_reader(
    rnn: RNN,
    inputs: Inputs,
    config,
    *,
    hidden: int,
    length: int,
    fresh: bool = True,
) -> SampleReader:
  """A `Reader` of a network's own samples.

  Args:
    rnn: the networks' architecture.
    inputs: the networks' inputs; see `check_generates`.
    config: with fields `strings`, the number of sequences in training,
      `eval_strings`, in evaluation, and `code`, Z.
    hidden: units of each hidden layer.
    length: steps of each sequence, L.
    fresh: whether training samples new sequences at each step.
  """
  reader = Reader(hidden, config.code)

  def init(key):
    blank = Transcript(
        jnp.zeros((length, 1, rnn.spec.inputs), jnp.float32),
        jnp.zeros((length, 1, rnn.spec.outputs), jnp.float32),
    )
    return reader.init(key, features("token", blank))

  def transcript(weights, key):
    strings = config.eval_strings if key is None else config.strings
    key = key if fresh else None
    return sample(rnn, inputs, weights, key, strings, length)

  def apply(params, weights, key):
    return reader.apply(params, features("token", transcript(weights, key)))

  return SampleReader(init, apply, transcript)


def sampling_key(key: Key | None) -> Key:
  """`key` in training; a constant key in evaluation, where `key` is None."""
  return derive(make_key(0), "evaluation") if key is None else key


def check_generates(rnn: RNN, inputs: Inputs, what: str) -> None:
  """Checks that networks can be sampled autoregressively.

  Args:
    rnn: the networks' architecture.
    inputs: the networks' inputs.
    what: what requires it, for the message.

  Raises:
    ValueError: inputs are not tokens, or not of the size of the outputs; or
      the task family has no first token.
  """
  if inputs.kind != "token" or rnn.spec.inputs != rnn.spec.outputs:
    raise UserError(
        f"{what} needs autoregressive networks, with as many input as output"
        f" tokens; these have {rnn.spec.inputs} inputs ({inputs.kind}) and"
        f" {rnn.spec.outputs} outputs; use the encoder 'watching', or"
        " probes with start='inputs'"
    )
  if inputs.first is None:
    raise UserError(
        f"{what} needs the token that sequences begin with, but this task"
        " family defines none (TaskSpec.first)"
    )
