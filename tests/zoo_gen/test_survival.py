"""What a killed, starved or damaged generation leaves is used or made anew."""

import shutil

import numpy as np
import pytest

from tests import tiny_zoo
from tests.faults import damage
from weightspace import zoo
from weightspace.io import npy

pytestmark = pytest.mark.slow


def contents(path):
  return {
      str(file.relative_to(path)): file.read_bytes()
      for file in sorted(path.rglob("*"))
      if file.is_file()
  }


@pytest.fixture(scope="module")
def half_made(tmp_path_factory):
  """A generation that was killed by a full disk, as it joined a shard."""
  path = tmp_path_factory.mktemp("half") / "zoo"
  with pytest.MonkeyPatch.context() as patch:

    def full(file, shape, dtype):
      with damage.full_disk(10):
        return scratch(file, shape, dtype)

    scratch = npy.scratch
    patch.setattr(npy, "scratch", full)
    with pytest.raises(OSError, match=r"rows/\w+ could not be written: "):
      tiny_zoo.generate(path)
  left = sorted(f.name for f in (path / "work").iterdir())
  assert left == ["00000", "00000.lock"]
  assert not (path / "shards").exists()
  return path


@pytest.mark.parametrize("kind", ["none", "snapshot", "states"])
def test_what_is_damaged_is_made_again_and_logged(
    half_made, tiny_zoo, tmp_path, caplog, kind
):
  from tests import tiny_zoo as tiny

  path = shutil.copytree(half_made, tmp_path / "zoo")
  work = path / "work" / "00000"
  part = work / "snapshot-00000004.npz"
  if kind == "snapshot":
    content = part.read_bytes()
    part.write_bytes(damage.flipped(content, len(content) // 2))
  elif kind == "states":
    for record in (work / "state").glob("*.json"):
      record.write_text("{}")
  tiny.generate(path)
  assert contents(path) == contents(tiny_zoo)
  logged = {
      "none": "",
      "snapshot": f"shard 0 starts over: a snapshot of it is damaged ({part}",
      "states": "shard 0 starts over: every checkpoint in",
  }
  assert logged[kind] in caplog.text
  assert ("starts over" in caplog.text) == (kind != "none")


def test_another_group_is_not_taken_for_damage(half_made, tmp_path):
  from zoo_gen import shards

  path = shutil.copytree(half_made, tmp_path / "zoo")
  before = contents(path)
  with pytest.raises(ValueError, match=r"(?s)begun with another --group"):
    shards.generate(
        path,
        shards.plan(tiny_zoo.CONFIG),
        progress=tiny_zoo.Progress.silent(),
        group=3,
    )
  assert contents(path) == before


def test_nothing_is_written_through_a_link(tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "zoo").mkdir()
  from zoo_gen import shards

  zoo.create(tmp_path / "zoo", shards.plan(tiny_zoo.CONFIG))
  (tmp_path / "zoo" / "work").symlink_to(tmp_path / "elsewhere")
  with pytest.raises(ValueError, match="work is a symbolic link"):
    tiny_zoo.generate(tmp_path / "zoo")


def test_a_scratch_array_is_the_file(tmp_path):
  array = npy.scratch(tmp_path / "a", (3, 2), np.float16)
  array[:, 1] = 1
  assert (tmp_path / "a").stat().st_size == 12
  np.testing.assert_array_equal(array, [[0, 1]] * 3)
