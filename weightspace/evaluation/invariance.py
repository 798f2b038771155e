"""How far codes move where a network stays what it is.

Reordering hidden units, or changing their signs, changes weights and not what
the network computes. An encoder that does not see it moves the code; how far
is told in units of the distance between two networks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import symmetry, zoo
from weightspace.evaluation import bootstrap
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.training.pretrain import Pretrained
from weightspace.types import Params
from weightspace.zoo import loader

_OTHERS = 16  # networks that the code of each is compared with


class Drift(NamedTuple):
  """Distances of codes, row by row."""

  moved: np.ndarray  # [n] to the code of an equivalent network
  apart: np.ndarray  # [n] to the codes of other networks, the mean


def measure(
    apply: Callable,
    params: Params,
    rnn: RNN,
    vectors: np.ndarray | loader.OnDisk,
    net_ids: np.ndarray,
    *,
    signed: bool,
    seed: int,
    batch: int = 256,
) -> Drift:
  """How far the code of each network moves under the symmetry group.

  Args:
    apply: (params, weights of one network) -> code [Z], as an encoder's.
    params: of it.
    rnn: the shape of the networks.
    vectors: [n, P] their weights, in memory or on disk.
    net_ids: [n]; snapshots of one network are not two networks.
    signed: whether units change signs too, or are only reordered.
    seed: of the group's elements and of the networks to compare with.
    batch: networks that are encoded at the same time.

  Raises:
    ValueError: rows of fewer than two networks.
  """
  others = _others(np.asarray(net_ids), seed)
  size, batch = len(vectors), min(batch, len(vectors))
  key = jax.random.key(seed)

  @jax.jit
  def encode(params, vectors, places):
    def one(vector, place):
      weights = rnn.unflatten(vector)
      moved = symmetry.augment(
          derive(key, "equivalent", place), rnn, weights, signed=signed
      )
      return apply(params, weights), apply(params, moved)

    return jax.vmap(one)(vectors, places)

  codes, moved = [], []
  order = np.resize(np.arange(size, dtype=np.int32), -(-size // batch) * batch)
  for places in order.reshape(-1, batch):  # the last one is filled up
    found = encode(params, jnp.asarray(vectors[places]), places)
    before, after = map(np.asarray, found)
    codes.append(before)
    moved.append(_distance(before, after))
  codes = np.concatenate(codes)[:size]
  apart = np.mean([_distance(codes, codes[o]) for o in others.T], axis=0)
  return Drift(np.concatenate(moved)[:size], apart)


def of_zoo(
    source: zoo.Zoo,
    pretrained: Pretrained | None,
    rows: np.ndarray,
    *,
    signed: bool,
    seed: int,
) -> Drift:
  """`measure` of rows of a zoo; of several shapes, each with its own.

  Args:
    source: the zoo.
    pretrained: an encoder of its networks; None for the weights themselves.
    rows: [n] row numbers.
    signed: whether units change signs too, or are only reordered.
    seed: see `measure`.

  Raises:
    ValueError: rows of fewer than two networks of a shape.
  """
  rows = np.asarray(rows)
  places = [p for p in loader.by_shape(source, rows) if len(p)]
  found = []
  for of_shape in places:
    chosen = rows[of_shape]
    shape = int(source.shapes[chosen[0]])
    rnn = source.rnns[shape]
    if pretrained is None:
      apply, params = _flattened(rnn), {}
    else:
      apply = pretrained.model.encoders[shape].apply
      params = pretrained.params["encoder"]
    found.append(
        measure(
            apply,
            params,
            rnn,
            loader.OnDisk(
                len(chosen),
                lambda p, chosen=chosen: np.nan_to_num(
                    source.vectors(chosen[p])
                ),
            ),
            source.columns["net_id"][chosen],
            signed=signed,
            seed=seed,
        )
    )
  if not found:
    raise ValueError("there are no rows to measure the drift of")
  order = np.argsort(np.concatenate(places))
  return Drift(*(np.concatenate(parts)[order] for parts in zip(*found)))


def ratio(
    drifts: Sequence[Drift], tasks: np.ndarray, **kwargs
) -> bootstrap.Estimate:
  """The mean distance moved over that of two networks, with its interval.

  0 for a code that does not depend on order and signs, about 1 for one that
  tells nothing else, NaN for one that is always the same.

  Args:
    drifts: of each seed of training, of the same rows.
    tasks: [n, D], of the rows.
    **kwargs: of `bootstrap.ratio_over_seeds`.
  """
  moved, apart = (np.stack(parts) for parts in zip(*drifts))
  return bootstrap.ratio_over_seeds(moved, apart, tasks, **kwargs)


def _flattened(rnn):
  return lambda params, weights: rnn.flatten(weights)


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
