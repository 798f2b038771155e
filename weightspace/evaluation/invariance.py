"""Sensitivity of codes to the symmetries of the weights.

Permuting hidden units, or flipping their signs, preserves a network's outputs.
The change of a code under these symmetries is measured in units of the mean
distance between the codes of two networks.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import settings, symmetry
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.rnn import RNN
from weightspace.training import batches
from weightspace.zoo import loader

_OTHERS = 16  # networks that each network is compared with


@settings.pinned()
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
  """The change of each network's code under a random symmetry.

  Args:
    encode: (weights of one network) -> code [Z]; None for the weights
      themselves.
    rnn: the networks' architecture.
    vectors: [n, P] weights, in memory or on disk.
    signed: whether to flip signs of units, besides permuting them.
    seed: of the group elements, and of the networks that are compared.
    net_ids: [n], networks of the rows; rows of one network are not compared.
      By default all differ.
    batch: networks encoded at a time.

  Returns:
    [n] float64, the distance between the codes of a network and of an
    equivalent one, divided by the mean distance between codes of two networks.
    It is 0 for an invariant code and about 1 for a code without information on
    the network's outputs; NaN if all codes are equal.

  Raises:
    ValueError: the rows are of fewer than two networks.
  """
  encode = encode or rnn.flatten
  size = len(vectors)
  others = _others(
      np.arange(size) if net_ids is None else np.asarray(net_ids), seed
  )
  key = make_key(seed)

  @jax.jit
  @jax.vmap
  def encode_both(vector, place):
    weights = rnn.unflatten(vector)
    equivalent = symmetry.augment(
        derive(key, "equivalent", place), rnn, weights, signed=signed
    )
    return encode(weights), encode(equivalent)

  def codes_and_changes(places):
    pair = encode_both(jnp.asarray(vectors[places]), places.astype(np.int32))
    before, after = jax.device_get(pair)
    return before, _distance(before, after)

  codes, changes = batches.map_batches(
      codes_and_changes, size, min(batch, size)
  )
  scale = np.mean([_distance(codes, codes[o]) for o in others.T])
  return changes / (scale if scale > 0 else np.nan)


def _distance(a, b):
  return np.linalg.norm(a - b, axis=-1).astype(np.float64)


def _others(net_ids, seed):
  """Indices [n, k] of random rows of other networks, for each row."""
  order = np.argsort(net_ids, kind="stable")
  first, last = (
      np.searchsorted(net_ids[order], net_ids, side)
      for side in ("left", "right")
  )
  count = last - first  # rows of the same network
  if not len(net_ids) or count.max() == len(net_ids):
    raise UserError(
        f"drift needs rows of at least two networks; these {len(net_ids)} are"
        " of fewer than two networks"
    )
  generator = np.random.default_rng(seed)
  drawn = generator.integers(
      (len(net_ids) - count)[:, None], size=(len(net_ids), _OTHERS)
  )
  return order[drawn + np.where(drawn >= first[:, None], count[:, None], 0)]
