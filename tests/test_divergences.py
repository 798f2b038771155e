"""Divergences against direct formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special

from weightspace import divergences

V = 6


def log_probs(seed, shape=(5, 3), scale=3.0):
  logits = scale * np.random.default_rng(seed).standard_normal((*shape, V))
  return np.asarray(jax.nn.log_softmax(logits.astype(np.float32)))


P, Q = log_probs(0), log_probs(1)


def total_variation(p, q):
  """The largest difference that any event makes, found by trying them all."""
  events = (np.arange(2**V)[:, None] >> np.arange(V)) & 1
  return np.max(np.abs(events @ (p - q)))


DIRECT = {
    "total_variation": total_variation,
    "kl": lambda p, q: np.sum(scipy.special.rel_entr(p, q)),
    "reverse_kl": lambda p, q: np.sum(scipy.special.rel_entr(q, p)),
    "js": lambda p, q: scipy.spatial.distance.jensenshannon(p, q) ** 2,
    "cross_entropy": lambda p, q: -np.sum(scipy.special.xlogy(p, q)),
    "cosine": lambda p, q: scipy.spatial.distance.cosine(np.log(p), np.log(q)),
    "l2_log": lambda p, q: np.mean((np.log(p) - np.log(q)) ** 2),
}


def directly(name, p, q):
  p, q = np.exp(p.astype(np.float64)), np.exp(q.astype(np.float64))
  pairs = zip(p.reshape(-1, V), q.reshape(-1, V))
  return np.reshape([DIRECT[name](*pair) for pair in pairs], p.shape[:-1])


def test_all_divergences_are_tested():
  assert {*DIRECT, "mse"} == set(divergences.BY_NAME)


@pytest.mark.parametrize("name", DIRECT)
def test_direct_formula(name):
  actual = jax.jit(divergences.load(name))(P, Q)
  assert actual.dtype == jnp.float32
  assert actual.shape == P.shape[:-1]
  np.testing.assert_allclose(
      actual, directly(name, P, Q), rtol=1e-4, atol=1e-6
  )


def test_mse_is_of_what_is_given():
  random = np.random.default_rng(0).standard_normal((2, 4, V), np.float32)
  np.testing.assert_allclose(
      divergences.load("mse")(*random),
      np.mean((random[0] - random[1]) ** 2, axis=-1),
      rtol=1e-5,
  )


@pytest.mark.parametrize("name", divergences.BY_NAME)
def test_nothing_is_as_near_as_the_original(name):
  divergence = divergences.load(name)
  own = np.asarray(divergence(P, P))
  assert np.all(own <= np.asarray(divergence(P, Q)))
  if name != "cross_entropy":
    np.testing.assert_allclose(own, 0, atol=1e-6)


@pytest.mark.parametrize("name", divergences.BY_NAME)
def test_gradients_vanish_at_the_original_only(name):
  gradient = jax.grad(
      lambda logits: jnp.sum(
          divergences.load(name)(P, jax.nn.log_softmax(logits))
      )
  )
  np.testing.assert_allclose(gradient(P), 0, atol=1e-5)
  away = np.asarray(gradient(Q))
  assert np.all(np.isfinite(away))
  assert np.any(np.abs(away) > 1e-3)


def impossible():
  """An original of which float16 has made some symbols impossible."""
  logits = np.zeros((4, V), np.float32)
  logits[np.arange(4), :2] = -7e4
  with np.errstate(over="ignore"):
    half = np.asarray(jax.nn.log_softmax(logits)).astype(np.float16)
  assert np.all(np.isneginf(half[:, :2]))
  return half.astype(np.float32)


@pytest.mark.parametrize(
    "name", ["total_variation", "kl", "js", "cross_entropy"]
)
def test_the_impossible_follows_the_formula_too(name):
  p, q = impossible(), log_probs(2, (4,))
  with np.errstate(divide="ignore"):
    expected = directly(name, p, q)
  np.testing.assert_allclose(
      divergences.load(name)(p, q), expected, rtol=1e-3, atol=1e-5
  )


@pytest.mark.parametrize("name", divergences.BY_NAME)
def test_the_impossible_leaves_everything_finite(name):
  if name == "mse":  # for continuous outputs, where nothing is -inf
    return
  p, q = impossible(), log_probs(2, (4,))

  def loss(logits):
    return jnp.sum(divergences.load(name)(p, jax.nn.log_softmax(logits)))

  value, gradient = jax.value_and_grad(loss)(q)
  assert np.isfinite(value)
  assert np.all(np.isfinite(gradient))
  # An emulation that is right about the impossible is at no distance
  both = divergences.load(name)(p, p)
  if name != "cross_entropy":
    np.testing.assert_allclose(both, 0, atol=1e-5)


def test_reverse_kl_pays_for_what_the_original_would_never_do():
  p, q = impossible(), log_probs(2, (4,))
  mass = np.exp(q[:, :2]).sum(axis=1)  # on what p never does
  assert np.all(divergences.reverse_kl(p, q) > 1000 * mass)
  assert np.all(divergences.kl(p, q) < 10)


def test_bounds():
  one, other = np.full((2, V), -1e9, np.float32)
  one[0] = other[1] = 0
  assert divergences.total_variation(one, other) == 1
  np.testing.assert_allclose(divergences.js(one, other), np.log(2), rtol=1e-6)


def test_several_are_added():
  draws = np.random.default_rng(0).standard_normal((2, 5, 4), np.float32)
  p, q = jax.nn.log_softmax(draws)
  names = ("kl", "total_variation")
  actual = divergences.load("+".join(names))(p, q)
  each = [divergences.load(name)(p, q) for name in names]
  np.testing.assert_allclose(actual, each[0] + each[1], rtol=1e-6)
  with pytest.raises(ValueError, match="did you mean 'kl'"):
    divergences.load("kll+total_variation")


def test_an_unknown_divergence_is_refused_naming_the_nearest():
  with pytest.raises(ValueError, match="did you mean 'reverse_kl'"):
    divergences.load("reverse_lk")
