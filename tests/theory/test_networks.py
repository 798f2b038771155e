"""Networks built by hand compute secret paths, on all prefixes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import symmetry, tasks
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import secret_path
from weightspace.theory import families, networks, rollouts

CELLS = ("elman", "lstm", "gru")
DEPTH = 5
WORDS = rollouts.words(DEPTH)
STRINGS = rollouts.words(DEPTH - 1)


def built(cell, depth=DEPTH, **options):
  rnn = networks.make(cell, depth, depth + 3)
  build = jax.jit(
      jax.vmap(lambda word: networks.build(rnn, word, **options))
  )
  return rnn, build(jnp.asarray(rollouts.words(depth)))


def answers_of(rnn, weights, strings):
  ask = jax.jit(jax.vmap(lambda w: rollouts.ask(rnn, w, strings)))
  return np.asarray(ask(weights))


def wrong(answers):
  """Answers [words, strings, d] that are not those of f_w."""
  right = [
      [
          [families.secret_path(w, x[:t]) for t in range(DEPTH)]
          for x in STRINGS.tolist()
      ]
      for w in WORDS.tolist()
  ]
  return np.sum(np.where(answers == networks.OFF, -1, answers) + 1 != right)


@pytest.mark.parametrize("cell", CELLS)
def test_every_network_computes_its_function(cell):
  rnn, weights = built(cell)
  assert wrong(answers_of(rnn, weights, STRINGS)) == 0


def test_a_wrong_network_is_noticed():
  rnn, weights = built("elman")
  others = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), weights)
  assert wrong(answers_of(rnn, others, STRINGS)) > len(WORDS)


@pytest.mark.parametrize("cell", CELLS)
def test_units_saturate(cell):
  """No answer is in doubt, and half-way tokens never walk two ways."""
  rnn, weights = built(cell)
  tokens = np.pad(STRINGS, ((0, 0), (1, 0)), constant_values=networks.BOS)
  unroll = jax.jit(jax.vmap(rnn.unroll, (0, None)))
  logits = unroll(weights, jax.nn.one_hot(tokens.T, networks.TOKENS))
  best, second = np.sort(logits, axis=-1)[..., :-3:-1].transpose(3, 0, 1, 2)
  assert np.min(best - second) > 14.9
  half = jnp.full((DEPTH, networks.TOKENS), 0.5)
  answers = jnp.argmax(unroll(weights, half), axis=-1)
  np.testing.assert_array_equal(answers[:, 0], WORDS[:, 0])
  assert np.all(answers[:, 1:] == networks.OFF)


@pytest.mark.parametrize("cell", CELLS)
def test_any_first_token_starts_the_walk(cell):
  rnn, weights = built(cell)
  rest = jax.nn.one_hot(jnp.asarray(WORDS[:, :-1]), networks.TOKENS)
  unroll = jax.jit(jax.vmap(rnn.unroll))
  for first in range(networks.TOKENS):
    xs = jnp.pad(rest, ((0, 0), (1, 0), (0, 0))).at[:, 0, first].set(1.0)
    answers = jnp.argmax(unroll(weights, xs), axis=-1)
    np.testing.assert_array_equal(answers, WORDS)


@pytest.mark.parametrize("cell", CELLS)
def test_one_echo_reads_the_word(cell):
  rnn, weights = built(cell)
  read = jax.jit(jax.vmap(lambda w: rollouts.echo(rnn, w, DEPTH)))(weights)
  np.testing.assert_array_equal(read, WORDS)


def test_perfect_in_the_eyes_of_the_task_family():
  family = tasks.make("secret_path", {"depth": DEPTH})
  assert (networks.BOS, networks.OFF, networks.TOKENS) == (
      secret_path.BOS, secret_path.OFF, secret_path.TOKENS,
  )  # fmt: skip
  rnn, weights = built("lstm")
  metrics = jax.jit(
      jax.vmap(
          lambda task, w: family.performance(jax.random.key(0), task, rnn, w)
      )
  )(jnp.asarray(WORDS), weights)
  assert np.all(metrics["accuracy"] == 1)
  assert np.all(metrics["loss"] < 1e-5)


def test_their_symmetries_compute_the_same():
  rnn, weights = built("lstm")
  keys = jax.random.split(jax.random.key(0), len(WORDS))
  move = jax.jit(jax.vmap(lambda k, w: symmetry.augment(k, rnn, w)))
  moved = move(keys, weights)
  assert wrong(answers_of(rnn, moved, STRINGS)) == 0
  assert np.any(moved.readout.w != weights.readout.w)


@pytest.mark.parametrize(
    "cell, depth, hidden, message",
    [
        ("lstm", 4, 4, "needs a depth of at least 1 and 5 units, got 4"),
        ("lstm", 0, 4, "needs a depth of at least 1"),
        ("peephole", 4, 8, "only of elman, lstm, gru"),
    ],
)
def test_what_cannot_be_built_is_refused(cell, depth, hidden, message):
  with pytest.raises(ValueError, match=message):
    networks.make(cell, depth, hidden)


def test_a_single_bit():
  rnn, weights = built("elman", depth=1)
  nothing = jnp.zeros((1, 0), jnp.int32)
  np.testing.assert_array_equal(
      answers_of(rnn, weights, nothing).ravel(), [0, 1]
  )


def test_random_weights_compute_no_path():
  rnn = make_rnn(RNNSpec("lstm", (8,), networks.TOKENS, networks.TOKENS))
  keys = jax.random.split(jax.random.key(1), len(WORDS))
  assert wrong(answers_of(rnn, jax.vmap(rnn.init)(keys), STRINGS)) > 100
