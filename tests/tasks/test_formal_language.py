"""Formal languages against plain Python."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from weightspace import tasks
from weightspace.keys import derive
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import formal_language
from weightspace.tasks.formal_language import (
    BOS,
    EOS,
    VOCABULARY,
    Config,
    is_member,
    is_member_by_counts,
    make,
    sample_strings,
    write,
)
from weightspace.zoo import splits

PAPER = Config()
KEY = jax.random.key(0)
ALL = np.array(list(itertools.product(range(-3, 3), repeat=3)), np.int32)
LENGTH = 42


def reference(task, tokens, strict):
  """Membership, the plain way: tokens are a list of integers."""
  start, string = tokens[0], list(tokens[1:])
  if EOS not in string:
    return False
  end = string.index(EOS)
  word, rest = string[:end], string[end:]
  n = word.count(0)
  wanted = [n, *(n + int(m) for m in task)]
  if [word.count(letter) for letter in range(4)] != wanted:
    return False
  if not strict:
    return True
  in_order = word == [i for i in range(4) for _ in range(wanted[i])]
  return start == BOS and in_order and all(x == EOS for x in rest)


def spell(text, length=LENGTH, start=BOS, end=True):
  """Tokens of "aabb": BOS before it, and EOS up to the end after it."""
  word = ["abcd".index(letter) for letter in text]
  padding = [EOS if end else 3] * (length - 1 - len(word))
  return [start, *word, *padding]


def adversarial():
  """Strings that are nearly members of some language."""
  strings = []
  for n, task in itertools.product((0, 1, 3, 9, 10), ALL[::13]):
    powers = [n, *(n + task)]
    if min(powers) < 0 or sum(powers) > LENGTH - 1:
      continue
    text = "".join(x * int(k) for x, k in zip("abcd", powers))
    member = spell(text)
    strings += [member, spell(text, end=False), spell(text, start=EOS)]
    strings += [spell(text, start=0), spell(text[::-1]), spell(text[1:])]
    if len(text) < LENGTH - 2:
      strings += [spell(text + "d"), spell("a" + text)]
      for extra in (0, 3, BOS):  # after EOS
        late = list(member)
        late[-1] = extra
        strings.append(late)
      inside = list(member)
      inside.insert(1 + len(text) // 2, BOS)
      strings.append(inside[:LENGTH])
      early = list(member)
      early.insert(1 + len(text) // 2, EOS)
      strings.append(early[:LENGTH])
  texts = ("", "abab", "abcdabcd", "dcba", "abdc", "aabbccdd", "bacd", "abc")
  strings += [spell(text) for text in texts]
  strings += [[EOS] * LENGTH, [BOS] * LENGTH, [BOS] + [0] * (LENGTH - 1)]
  return np.unique(np.array(strings, np.int32), axis=0)


@functools.cache
def memberships():
  def both(task, strings):
    return is_member(task, strings), is_member_by_counts(task, strings)

  return jax.jit(jax.vmap(both, (0, None)))


def assert_as_reference(chosen, strings):
  strict, counts = memberships()(chosen, strings)
  words = strings.tolist()
  for members, kind in ((strict, True), (counts, False)):
    expected = [
        [reference(task, word, kind) for word in words] for task in chosen
    ]
    np.testing.assert_array_equal(members, expected)
  assert not np.any(strict & ~counts)
  return strict, counts


def test_adversarial_strings_of_all_languages():
  strict, counts = assert_as_reference(ALL, adversarial())
  assert np.sum(strict) > 100
  assert np.sum(counts) > np.sum(strict) + 100


def test_random_strings_of_all_languages():
  generator = np.random.default_rng(0)
  lengths = generator.integers(0, 6, 150)
  strings = [
      spell("".join(generator.choice(list("abcd"), n)), length=8)
      for n in lengths
  ]
  strings += generator.integers(0, VOCABULARY, (50, 8)).tolist()
  assert_as_reference(ALL, np.array(strings, np.int32))


@hypothesis.given(
    st.tuples(*[st.integers(-3, 2)] * 3),
    st.lists(st.integers(-1, VOCABULARY), min_size=8, max_size=8),
)
def test_any_tokens(task, tokens):
  word = np.array([[BOS, *tokens]], np.int32)
  strict, counts = memberships()(np.array([task], np.int32), word)
  assert bool(strict[0, 0]) == reference(task, word[0].tolist(), True)
  assert bool(counts[0, 0]) == reference(task, word[0].tolist(), False)


@pytest.mark.parametrize(
    "text, task, strict, counts",
    [
        ("", (0, 0, 0), True, True),
        ("abbc", (1, 0, -1), True, True),
        ("aabbbccd", (1, 0, -1), True, True),
        ("abab", (0, -2, -2), False, True),
        ("aabb", (0, -2, -2), True, True),
        ("bbc", (2, 1, 0), True, True),
        ("abbc", (1, 0, 0), False, False),
        ("a" * 10 + "b" * 10 + "c" * 10 + "d" * 10, (0, 0, 0), True, True),
    ],
)
def test_examples(text, task, strict, counts):
  tokens, task = np.array(spell(text)), np.array(task)
  assert bool(is_member(task, tokens)) == strict
  assert bool(is_member_by_counts(task, tokens)) == counts


@functools.cache
def drawn(always_fit):
  """256 strings of each of the 216 languages: [216, 256, 42]."""
  family = make(Config(always_fit=always_fit))

  def draw(key, task):
    batch = family.sample_batch(key, task, 256)
    read = jnp.argmax(batch.inputs, axis=-1)
    return read.T, batch.targets.T

  keys = jax.random.split(KEY, len(ALL))
  read, targets = jax.jit(jax.vmap(draw))(keys, ALL)
  np.testing.assert_array_equal(read[:, :, 1:], targets[:, :, :-1])
  return np.concatenate([read, targets[:, :, -1:]], axis=2).astype(np.int32)


def strict_members(strings):
  return np.asarray(jax.jit(jax.vmap(is_member))(ALL, strings))


def test_strings_that_are_drawn_are_members_and_n_covers_its_range():
  strings = drawn(True)
  assert np.all(strict_members(strings))
  for task, words in zip(ALL, strings):
    sampled = set(np.sum(words == 0, axis=1).tolist())
    fits = (
        n for n in range(max(0, -task.min()), 10)
        if 4 * n + task.sum() + 1 <= LENGTH - 1
    )  # fmt: skip
    assert sampled == set(fits), task


def test_the_papers_recipe_differs_where_eos_does_not_fit():
  strings = drawn(False)
  member = strict_members(strings)
  n = np.sum(strings == 0, axis=2)
  fits = 4 * n + ALL.sum(axis=1)[:, None] + 1 <= LENGTH - 1
  np.testing.assert_array_equal(member, fits)
  crowded = ALL[~np.all(fits, axis=1)]
  assert sorted(map(tuple, crowded.tolist())) == [
      (1, 2, 2), (2, 1, 2), (2, 2, 1), (2, 2, 2),
  ]  # fmt: skip
  for task, sampled in zip(ALL, n):
    assert set(sampled.tolist()) == set(range(max(0, -task.min()), 10))
  roomy = np.all(fits, axis=1)
  np.testing.assert_array_equal(strings[roomy], drawn(True)[roomy])


def test_write_is_the_string():
  tokens = write(np.array([1, 0, -1]), np.array([1, 2]), 12)
  expected = [spell("abbc", 12), spell("aabbbccd", 12)]
  np.testing.assert_array_equal(tokens, expected)


def test_tasks_are_drawn_from_all_languages():
  keys = jax.random.split(KEY, 5000)
  sampled = np.asarray(jax.jit(jax.vmap(make(PAPER).sample_task))(keys))
  assert sampled.dtype == np.int32
  counts = np.unique(sampled, axis=0, return_counts=True)[1]
  assert len(counts) == len(ALL)
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_the_most_novel_tasks_are_out_of_distribution():
  novelty = np.asarray(jax.vmap(make(PAPER).novelty)(ALL))
  m = np.concatenate([np.zeros((len(ALL), 1)), ALL], axis=1)
  share = 1 + m - m.min(axis=1, keepdims=True)
  expected = scipy.stats.entropy(share, axis=1)
  np.testing.assert_allclose(novelty, expected, rtol=1e-5)

  split = splits.by_task(ALL, novelty, seed=0)
  assert tuple(map(len, split[:3])) == (151, 32, 33)
  rest = np.concatenate(split[:2])
  assert expected[split.ood].min() > expected[rest].max() - 1e-6


RNN = make_rnn(RNNSpec("lstm", (8,), VOCABULARY, VOCABULARY))


def constant_network(probabilities):
  """A network that says the same at every step, whatever it reads."""
  weights = RNN.unflatten(jnp.zeros(RNN.size))
  bias = jnp.log(jnp.asarray(probabilities, jnp.float32))
  return weights._replace(readout=weights.readout._replace(b=bias))


def test_rollouts_are_what_the_network_says_when_it_reads_them():
  family = make(PAPER)
  task = jnp.zeros(3, jnp.int32)

  @jax.jit
  def run(key):
    weights = jax.tree.map(lambda leaf: 3 * leaf, RNN.init(key))
    seen = family.rollouts(key, task, RNN, weights, 20)
    inputs = family.encode(task, seen.sequences)
    return seen, inputs, jax.nn.log_softmax(RNN.unroll(weights, inputs))

  seen, inputs, replayed = run(KEY)
  assert seen.sequences.shape == (20, LENGTH)
  assert seen.sequences.dtype == jnp.int8
  assert seen.log_probs.shape == (20, LENGTH - 1, VOCABULARY)
  assert seen.log_probs.dtype == jnp.float16
  assert np.all(seen.sequences[:, 0] == BOS)

  assert inputs.shape == (LENGTH - 1, 20, VOCABULARY)
  read = np.argmax(inputs, axis=-1).T
  np.testing.assert_array_equal(read, seen.sequences[:, :-1])
  np.testing.assert_allclose(
      np.swapaxes(np.asarray(seen.log_probs, np.float32), 0, 1),
      replayed,
      rtol=2e-3,
      atol=1e-3,
  )


def test_symbols_follow_the_networks_distribution():
  p = np.array([0.3, 0.05, 0.2, 0.1, 0.15, 0.2])
  tokens, log_probs = sample_strings(
      KEY, RNN, constant_network(p), 500, 21
  )
  everywhere = np.broadcast_to(p, (20, 500, VOCABULARY))
  np.testing.assert_allclose(np.exp(log_probs), everywhere, rtol=1e-5)
  drawn = np.asarray(tokens[:, 1:])
  counts = np.bincount(drawn.ravel(), minlength=VOCABULARY)
  assert scipy.stats.chisquare(counts, p * counts.sum()).pvalue > 1e-3
  # and independently of one another: steps of a string, strings of a step
  steps = drawn[:, ::2] * VOCABULARY + drawn[:, 1::2]
  strings = drawn[::2] * VOCABULARY + drawn[1::2]
  for pairs in (steps, strings):
    counts = np.bincount(pairs.ravel(), minlength=VOCABULARY**2)
    expected = np.outer(p, p).ravel() * counts.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_what_is_impossible_is_never_drawn():
  p = np.array([0, 0.5, 0, 0.5, 0, 0])
  tokens, _ = sample_strings(
      KEY, RNN, constant_network(p), 500, 21
  )
  assert set(np.unique(tokens[:, 1:]).tolist()) == {1, 3}


def test_performance_of_a_network_that_is_always_silent():
  silent = constant_network([1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1])
  family = make(Config(eval_strings=10, eval_batch=4))
  performance = jax.jit(
      lambda task: family.performance(KEY, task, RNN, silent)
  )
  metrics = performance(jnp.zeros(3, jnp.int32))
  assert tuple(metrics) == family.spec.metric_names
  assert metrics["accuracy"] == metrics["accuracy_counts"] == 1
  assert performance(jnp.array([0, 0, 1]))["accuracy"] == 0


@pytest.mark.parametrize("mask_padding", [False, True])
def test_loss_is_the_mean_over_what_counts(mask_padding):
  # The only string is bbccdd, then 1 EOS that counts and 34 of padding
  config = Config(
      shift_min=0, max_n=1, eval_strings=4, eval_batch=4,
      mask_padding=mask_padding,
  )  # fmt: skip
  network = constant_network([0.1, 0.1, 0.1, 0.1, 0.1, 0.5])
  performance = jax.jit(
      lambda task: make(config).performance(KEY, task, RNN, network)
  )
  loss = performance(jnp.array([2, 2, 2]))["loss"]
  ends = 1 if mask_padding else 35
  expected = (6 * np.log(10) + ends * np.log(2)) / (6 + ends)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("eval_batch", [3, 40])
def test_strings_count_for_the_loss_as_often_as_they_are_drawn(
    eval_batch, mask_padding
):
  p = np.array([0.1, 0.2, 0.05, 0.3, 0.15, 0.2])
  network, task = constant_network(p), jnp.array([1, 0, -1])
  family = make(
      Config(eval_strings=4, eval_batch=eval_batch, mask_padding=mask_padding)
  )
  metrics = jax.jit(lambda: family.performance(KEY, task, RNN, network))()
  batch = family.sample_batch(derive(KEY, "loss"), task, eval_batch)
  assert len(np.unique(batch.targets, axis=1).T) > 1
  losses = -np.log(p)[batch.targets]
  np.testing.assert_allclose(
      metrics["loss"], np.average(losses, weights=batch.mask), rtol=1e-5
  )


def test_accuracy_is_the_share_of_members():
  config = Config(
      length=5, max_n=2, shift_min=-1, shift_max=-1, eval_strings=4000
  )
  family = make(config)
  network = constant_network([0.5, 0, 0, 0, 0, 0.5])
  metrics = jax.jit(lambda task: family.performance(KEY, task, RNN, network))(
      jnp.array([-1, -1, -1])
  )
  # The language is {"a"}: a, EOS, anything by counts; a, 3 x EOS strictly
  np.testing.assert_allclose(metrics["accuracy_counts"], 1 / 4, atol=0.03)
  np.testing.assert_allclose(metrics["accuracy"], 1 / 16, atol=0.02)


def test_mask_leaves_out_what_is_read_after_eos():
  sequences = np.array([spell("abcd", 9), spell("", 9), [BOS] + [0] * 8])
  mask = make(Config(length=11, shift_max=-1)).mask(sequences.astype(np.int8))
  expected = [[1] * 5 + [0] * 3, [1] + [0] * 7, [1] * 8]
  np.testing.assert_array_equal(mask.T, expected)


def test_masked_padding_in_batches():
  family = make(Config(mask_padding=True))
  batch = family.sample_batch(KEY, jnp.array([2, 0, -1]), 16)
  tokens = jnp.concatenate(
      [jnp.argmax(batch.inputs, -1), batch.targets[-1:]], axis=0
  ).T
  np.testing.assert_array_equal(batch.mask, family.mask(tokens))
  counted = np.sum(np.asarray(batch.mask), axis=0)
  letters = np.sum(np.asarray(tokens) < 4, axis=1)
  np.testing.assert_array_equal(counted, letters + 1)


def test_counting_tells_the_language_of_most_strings():
  family = tasks.make("formal_language", {})
  for task in ((0, 0, 0), (2, -1, 1), (-3, 2, -2)):
    strings = formal_language.write(
        jnp.array(task), jnp.array([4, 5, 6, 7]), 42
    )
    wrong = formal_language.write(jnp.array([1, 1, -1]), jnp.array([5]), 42)
    decoded = family.decode(jnp.concatenate([strings, wrong]))
    np.testing.assert_array_equal(decoded, task)
  silent = jnp.full((3, 42), formal_language.EOS).at[:, 0].set(
      formal_language.BOS
  )
  np.testing.assert_array_equal(family.decode(silent), 0)


def test_describe():
  assert formal_language.describe(np.array([1, 0, -1])) == (
      "a^n b^(n+1) c^n d^(n-1)"
  )


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"shift_min": 3}, "shift_min=3 must not exceed shift_max=2"),
        ({"max_n": 3}, "max_n must exceed 3"),
        ({"length": 19}, "length be at least 20"),
        ({"lenght": 19}, "did you mean 'length'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    tasks.make("formal_language", fields)


def test_the_smallest_config_has_a_string_for_every_language():
  family = make(Config(length=20, max_n=4))
  draw = jax.jit(
      jax.vmap(lambda task: family.sample_batch(KEY, task, 8).targets.T)
  )
  strings = draw(ALL)
  start = np.full((*strings.shape[:2], 1), BOS)
  words = np.concatenate([start, strings], axis=2)
  assert np.all(strict_members(words))
