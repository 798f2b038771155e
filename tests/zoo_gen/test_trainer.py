"""Networks train together as they do alone; devices do not communicate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny_zoo
from weightspace import parallel, tasks
from weightspace.rnn import RNNSpec, make_rnn
from zoo_gen.trainer import Recipe, make_row, make_trainer, make_traits

FAMILY = tasks.make("formal_language", tiny_zoo.CONFIG["task"])
RNN = make_rnn(RNNSpec("gru", (4,), 6, 6))
RECIPE = Recipe(**tiny_zoo.CONFIG["recipe"])
COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "reduce-scatter",
)


@functools.cache
def trainer(devices, group):
  mesh = parallel.mesh(parallel.NETWORKS, jax.devices()[:devices])
  made = make_trainer(
      RECIPE, FAMILY, RNN, seed=3, rollouts=2, mesh=mesh, group=group
  )
  return made, parallel.sharded(mesh)


@functools.cache
def trained(devices, group, ids, stops=(10,)):
  made, sharding = trainer(devices, group)
  net_ids = jax.device_put(np.array(ids, np.int32), sharding)
  state, start = made.init(net_ids), 0
  for stop in stops:
    state = made.segment(state, net_ids, jnp.int32(start), jnp.int32(stop))
    start = stop
  rows = made.snapshot(state, net_ids, jnp.int32(start))
  return jax.device_get((state, rows))


COMPANY = tuple(range(100, 108))


@pytest.mark.slow
def test_a_network_in_company_is_what_it_is_alone():
  state, rows = trained(4, 2, COMPANY)
  for i in (0, 5):
    alone, row = trained(1, 1, (COMPANY[i],))
    np.testing.assert_allclose(
        state.vectors[i], alone.vectors[0], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(rows["task"][i], row["task"][0])
    assert rows["weight_decay"][i] == row["weight_decay"][0]
    np.testing.assert_allclose(rows["loss"][i], row["loss"][0], rtol=1e-4)


@pytest.mark.slow
def test_the_order_of_networks_is_theirs():
  state, rows = trained(4, 2, COMPANY)
  other, other_rows = trained(4, 2, COMPANY[::-1])
  np.testing.assert_allclose(
      other.vectors[::-1], state.vectors, rtol=1e-4, atol=1e-5
  )
  np.testing.assert_array_equal(other_rows["net_id"], COMPANY[::-1])
  np.testing.assert_array_equal(other_rows["task"][::-1], rows["task"])


def test_segments_make_no_difference():
  state, rows = trained(4, 2, COMPANY)
  pieces, piece_rows = trained(4, 2, COMPANY, stops=(1, 7, 10))
  jax.tree.map(np.testing.assert_array_equal, state, pieces)
  jax.tree.map(np.testing.assert_array_equal, rows, piece_rows)


def test_networks_differ():
  state, rows = trained(4, 2, COMPANY)
  assert len(np.unique(state.vectors, axis=0)) == len(COMPANY)
  assert len(np.unique(rows["task"], axis=0)) > 4
  assert set(rows["weight_decay"]) == set(np.float32([0, 0.01]))


def test_training_lowers_the_loss():
  _, before = trained(4, 2, COMPANY, stops=())
  _, after = trained(4, 2, COMPANY)
  assert np.all(after["loss"] < before["loss"])


def test_a_row_can_be_made_by_itself():
  state, rows = trained(4, 2, COMPANY)
  row = jax.jit(make_row(RECIPE, FAMILY, RNN, seed=3, rollouts=2))(
      state.vectors[5], jnp.int32(COMPANY[5]), jnp.int32(10)
  )
  assert row.keys() == rows.keys()
  np.testing.assert_array_equal(row["task"], rows["task"][5])
  np.testing.assert_allclose(row["loss"], rows["loss"][5], rtol=1e-4)
  task, decay = make_traits(RECIPE, FAMILY, seed=3)(jnp.int32(COMPANY[5]))
  np.testing.assert_array_equal(task, rows["task"][5])
  assert decay == rows["weight_decay"][5]


def compiled(f, *args):
  return jax.jit(f).lower(*args).compile().as_text()


@pytest.mark.slow
def test_devices_do_not_communicate():
  made, sharding = trainer(4, 2)
  net_ids = jax.device_put(np.array(COMPANY, np.int32), sharding)
  state = made.init(net_ids)
  for program in (
      compiled(made.init, net_ids),
      compiled(made.segment, state, net_ids, jnp.int32(0), jnp.int32(5)),
      compiled(made.snapshot, state, net_ids, jnp.int32(5)),
  ):
    assert "num_partitions=4" in program
    for name in COLLECTIVES:
      assert name not in program


def test_a_collective_would_be_noticed():
  _, sharding = trainer(4, 2)
  x = jax.device_put(np.ones(8, np.float32), sharding)
  program = compiled(lambda x: x / jnp.sum(x), x)
  assert "num_partitions=4" in program
  assert any(name in program for name in COLLECTIVES)


@pytest.mark.parametrize("devices, group, expected", [(4, 2, 8), (1, 1, 5)])
def test_round_up(devices, group, expected):
  assert trainer(devices, group)[0].round_up(5) == expected


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"snapshot_steps": (10, 0)}, "must be increasing"),
        ({"snapshot_steps": ()}, "must be increasing"),
        ({"snapshot_steps": (-1, 0)}, "not negative"),
        ({"learning_rates": (0.1,)}, "needs three values"),
        ({"weight_decays": ()}, "at least one"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    Recipe(**fields)
