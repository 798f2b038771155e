"""Zoos with a layout: any networks of each shape, snapshots of their own."""

import dataclasses

import numpy as np
import pytest

from tests.zoo.example import SPEC
from weightspace import zoo
from weightspace.rnn import RNNSpec, make_rnn

SHAPES = SPEC.rnns[0], RNNSpec("gru", (2, 3), 2, 3)
# Networks 0, 3 and 4 are of the first shape, 1 and 2 of the second
LAYOUT = (0, 2, 4), (1, 2, 3), (0, 1, 1)
LAID_OUT = dataclasses.replace(SPEC, rnns=SHAPES, layout=LAYOUT)
NET_ID = [0, 0, 0, 3], [1, 1, 2], [4]
STEP = [0, 10, 20, 10], [0, 20, 0], [20]


def arrays(index):
  generator = np.random.default_rng(index)
  rows = LAYOUT[index][2]
  size = make_rnn(SHAPES[LAYOUT[index][0]]).size
  normal = generator.standard_normal
  return {
      "weights": normal((rows, size)).astype(np.float32),
      "sequences": generator.integers(0, 2, (rows, 3, 8)).astype(np.int8),
      "log_probs": normal((rows, 3, 7, 3)).astype(np.float16),
      "net_id": np.array(NET_ID[index], np.int32),
      "step": np.array(STEP[index], np.int32),
      "task": generator.integers(0, 9, (rows, 2)),
      "finite": np.ones(rows, bool),
      "accuracy": generator.random(rows).astype(np.float32),
      "loss": np.zeros(rows, np.float32),
  }


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
  path = tmp_path_factory.mktemp("layout") / "zoo"
  zoo.create(path, LAID_OUT)
  for index in reversed(range(3)):
    zoo.write_shard(path, index, arrays(index))
  zoo.finalize(path)
  return zoo.open(path)


def test_what_is_written_is_read(opened):
  assert zoo.verify(opened.path) == []
  assert opened.spec == LAID_OUT
  assert opened.shapes.tolist() == [0] * 4 + [1] * 3 + [0]
  for name, of_shards in (("net_id", NET_ID), ("step", STEP)):
    np.testing.assert_array_equal(
        opened.columns[name], np.concatenate(of_shards)
    )
  for rows, shards in (([0, 3, 7], (0, 2)), ([6, 4], (1,))):
    wanted = np.concatenate([arrays(i)["weights"] for i in shards])
    chosen = [0, 3, 4] if len(shards) == 2 else [2, 0]
    np.testing.assert_array_equal(opened.vectors(rows), wanted[chosen])


def test_final_snapshots_are_those_of_each_network(opened):
  final = [False, False, True, True, False, True, True, True]
  assert opened.final.tolist() == final
  order = np.random.default_rng(0).permutation(len(opened))
  shuffled = {name: opened.columns[name][order] for name in ("net_id", "step")}
  np.testing.assert_array_equal(zoo.final_rows(shuffled), opened.final[order])
  of_steps = zoo.snapshots(opened.columns, (0, 10, 20))
  assert list(of_steps) == [0, 10, 20]
  np.testing.assert_array_equal(of_steps[20], final)
  np.testing.assert_array_equal(of_steps[0], opened.columns["step"] == 0)


@pytest.mark.parametrize(
    "name, row, value, message",
    [
        ("net_id", 3, 0, "row 3 is network 0 at step 10, after network 0"),
        ("step", 1, 0, "row 1 is network 0 at step 0"),
        ("net_id", 3, 9, "3, at|to 9 at steps"),
        ("step", 1, 11, r"at some of the steps \[0, 10, 20\]"),
        ("net_id", 2, 1, "has 3 networks"),
    ],
)
def test_rows_that_are_not_of_the_layout(tmp_path, name, row, value, message):
  zoo.create(tmp_path, LAID_OUT)
  shard = arrays(0)
  shard[name][row] = value
  with pytest.raises(ValueError, match=message):
    zoo.write_shard(tmp_path, 0, shard)
  assert zoo.missing_shards(tmp_path) == [0, 1, 2]


def test_ids_of_networks_are_in_the_shard_alone():
  assert zoo.shard_rows(LAID_OUT, 1) == 3
  assert zoo.shard_rnn(LAID_OUT, 1) == SHAPES[1]
  with pytest.raises(ValueError, match="column net_id"):
    zoo.shard_networks(LAID_OUT, 0)
  with pytest.raises(ValueError, match="no shard 3"):
    zoo.shard_rows(LAID_OUT, 3)
