"""Neighbours in code space."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from weightspace.evaluation import neighbours


def measure(codes, net_ids, tasks, continuous=False):
  precisions = {
      k: neighbours.measure(codes, net_ids, tasks, k=k, continuous=continuous)
      for k in (1, 6, 10)
  }
  nearest = neighbours.nearest(codes, net_ids, 10)
  alike = neighbours.alike(nearest, tasks, continuous=continuous)
  for k, values in precisions.items():
    np.testing.assert_allclose(alike[:, :k].mean(axis=1), values)
  return precisions


def chance(net_ids, tasks, continuous=False):
  return neighbours.chance(net_ids, tasks, continuous=continuous)


def networks(generator, count=40, snapshots=3):
  net_ids = np.repeat(np.arange(count), snapshots)
  order = generator.permutation(len(net_ids))
  return net_ids[order]


@pytest.mark.parametrize("block", [7, 512])
def test_they_are_sklearns_without_the_own_network(block, monkeypatch):
  monkeypatch.setattr(neighbours, "_BLOCK", block)
  generator = np.random.default_rng(0)
  net_ids = networks(generator)
  codes = generator.standard_normal((120, 4)).astype(np.float32) + 1000
  nearest = neighbours.nearest(codes, net_ids, 9)
  reference = NearestNeighbors().fit(codes.astype(np.float64))
  _, everything = reference.kneighbors(n_neighbors=119)
  for row, places in enumerate(everything):
    others = places[net_ids[places] != net_ids[row]]
    np.testing.assert_array_equal(nearest[row], others[:9])


def test_precision_is_one_where_codes_are_tasks_and_chance_where_noise():
  generator = np.random.default_rng(1)
  net_ids = networks(generator, count=300)
  its_tasks = np.stack([net_ids % 5 - 2, net_ids % 2, 0 * net_ids], axis=1)
  codes = its_tasks + 0.01 * generator.standard_normal((900, 3))
  precisions = measure(codes, net_ids, its_tasks)
  for values in precisions.values():
    np.testing.assert_array_equal(values, 1)
  noise = generator.standard_normal((900, 3))
  by_chance = chance(net_ids, its_tasks)
  # 29 of 299 other networks have its task
  np.testing.assert_allclose(by_chance, 29 / 299)
  for codes in (noise, np.ones((900, 3)), net_ids[:, None] * 0.0):
    precisions = measure(codes, net_ids, its_tasks)
    assert np.mean(precisions[10]) == pytest.approx(29 / 299, abs=0.02)


def test_other_snapshots_of_a_network_do_not_count():
  """Codes that tell the network itself, each of a task of its own."""
  net_ids = networks(np.random.default_rng(2))
  codes = np.eye(40)[net_ids]
  its_tasks = np.stack([net_ids] * 3, axis=1)
  precisions = measure(codes, net_ids, its_tasks)
  np.testing.assert_array_equal(precisions[1], 0)
  np.testing.assert_array_equal(
      chance(net_ids, its_tasks), 0
  )


def test_angles_are_circular():
  generator = np.random.default_rng(3)
  net_ids = networks(generator, count=72)
  angle = 5.0 * net_ids[:, None]
  radians = np.deg2rad(angle[:, 0])
  circle = np.stack([np.cos(radians), np.sin(radians)], axis=1)
  degrees = measure(circle, net_ids, angle, continuous=True)
  # Three snapshots of either neighbour, that of 0 degrees with 355
  np.testing.assert_allclose(degrees[1], 5)
  np.testing.assert_allclose(degrees[6], 5)
  by_chance = chance(net_ids, angle, continuous=True)
  # The mean of 5, 5, 10, 10, ..., 175, 175, 180
  np.testing.assert_allclose(by_chance, 90 * 72 / 71)


def test_chance_is_that_of_all_rows_of_other_networks():
  generator = np.random.default_rng(4)
  net_ids = generator.integers(0, 8, 600)
  its_tasks = (net_ids % 3)[:, None] + np.array([[0, 1, 2]])
  expected = chance(net_ids, its_tasks)
  for row in (0, 1, 599):
    others = net_ids != net_ids[row]
    same = np.all(its_tasks == its_tasks[row], axis=1)
    assert expected[row] == pytest.approx(np.mean(same[others]))


def test_what_cannot_be_is_refused():
  net_ids = np.array([3, 3, 3, 5])
  with pytest.raises(ValueError, match=r"k=2 must be from 1 to 1, .* than 3"):
    neighbours.nearest(np.zeros((4, 2)), net_ids, 2)
  with pytest.raises(ValueError, match="no rows to find neighbours of"):
    neighbours.nearest(np.zeros((0, 2)), net_ids[:0], 1)
  with pytest.raises(ValueError, match="not finite"):
    neighbours.nearest(np.full((4, 2), np.nan), net_ids, 1)
  with pytest.raises(ValueError, match=r"shape \(3, 2\), expected one for"):
    neighbours.nearest(np.zeros((3, 2)), net_ids, 1)
  with pytest.raises(ValueError, match=r"shape \(4, 3\), expected angles"):
    chance(net_ids, np.zeros((4, 3)), continuous=True)
