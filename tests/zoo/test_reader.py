import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.example import ROWS, SPEC, arrays, everything, write
from weightspace import zoo
from weightspace.errors import UserError
from weightspace.io import files
from weightspace.zoo import reader

FILES = ["zoo.json", "shards/00001/shard.json"] + [
    f"shards/00001/{name}.npy" for name in arrays(1)
]
RECORDED = FILES[2:]


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
  return write(tmp_path_factory.mktemp("intact") / "zoo")


@pytest.fixture
def path(intact, tmp_path):
  """A copy of a zoo, to damage."""
  return shutil.copytree(intact, tmp_path / "zoo")


def _edit(path, change):
  """Changes zoo.json and seals it again, as a forger would."""
  document = json.loads((path / "zoo.json").read_text())
  del document["checksum"]
  change(document)
  (path / "zoo.json").write_text(files.seal(document))


def _record(document):
  return document["shards"][1]


@given(data=st.data())
def test_any_rows_come_back_in_the_order_asked_for(intact, data):
  wanted = everything()
  rows = data.draw(st.lists(st.integers(0, ROWS - 1), max_size=9))
  opened = zoo.open(intact)
  np.testing.assert_array_equal(opened.vectors(rows), wanted["weights"][rows])
  which = data.draw(
      st.none()
      | st.lists(st.integers(0, 2), min_size=1, max_size=4)
      | st.lists(
          st.tuples(st.integers(0, 2), st.integers(0, 2)),
          min_size=len(rows),
          max_size=len(rows),
      ).filter(bool)
  )
  rollouts = opened.rollouts(rows, which)
  for array, name in zip(rollouts, ("sequences", "log_probs")):
    if which is None:
      expected = wanted[name][rows]
    elif np.ndim(which) == 1:
      expected = wanted[name][rows][:, which]
    else:
      expected = wanted[name][np.array(rows)[:, None], np.array(which)]
    assert array.dtype == wanted[name].dtype
    np.testing.assert_array_equal(array, expected)


def test_columns(intact):
  opened, wanted = zoo.open(intact), everything()
  assert len(opened) == ROWS
  assert opened.spec == SPEC
  assert set(opened.columns) == set(wanted) - {
      "weights", "sequences", "log_probs",
  }  # fmt: skip
  for name, column in opened.columns.items():
    assert column.dtype == wanted[name].dtype
    np.testing.assert_array_equal(column, wanted[name])


def test_weights_are_trees_with_a_leading_axis(intact):
  opened = zoo.open(intact)
  weights = opened.weights([9, 2])
  flat = jax.vmap(opened.rnn.flatten)(weights)
  np.testing.assert_array_equal(flat, opened.vectors([9, 2]))


@pytest.mark.parametrize("rows", [[ROWS], [-1], [0.5], [[1]], [True] * ROWS])
def test_rows_that_are_not_there(intact, rows):
  with pytest.raises(IndexError, match="rows"):
    zoo.open(intact).vectors(rows)


@pytest.mark.parametrize("which", [[3], [[0], [1]], 0, [[[0]]]])
def test_rollouts_that_are_not_there(intact, which):
  with pytest.raises(IndexError, match=r"rollouts|which has shape"):
    zoo.open(intact).rollouts([0, 1, 2], which)


