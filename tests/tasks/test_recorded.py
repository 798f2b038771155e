"""Recorded networks: lengths are stored, tasks described, nothing sampled."""

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace import tasks
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import recorded

TOKENS = {"inputs": 5, "outputs": 5, "length": 4, "kind": "token"}
REALS = {"inputs": 2, "outputs": 3, "length": 4, "kind": "real"}


@given(data=st.data())
@pytest.mark.parametrize("fields", [TOKENS, REALS], ids=["token", "real"])
def test_inputs_and_lengths_are_stored(data, fields):
  family = tasks.make("recorded", fields)
  size, steps = fields["inputs"], fields["length"]
  if fields["kind"] == "token":
    inputs = data.draw(
        hnp.arrays(np.int64, (3, steps), elements=st.integers(0, size - 1))
    )
    wanted = np.eye(size)[inputs]
  else:
    reals = st.floats(-9, 9, width=32)
    inputs = data.draw(hnp.arrays("f4", (3, steps, size), elements=reals))
    wanted = inputs
  lengths = data.draw(
      hnp.arrays(np.int64, (3,), elements=st.integers(1, steps))
  )
  sequences = recorded.to_sequences(inputs, lengths, size)
  mask = np.arange(steps)[:, None] < lengths
  np.testing.assert_array_equal(family.mask(sequences), mask)
  encoded = family.encode(np.zeros(1), sequences)
  assert encoded.dtype == np.float32
  np.testing.assert_array_equal(
      encoded, np.swapaxes(wanted, 0, 1) * mask[..., None]
  )


@pytest.mark.parametrize(
    "size, dtype", [(2, "i1"), (128, "i1"), (129, "i2"), (40_000, "i4")]
)
def test_tokens_are_stored_as_small_as_they_are(size, dtype):
  inputs = np.array([[size - 1, 0]])
  stored = recorded.to_sequences(inputs, np.array([2]), size)
  assert stored.dtype == dtype
  assert stored.tolist() == [[size - 1, 0, recorded.PADDING]]


def test_networks_write_their_own_sequences():
  family = tasks.make("recorded", {**TOKENS, "first": 2})
  rnn = make_rnn(RNNSpec("gru", (3,), 5, 5))
  weights = rnn.init(jax.random.key(0))
  seen = family.rollouts(jax.random.key(1), None, rnn, weights, 6)
  assert seen.sequences.shape == (6, 5)
  assert np.all(seen.sequences[:, 0] == 2)
  inputs = family.encode(None, seen.sequences)
  answers = jax.nn.log_softmax(rnn.unroll(weights, inputs))
  np.testing.assert_allclose(
      np.swapaxes(answers, 0, 1), seen.log_probs, atol=1e-2
  )


def test_nothing_else_is_sampled_or_measured():
  family = tasks.make("recorded", TOKENS)
  for ask in (
      lambda: family.sample_task(None),
      lambda: family.sample_batch(None, None, 3),
      lambda: family.rollouts(None, None, None, None, 3),
      lambda: family.performance(None, None, None, None),
  ):
    with pytest.raises(ValueError, match="were trained elsewhere"):
      ask()


def test_tasks_in_words():
  family = tasks.make("recorded", {
      "split": ["delay", "optimizer", "rate"],
      "categories": {"optimizer": ["adam", "sgd"]},
  })  # fmt: skip
  assert family.spec.categories == (("optimizer", ("adam", "sgd")),)
  described = family.describe(np.array([20, 1, 0.1], np.float32))
  assert described == "delay 20, optimizer sgd, rate 0.1"
  by_network = tasks.make("recorded", {})
  assert by_network.describe(np.array([1234567.0])) == "network 1234567"


def test_novelty_is_a_hash_or_the_first_number():
  drawn = np.array([[i, j] for i in range(40) for j in range(40)], "f4")
  novelty = np.array(jax.vmap(tasks.make("recorded", {
      "split": ["a", "b"],
  }).novelty)(drawn))  # fmt: skip
  assert len(np.unique(novelty)) == len(drawn)
  assert novelty.min() >= 0 and novelty.max() < 1
  assert abs(np.corrcoef(novelty, drawn[:, 0])[0, 1]) < 0.1
  # It holds out a share of the tasks of any value
  assert 3 < np.sum(novelty.reshape(40, 40) > 0.85, axis=1).mean() < 9
  highest = tasks.make("recorded", {"held_out": "highest"})
  np.testing.assert_array_equal(
      jax.vmap(highest.novelty)(drawn), drawn[:, 0]
  )


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"kind": "text"}, "kind must be one of token, real"),
        ({"outputs": 1}, "outputs must be at least 2"),
        ({"held_out": "last"}, "held_out must be one of random, highest"),
        ({"split": []}, "at least one column"),
        ({"split": ["a", "a"]}, "each once"),
        ({"first": 1, "inputs": 3, "outputs": 3}, "read the tokens they"),
        ({**TOKENS, "first": 5}, "first must be at most 4"),
        ({**TOKENS, "outputs": 6, "first": 0}, "have 6 outputs"),
        ({"split": ["o"], "categories": {"o": ["x"]}, "held_out": "highest"},
         "'o' is text"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be(fields, message):
  with pytest.raises(ValueError, match=message):
    tasks.make("recorded", fields)
