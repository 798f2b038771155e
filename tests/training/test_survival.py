"""Runs whose files are damaged, forged, or cannot be written."""

import json
import shutil
import tracemalloc

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults import damage
from weightspace.io import files, workdir
from weightspace.io.checkpoints import CheckpointError, Checkpoints

pytestmark = pytest.mark.slow

PLACES = 100
MEMORY = 2**24


def state(step):
  generator = np.random.default_rng(step)
  return {
      "w": generator.normal(size=(5, 7)).astype(np.float32),
      "half": jax.numpy.full(3, step, jax.numpy.bfloat16),
      "step": np.int32(step),
  }


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
  folder = tmp_path_factory.mktemp("intact") / "checkpoints"
  with Checkpoints(folder) as checkpoints:
    for step in (10, 20):
      checkpoints.save(step, state(step))
  return folder


@pytest.fixture
def folder(intact, tmp_path):
  return shutil.copytree(intact, tmp_path / "checkpoints")


def names(folder):
  return sorted(
      str(file.relative_to(folder))
      for file in folder.rglob("*")
      if file.is_file()
  )


def restored(folder):
  with Checkpoints(folder) as checkpoints:
    step, tree = checkpoints.restore(state(0))
  jax.tree.map(np.testing.assert_array_equal, tree, state(step))
  return step


def test_a_flipped_bit_at_any_of_100_places_of_any_file_is_found(
    folder, caplog
):
  generator = np.random.default_rng(0)
  of_the_newest = [n for n in names(folder) if n.startswith("20")]
  assert len(of_the_newest) >= 3
  with Checkpoints(folder) as checkpoints:
    for name in of_the_newest:
      file = folder / name
      content = file.read_bytes()
      for place in generator.choice(
          len(content), min(PLACES, len(content)), False
      ):
        damaged = damage.flipped(content, place, int(generator.integers(8)))
        file.write_bytes(damaged)
        # What `restore` calls for each step; any error makes the step a bad one
        with pytest.raises(Exception):  # noqa: B017
          checkpoints._load(20, state(0))
      file.write_bytes(content)
    checkpoints._load(20, state(0))


def test_records_of_another_version_are_refused_by_name(folder, caplog):
  for step in (10, 20):
    file = folder / f"{step}.json"
    content = json.loads(file.read_text())
    del content["checksum"]
    file.write_text(files.seal(content | {"version": 1}))
  with pytest.raises(CheckpointError, match="record is of version 1"):
    restored(folder)


HOSTILE = st.sampled_from([
    0, -1, 2**70, 10**12, None, True, "", "x", "../../x", [], {}, [[]], [-1],
    [10**12, 10**12], float("inf"), "object", "float64", {"a": {}},
])  # fmt: skip


@settings(max_examples=60)
@given(st.data())
def test_forged_records_make_an_older_step_or_a_clear_error(
    intact, tmp_path_factory, data
):
  folder = intact.parent / "forged"
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(intact, folder)
  file = folder / "20.json"
  content = json.loads(file.read_text())
  del content["checksum"]
  place = data.draw(st.sampled_from([p for p in damage.paths(content) if p]))
  holder = content
  for key in place[:-1]:
    holder = holder[key]
  holder[place[-1]] = data.draw(HOSTILE)
  file.write_text(files.seal(content))
  tracemalloc.start()
  try:
    assert restored(folder) in (10, 20)
  except ValueError as error:  # of another configuration, it says
    assert str(folder / "20") in str(error)
  assert tracemalloc.get_traced_memory()[1] < MEMORY
  tracemalloc.stop()


@settings(max_examples=40)
@given(st.data())
def test_mutated_files_make_an_older_step(intact, data):
  folder = intact.parent / "mutated"
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(intact, folder)
  file = folder / data.draw(
      st.sampled_from([n for n in names(folder) if n.startswith("20")])
  )
  content = file.read_bytes()
  start = data.draw(st.integers(0, len(content)))
  stop = data.draw(st.integers(start, min(len(content), start + 30)))
  new = content[:start] + data.draw(st.binary(max_size=30)) + content[stop:]
  file.write_bytes(new)
  assert restored(folder) == (20 if new == content else 10)