def test_a_zoo_written_with_nothing_wrong_verifies(intact):
  assert zoo.verify(intact) == []


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_byte_anywhere_is_found_and_its_file_named(path, file):
  content = bytearray((path / file).read_bytes())
  for place in {0, len(content) // 2, len(content) - 1}:
    damaged = content.copy()
    damaged[place] ^= 1
    (path / file).write_bytes(damaged)
    problems = zoo.verify(path)
    assert problems
    assert all(str(path / file) in problem for problem in problems)
  (path / file).write_bytes(content)
  assert zoo.verify(path) == []


@pytest.mark.parametrize("file", RECORDED)
def test_a_truncated_or_missing_file_is_named(path, file):
  content = (path / file).read_bytes()
  (path / file).write_bytes(content[:-1])
  message = f"{len(content) - 1} bytes, expected {len(content)}"
  for error in (_refusal(path), *zoo.verify(path)):
    assert str(path / file) in error
    assert message in error
  (path / file).unlink()
  for error in (_refusal(path), *zoo.verify(path)):
    assert f"{path / file} is missing" in error


def _refusal(path):
  with pytest.raises(zoo.ZooError) as error:
    zoo.open(path)
  return str(error.value)


def test_a_missing_shard_is_named(path):
  shutil.rmtree(path / "shards" / "00001")
  assert f"{path / 'shards' / '00001'} is missing" in _refusal(path)
  assert any("00001 is missing" in problem for problem in zoo.verify(path))


def test_a_deleted_shard_can_be_made_again(path):
  shutil.rmtree(path / "shards" / "00001")
  assert zoo.missing_shards(path) == [1]
  zoo.write_shard(path, 1, arrays(1))
  assert zoo.verify(path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", "{}", '{"a": 1}'])
def test_a_zoo_json_that_is_none(path, content):
  (path / "zoo.json").write_bytes(content.encode("latin-1"))
  assert f"{path / 'zoo.json'} cannot be used" in _refusal(path)


def test_what_is_not_a_zoo(tmp_path):
  assert "there is no folder" in _refusal(tmp_path / "nothing")
  assert "a folder without zoo.json" in _refusal(tmp_path)
  (tmp_path / "file").write_text("")
  assert "is not a zoo" in _refusal(tmp_path / "file")


def test_a_newer_schema(path):
  _edit(path, lambda document: document.update(schema_version=4))
  assert "schema 4, newer than schema 3" in _refusal(path)
  assert "schema 4" in zoo.verify(path)[0]


def test_an_unfinished_zoo_says_how_to_continue(tmp_path):
  zoo.create(tmp_path, SPEC)
  zoo.write_shard(tmp_path, 1, arrays(1))
  message = _refusal(tmp_path)
  assert "1 of 3 shards are there" in message
  assert f"python -m zoo_gen.generate --zoo={tmp_path}" in message
  (problem,) = zoo.verify(tmp_path)
  assert "unfinished" in problem
  file = tmp_path / "shards" / "00001" / "step.npy"
  file.write_bytes(file.read_bytes()[::-1])
  assert str(file) in zoo.verify(tmp_path)[1]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((6, 47), np.float64),
        np.zeros((6, 47), ">f4"),
        np.zeros((47, 6), np.float32),
    ],
    ids=["dtype", "byte order", "shape"],
)
def test_another_array_than_recorded(path, array):
  file = path / "shards" / "00001" / "weights.npy"
  np.save(file, array)
  _forge_size(path, file)
  assert f"{file} holds" in _refusal(path)


@pytest.mark.parametrize("pickled", [True, False])
def test_pickles_are_refused(path, pickled):
  file = path / "shards" / "00001" / "weights.npy"
  array = np.array([_Bomb()] * 6, object)
  if pickled:
    array.dump(file)
  else:
    np.save(file, array, allow_pickle=True)
  _forge_size(path, file)
  assert f"{file} is not an .npy array of numbers" in _refusal(path)


class _Bomb:
  """Whoever unpickles it runs code of its author."""

  def __reduce__(self):
    return exec, ("raise SystemExit('unpickled')",)


def _forge_size(path, file):
  size, digest = file.stat().st_size, files.sha256(file)
  _edit(
      path,
      lambda d: _record(d)["files"][file.name].update(
          bytes=size, sha256=digest
      ),
  )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: _record(d)["files"].update(
                {"../../x.npy": _record(d)["files"]["step.npy"]}
            ),
            "'../../x.npy' is not the plain name",
        ),
        (lambda d: d["shards"].pop(), "records 2 shards, expected 3"),
        (lambda d: _record(d).update(rows=5), "shard 1: .* says 5 rows"),
        (lambda d: _record(d).pop("files"), "shard 1: its record is malformed"),
        (lambda d: d["shards"].__setitem__(1, 3), "shard 1: .* malformed"),
        (
            lambda d: _record(d)["files"].pop("task.npy"),
            "shard 1 lacks the arrays task",
        ),
        (lambda d: d.pop("finished"), "it lacks finished"),
        (lambda d: d["spec"].update(x=1), "unknown fields: 'x'"),
        (
            lambda d: d["spec"]["rnns"][0].update(cell="lstmm"),
            "did you mean 'lstm'",
        ),
    ],
)
def test_a_forged_zoo_json_is_refused(path, change, message):
  _edit(path, change)
  with pytest.raises(zoo.ZooError, match=message):
    zoo.open(path)
  assert zoo.verify(path)


@pytest.mark.parametrize("entry", [{}, {"rows": 6, "files": {"a/b.npy": {}}}])
def test_a_forged_shard_json_is_named(path, entry):
  file = path / "shards" / "00001" / "shard.json"
  file.write_text(files.seal(entry))
  assert str(file) in zoo.verify(path)[0]
  _edit(path, lambda d: d.update(finished=False, shards=[]))
  assert str(file) in zoo.verify(path)[1]
  with pytest.raises(zoo.ZooError, match="Delete the folder"):
    zoo.finalize(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"task_names": ("a", "b", "c")}, "is a, b, c, but one of formal_lang"),
        ({"family_config": {"lenght": 8}}, "did you mean 'length'.*zoo again"),
    ],
)
def test_a_family_that_has_changed_since_is_named(tiny_zoo, change, message):
  opened = zoo.open(tiny_zoo)
  assert opened.family.spec.task_names == opened.spec.task_names
  spec = dataclasses.replace(opened.spec, **change)
  with pytest.raises(UserError, match=message) as refused:
    _ = reader.Zoo(tiny_zoo, spec, [{"files": {}, "rows": 1}]).family
  assert str(tiny_zoo) in str(refused.value)
