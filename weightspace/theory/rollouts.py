"""What rollouts of a secret path's RNN tell: counted, and measured.

A rollout of d steps puts d queries to the network, one for each prefix of the
string that it reads. Echoing each bit that it answers walks along w and reads
all of it. A string fixed beforehand follows a random w for t bits with
probability 2^-t, so it is answered 1 + 1/2 + ... + 2^(1 - d) = 2 - 2^(1 - d)
bits on average. M strings do best where they branch off as early as they can.
"""

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.rnn import RNN
from weightspace.theory.networks import BOS, OFF, TOKENS
from weightspace.types import Weights


def words(depth: int) -> np.ndarray:
  """All of {0, 1}^depth: [2^depth, depth] int32, in lexicographic order."""
  numbers = np.arange(2**depth)[:, None]
  return (numbers >> np.arange(depth)[::-1] & 1).astype(np.int32)


def branching_strings(depth: int, count: int) -> np.ndarray:
  """Strings with as many different prefixes of each length as there can be.

  Args:
    depth: d.
    count: M.

  Returns:
    [M, d - 1] int32: string j spells j, the lowest bit first.
  """
  numbers = np.arange(count)[:, None]
  return (numbers >> np.arange(depth - 1) & 1).astype(np.int32)


def expected_bits(depth: int, count: int = 1) -> float:
  """Bits of a random w that M fixed strings are answered on average, at most.

  At step t they have at most min(M, 2^t) different prefixes, each of which is
  on the path with probability 2^-t. With M = 1 it is 2 - 2^(1 - d).
  """
  return sum(min(count, 2**t) / 2**t for t in range(depth))


def expected_accuracy(depth: int, count: int = 1) -> float:
  """How often the answers to M fixed strings can identify w, at most.

  Each different prefix makes for one more outcome, and of the words that give
  the same outcome one can be guessed.
  """
  outcomes = 1 + sum(min(count, 2**t) for t in range(depth))
  return outcomes / 2**depth


def ask(rnn: RNN, weights: Weights, strings: jax.Array) -> jax.Array:
  """What a network answers to fixed strings.

  Args:
    rnn: its shape.
    weights: of one network.
    strings: [M, T - 1] int32 bits.

  Returns:
    [M, T] int32 in {0, 1, OFF}: the answer to each prefix.
  """
  tokens = jnp.pad(strings, ((0, 0), (1, 0)), constant_values=BOS)
  inputs = jax.nn.one_hot(tokens.T, TOKENS, dtype=jnp.float32)
  logits = rnn.unroll(weights, inputs)
  return jnp.argmax(logits, axis=-1).T.astype(jnp.int32)


def echo(rnn: RNN, weights: Weights, depth: int) -> jax.Array:
  """Reads w in one interactive rollout: each answer is the next question.

  Args:
    rnn: its shape.
    weights: of one network.
    depth: d, steps.

  Returns:
    [d] int32, the answers: w, if the network is what it should be.
  """

  def step(carry, _):
    state, token = carry
    x = jax.nn.one_hot(token, TOKENS, dtype=jnp.float32)
    state, logits = rnn.step(weights, state, x)
    answer = jnp.argmax(logits).astype(jnp.int32)
    return (state, answer), answer

  start = rnn.initial_state(()), jnp.int32(BOS)
  return jax.lax.scan(step, start, length=depth)[1]


def bits_answered(answers: np.ndarray, strings: np.ndarray) -> float:
  """Bits of its w that a network reveals on average, measured.

  Args:
    answers: [N, M, T] of N networks, from `ask`.
    strings: [M, T - 1] fed to them; a common prefix of two strings is counted
      once.
  """
  kept = {
      tuple(string[:t]): (m, t)
      for m, string in enumerate(strings.tolist())
      for t in range(answers.shape[2])
  }
  which = tuple(np.array(list(kept.values())).T)
  return float(np.mean(np.sum(answers[:, *which] != OFF, axis=1)))


def information(answers: np.ndarray) -> float:
  """Entropy in bits of what N equally likely networks answer.

  If the words are all different and determine the answers, it is the mutual
  information of answers and word.

  Args:
    answers: [N, M, T].
  """
  flat = answers.reshape(len(answers), -1)
  _, counts = np.unique(flat, axis=0, return_counts=True)
  share = counts / len(answers)
  return float(-np.sum(share * np.log2(share)))
