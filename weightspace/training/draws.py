"""Draws of batches: which rows and rollouts a step is trained on.

What a step is trained on is a function of its number and keys, so there is
nothing to save and nothing to restore.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.types import Key
from weightspace.zoo import loader


class Size(NamedTuple):
  """What a batch is made of."""

  rows: tuple[int, ...]  # of each shape of networks
  sequences: int = 0  # rollouts of each row
  snapshots: int | None = None  # of each network, side by side; None: any rows


class Rows(NamedTuple):
  """What is drawn from: rows, or networks with their snapshots.

  The key of the order is data, so that one compiled program serves all seeds;
  so are rows, repeated to a fixed number where programs are to serve others.
  """

  order: Key  # []
  groups: jax.Array  # [G, S] int32, rows that are drawn together
  sizes: jax.Array  # [G] int32: the first so many of a group count
  count: jax.Array  # [] int32: the first so many groups count

  @classmethod
  def of(cls, order: Key, rows: np.ndarray, size: int | None = None) -> "Rows":
    """`rows` [n], which may repeat some, filled up to `size`, at least n."""
    groups = np.resize(rows, size or len(rows)).astype(np.int32)[:, None]
    sizes = np.ones(len(groups), np.int32)
    return cls(order, groups, sizes, np.int32(len(rows)))

  @classmethod
  def of_networks(
      cls, order: Key, net_id: np.ndarray, snapshots: int
  ) -> "Rows":
    """The networks that have so many of the rows 0 to n - 1.

    Args:
      order: the key of their order.
      net_id: [n], the network of each row.
      snapshots: of each network, at least.
    """
    groups = [g for g in by_network(net_id) if len(g) >= snapshots]
    sizes = np.array([len(group) for group in groups], np.int32)
    width = max([snapshots, *sizes])
    filled = [np.resize(group, width) for group in groups]
    filled = np.array(filled, np.int32).reshape(-1, width)
    return cls(order, filled, sizes, np.int32(len(sizes)))

  def of_step(
      self,
      step: jax.Array,
      batch: int,
      snapshots: int | None = None,
      key: Key | None = None,
  ) -> jax.Array:
    """[batch] rows; every epoch has each row, or each network, once.

    Args:
      step: its number, traced.
      batch: rows.
      snapshots: of each network, side by side; None where a group is a row.
      key: of this step; it decides which snapshots.
    """
    drawn = loader.batch_indices(
        self.order, step, size=self.count, batch=batch // (snapshots or 1)
    )
    groups = jnp.asarray(self.groups)[drawn]
    if snapshots is None:
      return groups[:, 0]
    # The places of the highest of random numbers: different ones
    random = jax.random.uniform(derive(key, "snapshots"), groups.shape)
    places = jnp.arange(groups.shape[1], dtype=jnp.int32)[None]
    own = places < jnp.asarray(self.sizes)[drawn, None]
    _, places = jax.lax.top_k(jnp.where(own, random, -1.0), snapshots)
    return jnp.take_along_axis(groups, places, axis=1).ravel()


def of_split(
    net_ids: Sequence[np.ndarray], snapshots: int | None, order: Key
) -> tuple[Rows, ...]:
  """What is drawn from a split, for each shape of networks.

  Args:
    net_ids: [n] of each shape, the network of each of its rows.
    snapshots: of each network, side by side; None draws any rows.
    order: the key of their order.
  """

  def of_shape(shape, net_id):
    key = derive(order, "order", shape)
    if snapshots is None:
      return Rows.of(key, np.arange(len(net_id)))
    return Rows.of_networks(key, net_id, snapshots)

  return tuple(of_shape(shape, net_id) for shape, net_id in enumerate(net_ids))


def shares(sizes: Sequence[int], batch: int, unit: int = 1) -> tuple[int, ...]:
  """How many examples of a batch come from each of several sets.

  In proportion to their sizes, in multiples of `unit`, and at least that many
  of each that is not empty.

  Raises:
    ValueError: the batch is too small for that, or no multiple of the unit.
  """
  sizes = np.asarray(sizes)
  counts = np.where(sizes > 0, unit, 0)
  if batch % unit or batch < counts.sum():
    raise UserError(
        f"a batch of {batch} cannot be made of {np.sum(sizes > 0)} shapes of"
        f" networks, {unit} at least of each (for each device, the snapshots of"
        f" a network); choose a larger multiple of {unit}"
    )
  while (left := batch - counts.sum()) > 0:
    missing = batch * sizes / sizes.sum() - counts
    counts[np.argmax(missing)] += min(unit, left)
  return tuple(counts.tolist())


def of_step(
    rows: Sequence[Rows], key: Key, step: jax.Array, size: Size, rollouts: int
) -> tuple[tuple[jax.Array, jax.Array] | None, ...]:
  """What the batch of a step is made of.

  Args:
    rows: of each shape of networks.
    key: of this step alone.
    step: its number, traced.
    size: of the batch.
    rollouts: that there are of each row.

  Returns:
    For each shape rows [B] and which rollouts of each [B, k], int32, or None of
    one without a network.
  """

  def of_shape(shape, its_rows, count):
    its_key = derive(key, "shape", shape)
    rollouts_key = derive(its_key, "rollouts")
    return (
        its_rows.of_step(step, count, size.snapshots, its_key),
        jax.random.randint(
            rollouts_key, (count, size.sequences), 0, rollouts, np.int32
        ),
    )

  return tuple(
      of_shape(shape, its_rows, count) if count else None
      for shape, (its_rows, count) in enumerate(zip(rows, size.rows))
  )


def by_network(net_id: np.ndarray) -> list[np.ndarray]:
  """Rows 0 to n - 1 of each network: increasing, in the order of networks."""
  order = np.argsort(net_id, kind="stable")
  return np.split(order, np.flatnonzero(np.diff(net_id[order])) + 1)


def side_by_side(net_id: np.ndarray, snapshots: int) -> np.ndarray:
  """Rows in an order in which so many snapshots of a network follow another.

  First some of each network, then others, which spread over training; networks
  with fewer snapshots are left out, as are remainders.

  Args:
    net_id: [n], the network of each row; rows of one are in order of steps.
    snapshots: of each network, side by side.

  Returns:
    [m] int64, m a multiple of `snapshots`.
  """
  rounds = []
  for group in by_network(net_id):
    apart = len(group) // snapshots
    for place in range(apart):
      rounds.append((place, group[place::apart][:snapshots]))
  rounds.sort(key=lambda one: one[0])
  chosen = [rows for _, rows in rounds]
  return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
