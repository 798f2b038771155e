"""How far codes move where a network stays what it is.

Reordering hidden units, or changing their signs, changes weights and not what
the network computes. An encoder that does not see it moves the code; how far
is told in units of the distance between two networks.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import symmetry
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.zoo import loader

_OTHERS = 16  # networks that the code of each is compared with


def drift(
    encode: Callable | None,
    rnn: RNN,
    vectors: np.ndarray | loader.OnDisk,
    *,
    signed: bool,
    seed: int,
    net_ids: np.ndarray | None = None,
    batch: int = 256,
) -> np.ndarray:
  """How far the code of each network moves under the symmetry group.

  Args:
    encode: (weights of one network) -> code [Z], as an encoder with its params;
      None for the weights themselves.
    rnn: the shape of the networks.
    vectors: [n, P] their weights, in memory or on disk.
    signed: whether units change signs too, or are only reordered.
    seed: of the group's elements, and of which networks are compared.
    net_ids: [n], where rows may be snapshots of one network, which then are
      not compared; by default each is another.
    batch: networks that are encoded at the same time.

  Returns:
    [n] float64, the distance between the code of a network and of an
    equivalent one, over the mean distance between codes of two networks. 0
    for a code that does not depend on order and signs, about 1 for one that
    tells nothing else; NaN where all codes are the same.

  Raises:
    ValueError: rows of fewer than two networks.
  """
  encode = encode or rnn.flatten
  size = len(vectors)
  others = _others(
      np.arange(size) if net_ids is None else np.asarray(net_ids), seed
  )
  batch = min(batch, size)
  key = jax.random.key(seed)

  @jax.jit
  @jax.vmap
  def encode_both(vector, place):
    weights = rnn.unflatten(vector)
    moved = symmetry.augment(
        derive(key, "equivalent", place), rnn, weights, signed=signed
    )
    return encode(weights), encode(moved)

  codes, moved = [], []
  order = np.resize(np.arange(size, dtype=np.int32), -(-size // batch) * batch)
  for places in order.reshape(-1, batch):  # the last one is filled up
    found = encode_both(jnp.asarray(vectors[places]), places)
    before, after = map(np.asarray, found)
    codes.append(before)
    moved.append(_distance(before, after))
  codes, moved = (np.concatenate(a)[:size] for a in (codes, moved))
  apart = np.mean([_distance(codes, codes[o]) for o in others.T])
  return moved / (apart if apart > 0 else np.nan)


def _distance(a, b):
  return np.linalg.norm(a - b, axis=-1).astype(np.float64)


def _others(net_ids, seed):
  """Places of rows of other networks, uniformly drawn for each, [n, k]."""
  order = np.argsort(net_ids, kind="stable")
  first, last = (
      np.searchsorted(net_ids[order], net_ids, side)
      for side in ("left", "right")
  )
  own = last - first
  if not len(net_ids) or own.max() == len(net_ids):
    raise ValueError(
        f"the {len(net_ids)} rows are of fewer than two networks: there is"
        " nothing to compare the drift of codes with"
    )
  generator = np.random.default_rng(seed)
  drawn = generator.integers(
      (len(net_ids) - own)[:, None], size=(len(net_ids), _OTHERS)
  )
  return order[drawn + np.where(drawn >= first[:, None], own[:, None], 0)]
