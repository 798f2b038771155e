"""How far an emulation is from the original, at each step.

Each function takes the log-probabilities of the original and of the emulation,
`[..., V]`, and gives `[...]`, both float32. The paper trains with total
variation (its release) or reverse KL (its text).
"""

import jax
import jax.numpy as jnp

from weightspace.errors import UserError
from weightspace.plugins import nearest


def total_variation(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """Half the sum of |p - q|: in [0, 1]."""
  gap = jnp.abs(jnp.exp(original) - jnp.exp(emulation))
  return 0.5 * jnp.sum(gap, axis=-1)


def kl(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """Kullback-Leibler divergence KL(p || q) in nats, p the original."""
  return _kl(original, emulation)


def reverse_kl(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """KL(q || p) in nats, q the emulation: pays for what p would never do."""
  return _kl(emulation, original)


def js(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """Jensen-Shannon divergence in nats: in [0, log 2]."""
  middle = jnp.logaddexp(original, emulation) - jnp.log(2.0)
  return 0.5 * (_kl(original, middle) + _kl(emulation, middle))


def cross_entropy(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """Cross-entropy of q under p in nats: KL(p || q) + entropy of p."""
  return -jnp.sum(jnp.exp(original) * _finite(emulation), axis=-1)


def cosine(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """1 - cosine of the angle between the log-probabilities: in [0, 2]."""
  p, q = _finite(original), _finite(emulation)
  norms = jnp.sum(p * p, axis=-1) * jnp.sum(q * q, axis=-1)
  return 1.0 - jnp.sum(p * q, axis=-1) * jax.lax.rsqrt(norms + 1e-12)


def l2_log(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """Mean squared difference of log-probabilities."""
  return jnp.mean((_finite(original) - _finite(emulation)) ** 2, axis=-1)


def mse(original: jax.Array, emulation: jax.Array) -> jax.Array:
  """Mean squared difference of what is given: for continuous outputs."""
  return jnp.mean((original - emulation) ** 2, axis=-1)


def _finite(log_probs):
  """float16 rounds what is unlikely enough to -inf; 0 x inf would be NaN."""
  return jnp.maximum(log_probs, -1e4)


def _kl(p, q):
  return jnp.sum(jnp.exp(p) * (_finite(p) - _finite(q)), axis=-1)


BY_NAME = {
    f.__name__: f
    for f in (
        total_variation, kl, reverse_kl, js, cross_entropy, cosine, l2_log, mse,
    )
}  # fmt: skip


def load(name: str):
  """The divergence of that name, or the sum of several, such as
  "kl+total_variation".

  Raises:
    ValueError: there is none of that name; the nearest is named.
  """
  names = name.split("+")
  for one in names:
    if one not in BY_NAME:
      raise UserError(
          f"no divergence {one!r}{nearest(one, BY_NAME)}; there are:"
          f" {', '.join(BY_NAME)}, and sums of them, joined by '+'"
      )
  if len(names) == 1:
    return BY_NAME[name]
  return lambda original, emulation: sum(
      BY_NAME[one](original, emulation) for one in names
  )
