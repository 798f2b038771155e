"""Draws: every network once in an epoch, its snapshots side by side."""

import jax
import numpy as np
import pytest

from weightspace.training import draws

# Networks 0 to 5 with 1 to 6 snapshots, as diverged ones leave gaps
NET_ID = np.repeat(np.arange(6), np.arange(1, 7)).astype(np.int32)


@pytest.mark.parametrize("snapshots", [1, 2, 3])
def test_an_epoch_has_each_network_once_with_different_snapshots(snapshots):
  rows = draws.Rows.of_networks(jax.random.key(0), NET_ID, snapshots)
  networks = 7 - snapshots
  assert rows.count == networks
  draw = jax.jit(
      lambda step, key: rows.of_step(step, snapshots, snapshots, key)
  )
  seen = []
  for epoch in range(3):
    drawn = [
        np.asarray(draw(np.int32(step), jax.random.key(step)))
        for step in range(epoch * networks, (epoch + 1) * networks)
    ]
    owners = [NET_ID[one] for one in drawn]
    for one, owner in zip(drawn, owners):
      assert len(set(one.tolist())) == snapshots
      assert len(set(owner.tolist())) == 1
    assert sorted(owner[0] for owner in owners) == list(range(6))[-networks:]
    seen.append(np.concatenate(drawn).tolist())
  assert seen[0] != seen[1]


def test_every_snapshot_is_drawn_as_often():
  rows = draws.Rows.of_networks(jax.random.key(0), np.zeros(5, np.int32), 2)
  draw = jax.jit(jax.vmap(lambda key: rows.of_step(np.int32(0), 2, 2, key)))
  drawn = np.asarray(draw(jax.random.split(jax.random.key(1), 2000)))
  counts = np.bincount(drawn.ravel(), minlength=5)
  np.testing.assert_allclose(counts / 2000, 0.4, atol=0.06)


def test_validation_spreads_snapshots_over_training():
  order = draws.side_by_side(NET_ID, 2)
  pairs = NET_ID[order].reshape(-1, 2)
  np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
  assert len(set(order.tolist())) == len(order)
  # First a pair of each network that has one, of the fullest the last three
  np.testing.assert_array_equal(pairs[:5, 0], [1, 2, 3, 4, 5])
  np.testing.assert_array_equal(pairs[-1], [5, 5])
  (first,) = order.reshape(-1, 2)[4:5]
  np.testing.assert_array_equal(first - 15, [0, 3])
  assert len(draws.side_by_side(NET_ID[:1], 2)) == 0
