import dataclasses
import threading

import numpy as np
import pytest

from tests.zoo.example import SPEC, arrays, write
from weightspace import zoo
from weightspace.io import files


def test_rows_of_the_last_shard():
  assert zoo.num_shards(SPEC) == 3
  assert [zoo.shard_rows(SPEC, i) for i in range(3)] == [6, 6, 3]
  with pytest.raises(ValueError, match="shards 0 to 2"):
    zoo.shard_rows(SPEC, 3)


def test_creating_the_same_zoo_again_changes_nothing(tmp_path):
  path = write(tmp_path / "zoo")
  before = (path / "zoo.json").read_bytes()
  zoo.create(path, SPEC)
  zoo.finalize(path)
  assert (path / "zoo.json").read_bytes() == before


def test_another_zoo_is_refused_field_by_field(tmp_path):
  zoo.create(tmp_path, SPEC)
  other = dataclasses.replace(
      SPEC, seed=1, trainer={"learning_rate": 0.5, "clip": 1}
  )
  with pytest.raises(FileExistsError) as error:
    zoo.create(tmp_path, other)
  message = str(error.value)
  assert "seed is 0 there, 1 requested" in message
  assert "learning_rate is [0.01, 0.003] there, 0.5 requested" in message
  assert "trainer.clip is absent there, 1 requested" in message
  assert "num_networks" not in message


def test_a_foreign_folder_is_refused(tmp_path):
  (tmp_path / "thesis.tex").write_text("precious")
  with pytest.raises(FileExistsError, match=r"holds 'thesis.tex'"):
    zoo.create(tmp_path, SPEC)
  with pytest.raises(FileExistsError, match="is a file"):
    zoo.create(tmp_path / "thesis.tex", SPEC)
  assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_draft_of_a_killed_process_does_not_hinder(tmp_path):
  files.temporary(tmp_path / "zoo.json").write_text("{")
  write(tmp_path)
  assert len(zoo.open(tmp_path)) == 15


def test_missing_shards(tmp_path):
  zoo.create(tmp_path, SPEC)
  zoo.write_shard(tmp_path, 1, arrays(1))
  assert [zoo.has_shard(tmp_path, i) for i in range(3)] == [False, True, False]
  assert zoo.missing_shards(tmp_path) == [0, 2]
  with pytest.raises(zoo.ZooError, match="lacks 2 of 3 shards: 0, 2"):
    zoo.finalize(tmp_path)


def test_a_finished_shard_is_never_overwritten(tmp_path):
  zoo.create(tmp_path, SPEC)
  zoo.write_shard(tmp_path, 0, arrays(0))
  folder = tmp_path / "shards" / "00000"
  before = {f.name: f.read_bytes() for f in folder.iterdir()}
  with pytest.raises(FileExistsError, match="never overwritten"):
    zoo.write_shard(tmp_path, 0, {**arrays(0), "extra": np.ones(6)})
  assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def test_a_folder_that_is_no_finished_shard_is_named(tmp_path):
  zoo.create(tmp_path, SPEC)
  folder = tmp_path / "shards" / "00000"
  folder.mkdir(parents=True)
  (folder / "weights.npy").write_bytes(b"")
  assert zoo.missing_shards(tmp_path) == [0, 1, 2]
  with pytest.raises(FileExistsError, match=r"00000 .* lacks shard\.json"):
    zoo.write_shard(tmp_path, 0, arrays(0))


def test_leftovers_are_ignored_and_cleaned_by_the_shards_writer(tmp_path):
  zoo.create(tmp_path, SPEC)
  killed = files.temporary(tmp_path / "shards" / "00001")
  killed.mkdir(parents=True)
  (killed / "weights.npy").write_bytes(b"half")
  assert not zoo.has_shard(tmp_path, 1)
  zoo.write_shard(tmp_path, 0, arrays(0))
  assert killed.exists()  # another shard's; its writer may be alive
  zoo.write_shard(tmp_path, 1, arrays(1))
  assert not killed.exists()
  zoo.write_shard(tmp_path, 2, arrays(2))
  zoo.finalize(tmp_path)
  assert zoo.verify(tmp_path) == []


def test_writers_of_the_same_shard_do_not_mix(tmp_path):
  zoo.create(tmp_path, SPEC)
  candidates = [
      {**arrays(0), "extra": np.full((6, 2), i, np.int32)} for i in range(6)
  ]
  outcomes = []

  def run(candidate):
    try:
      zoo.write_shard(tmp_path, 0, candidate)
      outcomes.append("written")
    except FileExistsError:
      outcomes.append("refused")

  threads = [threading.Thread(target=run, args=(c,)) for c in candidates]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sorted(outcomes) == ["refused"] * 5 + ["written"]
  assert [f.name for f in (tmp_path / "shards").iterdir()] == ["00000"]
  assert len(zoo.verify(tmp_path)) == 1  # that the zoo is unfinished


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
  zoo.create(tmp_path, SPEC)

  def full(path):
    raise OSError("No space left on device")

  monkeypatch.setattr(files, "sync_folder", full)
  with pytest.raises(OSError, match="No space left"):
    zoo.write_shard(tmp_path, 0, arrays(0))
  assert list((tmp_path / "shards").iterdir()) == []


def _changed(name, change):
  good = arrays(0)
  return {**good, name: change(good[name])}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            _changed("weights", lambda a: a[:, :-1]),
            r"'weights' has shape \[6, 46\] .* expected \[6, 47\]",
        ),
        (
            _changed("weights", lambda a: a.astype(np.float64)),
            "'weights' .* dtype float64, expected .* float32",
        ),
        (
            _changed("sequences", lambda a: a[:, :2]),
            r"'sequences' has shape \[6, 2, 8\] .*\[6, 3, ...\]",
        ),
        (
            _changed("log_probs", lambda a: a[..., 0]),
            r"'log_probs' .* expected \[6, 3, any, 3\]",
        ),
        (_changed("loss", lambda a: a[:5]), r"'loss' .* expected \[6\]"),
        (_changed("task", lambda a: a[:, :1]), r"'task' .* expected \[6, 2\]"),
        (_changed("finite", lambda a: a.astype(int)), "'finite' .* bool"),
        (_changed("extra", lambda a: a[:4]), r"'extra' .* \[6, ...\]"),
        (_changed("extra", lambda a: a[:, :0]), r"'extra' has shape \[6, 0\]"),
        (
            _changed("extra", lambda a: a.astype(object)),
            "'extra' .* dtype object, expected .* numbers",
        ),
        (_changed("step", lambda a: a[::-1]), "'step' is 20 at row 0"),
        (_changed("net_id", lambda a: a + 1), "'net_id' is 1 at row 0"),
        ({"weights": arrays(0)["weights"]}, "lacks the arrays accuracy, fin"),
        ({**arrays(0), "../x": np.ones(6)}, "'../x' cannot name an array"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, wrong, message):
  zoo.create(tmp_path, SPEC)
  with pytest.raises(ValueError, match=message):
    zoo.write_shard(tmp_path, 0, wrong)
  assert not (tmp_path / "shards").exists()


def test_shards_must_agree_on_extra_columns(tmp_path):
  zoo.create(tmp_path, SPEC)
  for index in range(3):
    shard = arrays(index)
    if index == 2:
      shard["extra"] = shard["extra"].astype(np.float32)
    zoo.write_shard(tmp_path, index, shard)
  with pytest.raises(zoo.ZooError, match="shard 2: array 'extra'"):
    zoo.finalize(tmp_path)