def test_a_full_disk_is_said_and_nothing_is_lost(folder):
  with Checkpoints(folder) as checkpoints:
    for limit in (0, 200):
      with (
          damage.full_disk(limit),
          pytest.raises(OSError, match="could not be written: "),
      ):
        checkpoints.save(30, state(30))
      assert restored(folder) == 20
    assert checkpoints.restore(state(0))[0] == 20
    checkpoints.save(30, state(30))
  assert restored(folder) == 30


def test_a_full_disk_leaves_metrics_and_configs_as_they_were(tmp_path):
  log = workdir.MetricsLog(tmp_path / "run" / "metrics.jsonl")
  log.write(1, loss=0.5)
  size = log.path.stat().st_size
  with (
      damage.full_disk(size + 3),
      pytest.raises(OSError, match=r"metrics\.jsonl could not be written"),
  ):
    log.write(2, loss=0.25)
  assert workdir.read_metrics(log.path) == [{"step": 1, "loss": 0.5}]
  log = workdir.MetricsLog(log.path)  # as the next run does
  log.write(2, loss=0.25)
  assert [line["step"] for line in workdir.read_metrics(log.path)] == [1, 2]
  with (
      damage.full_disk(3),
      pytest.raises(OSError, match=r"config\.json.* could not be written"),
  ):
    workdir.claim(tmp_path / "new", {"a": 1})
  assert workdir.read(workdir.claim(tmp_path / "new", {"a": 1})) == {"a": 1}


def test_drafts_that_a_kill_left_do_not_hinder_and_do_not_stay(
    folder, tmp_path
):
  run = tmp_path / "run"
  run.mkdir()
  log = workdir.MetricsLog(run / "metrics.jsonl")
  config = run / "config.json"
  drafts = [files.temporary(config), files.temporary(log.path)]
  drafts[0].write_text("{")
  workdir.claim(run, {"a": 1})  # the first time, another may be writing it
  drafts.append(files.temporary(folder / "37.json"))
  for draft in drafts:
    draft.write_text("{")
  log.write(1, loss=0.5)
  workdir.claim(run, {"a": 1})
  log.rewind(1)
  assert workdir.read(run) == {"a": 1}
  assert restored(folder) == 20
  assert not any(draft.exists() for draft in drafts)


def test_runs_are_read_where_nothing_may_be_written(folder, caplog):
  half = folder / "30.orbax-checkpoint-tmp"
  half.mkdir()
  (folder / "20.json").write_text("{}")
  with damage.read_only(folder.parent):
    assert restored(folder) == 10
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(OSError, match="40"),
    ):
      checkpoints.save(40, state(40))
  assert f"could not remove {half}" in caplog.text
  assert f"could not move aside {folder / '20'}" in caplog.text


def test_damaged_metrics_are_named_by_line(tmp_path):
  file = tmp_path / "metrics.jsonl"
  for line in ('{"step": 2, "lo', "[2]", '{"loss": 1}', "\xff", "[" * 9999):
    file.write_bytes(
        b'{"step": 1}\n' + line.encode("latin-1") + b'\n{"step": 3}\n'
    )
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged"):
      workdir.read_metrics(file)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged"):
      workdir.MetricsLog(file).rewind(3)


def test_a_run_is_not_written_to_through_links(tmp_path):
  run = workdir.claim(tmp_path / "run", {"a": 1})
  (run / "metrics.jsonl").symlink_to(tmp_path / "precious")
  with pytest.raises(ValueError, match=r"metrics\.jsonl is a symbolic link"):
    workdir.claim(run, {"a": 1})


def test_where_every_step_is_bad_it_is_an_error_that_launchers_print(folder):
  for file in folder.glob("*.json"):
    file.write_text("{}")
  with pytest.raises(CheckpointError) as error:
    restored(folder)
  assert isinstance(error.value, ValueError)
