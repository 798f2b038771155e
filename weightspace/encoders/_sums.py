"""Sums over time of probes and answers, and a reader of them as a set.

Sums do not tell when something happened. On sequences that a network sampled
by itself they are counts, which generalise to networks of unseen tasks, where
a reader that knows times memorises those of the training tasks.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace.encoders import Inputs, Transcript, _modules
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.types import Key, Weights


def features(kind: str, transcript: Transcript) -> jax.Array:
  """Sums over time of each sequence.

  With x the probe and p the answer's probabilities at a step: x, p and all
  pairs x_i p_j; and, to tell how sure the network is, all x_i p_j (1 - p_j),
  x_i log max p and x_i times the entropy of p. Of real probes, p and
  p (1 - p) alone, and p of the last step.

  Args:
    kind: of the probes, "token" or "real".
    transcript: probes `[L, M, I]` and answers `[L, M, V]`.

  Returns:
    `[M, F]`, divided by the square root of L.
  """
  probes, log_p = transcript.probes, jax.nn.log_softmax(transcript.answers)
  p = jnp.exp(log_p)
  doubt = p * (1 - p)
  length, parallel, _ = p.shape
  if kind == "real":
    found = [jnp.sum(p, axis=0), jnp.sum(doubt, axis=0), p[-1]]
  else:
    found = [
        jnp.sum(probes, axis=0),
        jnp.sum(p, axis=0),
        jnp.einsum("tmi,tmv->miv", probes, p).reshape(parallel, -1),
        jnp.einsum("tmi,tmv->miv", probes, doubt).reshape(parallel, -1),
        jnp.einsum("tmi,tm->mi", probes, jnp.max(log_p, axis=-1)),
        -jnp.einsum("tmi,tmv,tmv->mi", probes, p, log_p),
    ]
  return jnp.concatenate(found, axis=-1) * jnp.float32(length) ** -0.5


class Reader(nn.Module):
  """Reads features `[M, F]` of a set of sequences: their order is no matter.

  An MLP of each, their mean, an MLP of that; and a linear map of the features'
  mean, since many properties are linear in it.
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
  """Sequences that a network samples by itself; no gradient passes.

  Args:
    rnn: the shape of the network.
    inputs: what it reads; checked by `check_generates`.
    weights: of one network.
    key: of the draws; None for draws that are always the same.
    strings: sequences, M.
    length: steps of each, L.

  Returns:
    The tokens it read, one-hot, and its answers, log-probabilities.
  """
  weights = jax.lax.stop_gradient(weights)
  draws = jax.random.uniform(sampling_key(key), (length, strings))
  tokens, answers = rnn.generate(weights, inputs.first, draws)
  read = jnp.concatenate(
      [jnp.full((1, strings), inputs.first, tokens.dtype), tokens[:-1]]
  )
  return Transcript(jax.nn.one_hot(read, rnn.spec.inputs), answers)


def make_sample_reader(
    rnn: RNN,
    inputs: Inputs,
    config,
    *,
    hidden: int,
    length: int,
    fresh: bool = True,
) -> tuple[Callable, Callable, Callable]:
  """What reads a code, not yet of length 1, from a network's own samples.

  Args:
    rnn: the shape of the network.
    inputs: what it reads; checked by `check_generates`.
    config: with `strings`, sequences in training, `eval_strings`, outside of
      it, and the size of the `code`.
    hidden: units of each hidden layer of the reader.
    length: steps of each sequence, L.
    fresh: whether a key makes new draws; where not, they are always the same.

  Returns:
    init: (key) -> params.
    apply: (params, weights, key or None) -> [Z].
    transcript: (weights, key or None) -> the samples.
  """
  reader = Reader(hidden, config.code)

  def init(key):
    blank = Transcript(
        jnp.zeros((length, 1, rnn.spec.inputs)),
        jnp.zeros((length, 1, rnn.spec.outputs)),
    )
    return reader.init(key, features("token", blank))

  def transcript(weights, key):
    strings = config.eval_strings if key is None else config.strings
    key = key if fresh else None
    return sample(rnn, inputs, weights, key, strings, length)

  def apply(params, weights, key):
    return reader.apply(params, features("token", transcript(weights, key)))

  return init, apply, transcript


def sampling_key(key: Key | None) -> Key:
  """The key of sampling: `key`, or, outside of training, always the same."""
  return derive(jax.random.key(0), "evaluation") if key is None else key


def check_generates(rnn: RNN, inputs: Inputs, what: str) -> None:
  """Refuses networks that cannot be sampled from.

  Raises:
    ValueError: they read no tokens, cannot read what they answer, or their
      family names no first token.
  """
  if inputs.kind != "token" or rnn.spec.inputs != rnn.spec.outputs:
    raise ValueError(
        f"{what} needs networks that generate: these read {rnn.spec.inputs}"
        f" ({inputs.kind}) and answer {rnn.spec.outputs}, expected as many"
        " tokens of both; use an encoder that probes, such as 'noninteractive'"
    )
  if inputs.first is None:
    raise ValueError(
        f"{what} needs the token that sequences begin with, and this family of"
        " tasks names none (TaskSpec.first)"
    )
