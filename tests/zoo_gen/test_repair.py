"""A damaged zoo is made whole again, to the bit, or left as it is."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests import tiny_zoo as tiny
from tests.test_recurrence import needs_kernels
from tests.zoo import example
from weightspace import zoo
from weightspace.io import files, locks
from weightspace.progress import Progress
from weightspace.zoo import manifest
from zoo_gen import repair, shards

GROUP = 2  # of tests.tiny_zoo



@pytest.fixture
def path(tiny_zoo, tmp_path):
  return shutil.copytree(tiny_zoo, tmp_path / "zoo")


def contents(path):
  return {
      str(file.relative_to(path)): file.read_bytes()
      for file in sorted(path.rglob("*"))
      if file.is_file() and repair.BROKEN not in file.parts
  }


def repaired(path, **kwargs):
  return list(repair.repair(path, **{"group": GROUP, **kwargs}))


def reseal(path, change):
  document = json.loads((path / "zoo.json").read_text())
  del document["checksum"]
  change(document)
  (path / "zoo.json").write_text(files.seal(document))


def flip(file):
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(content)


def test_all_kinds_of_damage_are_mended_to_the_bit(path, tiny_zoo):
  first, second, third = ((path / "shards" / f"0000{i}") for i in range(3))
  flip(first / "weights.npy")
  (first / "task.npy").unlink()
  broken = (first / "weights.npy").read_bytes()
  (second / "shard.json").write_text("{")
  shutil.rmtree(third)
  lines = repaired(path)
  assert contents(path) == contents(tiny_zoo)
  assert zoo.verify(path) == []
  # Nothing was thrown away
  aside = path / repair.BROKEN
  assert (aside / "00000-1" / "weights.npy").read_bytes() == broken
  assert (aside / "00001-shard.json-1").read_text() == "{"
  text = "\n".join(lines)
  assert f"damaged: {first / 'weights.npy'} was altered" in text
  assert f"moved {first} aside to {aside / '00000-1'}" in text
  assert "made shard 0 again: the same to the bit" in text
  assert f"wrote {second / 'shard.json'} again" in text
  assert "made shard 2 again" in text
  assert repaired(path) == [f"nothing to repair in {path}"]


def test_where_another_process_repairs_it_nothing_is_done(path):
  (path / "shards" / "00000" / "task.npy").unlink()
  before = contents(path / "shards")
  with (
      locks.hold(path),
      pytest.raises(ValueError, match="another process works in"),
  ):
    repaired(path)
  assert contents(path / "shards") == before


@pytest.mark.slow
def test_another_outcome_replaces_nothing(path):
  # As of a zoo that was made on other devices
  reseal(
      path,
      lambda d: d["shards"][2]["files"]["loss.npy"].update(sha256="0" * 64),
  )
  before = contents(path)
  with pytest.raises(ValueError, match=r"shard 2 .* lost: loss\.npy differ"):
    repaired(path)
  assert contents(path) == before


@pytest.mark.slow
@pytest.mark.parametrize("place", [
    lambda document: document["shards"][2]["software"],
    lambda document: document["software"],  # of zoos that record it there
], ids=["shard", "zoo"])  # fmt: skip
@pytest.mark.parametrize("name, version", [
    ("jax", "0.4.1"), ("kernels", "kernels-others"),
])  # fmt: skip
def test_a_shard_of_other_software_is_refused(
    path, monkeypatch, place, name, version
):
  monkeypatch.setattr(
      repair, "kernels_name", lambda kernels: "here" if kernels else "none"
  )

  def change(document):
    if place(document) is document["software"]:
      for record in document["shards"]:
        del record["software"]
    place(document)[name] = version

  flip(path / "shards" / "00002" / "weights.npy")
  reseal(path, change)
  before = contents(path)
  with pytest.raises(ValueError, match=f"made with {name} {version} .here: "):
    repaired(path)
  assert contents(path) == before


def test_what_other_software_made_is_left_alone(path, tiny_zoo):
  """Of another shard, that is whole."""
  record = path / "shards" / "00001" / "shard.json"
  reseal(path, lambda d: d["shards"][1]["software"].update(jax="0.4.1"))
  document = json.loads((path / "zoo.json").read_text())
  record.write_text(files.seal(document["shards"][1]))
  (path / "shards" / "00002" / "weights.npy").unlink()
  repaired(path)
  assert zoo.verify(path) == []
  weights = "shards/00002/weights.npy"
  assert contents(path)[weights] == contents(tiny_zoo)[weights]


@pytest.mark.slow
@needs_kernels
def test_shards_with_and_without_kernels_are_made_again_as_they_were(tmp_path):
  """A zoo begun with kernels and finished without them."""
  path = tmp_path / "zoo"
  spec = shards.plan(tiny.CONFIG)
  make = functools.partial(
      shards.generate, path, spec, progress=Progress.silent(), group=GROUP
  )
  make(kernels=True, only=[0])
  make(kernels=False)
  records = manifest.read(path)[1]["shards"]
  assert records[0]["software"]["kernels"].startswith("kernels-")
  assert records[1]["software"]["kernels"] == "none"
  before = contents(path)
  for index in (0, 1):
    flip(path / "shards" / f"0000{index}" / "weights.npy")
  repaired(path)
  assert contents(path) == before


def test_a_zoo_that_was_not_trained_here_is_refused(tmp_path):
  path = example.write(tmp_path / "zoo")
  flip(path / "shards" / "00002" / "weights.npy")
  with pytest.raises(ValueError, match="not trained by this software"):
    repaired(path)
  # but what needs no training is mended
  flip(path / "shards" / "00001" / "shard.json")
  shutil.copy(
      example.write(tmp_path / "copy") / "shards" / "00002" / "weights.npy",
      path / "shards" / "00002" / "weights.npy",
  )
  assert "wrote" in repaired(path)[-1]
  assert zoo.verify(path) == []


def test_where_zoo_json_is_damaged_nothing_is_guessed(path):
  flip(path / "zoo.json")
  with pytest.raises(zoo.ZooError, match=r"zoo\.json cannot be used"):
    repaired(path)


@pytest.mark.slow
def test_the_launcher_says_what_it_did(path):
  root = pathlib.Path(__file__).parents[2]
  flip(path / "shards" / "00001" / "shard.json")
  done = subprocess.run(
      [sys.executable, "-m", "zoo_gen.audit", f"--zoo={path}", "--repair",
       "--sample=1"],
      capture_output=True, text=True, cwd=root, timeout=200,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  assert "wrote" in done.stdout
  assert "problems  0" in done.stdout
