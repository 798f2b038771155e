"""Several processes make a zoo: the same, whatever each is given to do."""

import errno
import fcntl
import signal

import jax
import pytest

from tests import processes, tiny_zoo
from tests.zoo_gen.test_generate import checksums
from weightspace import zoo
from weightspace.io import files
from weightspace.io.locks import claim
from weightspace.processes import Share
from weightspace.progress import Progress
from zoo_gen import shards

pytestmark = pytest.mark.timeout(600)  # processes that compile
FIELDS = (
    "networks=10", "shard_size=2", "rollouts=2", "rnn.hidden=(4,)",
    "rnn.cell=elman", "recipe.snapshot_steps=(0,20)", "recipe.batch=4",
    "task.eval_strings=20", "task.eval_batch=4", "task.length=20",
    "task.max_n=4",
)  # fmt: skip
COMMAND = (
    "-m", "zoo_gen.generate", "--group=1",
    "--config=zoo_gen/configs/formal_languages.py:tiny",
    *(f"--config.{field}" for field in FIELDS),
)  # fmt: skip


def generation(path, *flags, **environment):
  return processes.start(*COMMAND, f"--zoo={path}", *flags, **environment)


@pytest.mark.slow
def test_the_zoo_is_the_same_however_many_make_it(tmp_path):
  ((status, _, err),) = processes.finish(generation(tmp_path / "alone"))
  assert status == 0, err

  # Two tasks of an array, both configured by mistake as the second one
  task = {
      "SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "2",
      "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "4",
  }  # fmt: skip
  path = tmp_path / "zoo"
  ends = processes.finish(*(generation(path, **task) for _ in range(2)))
  for status, out, err in ends:
    assert status == 0, err
    assert "share 1 of 2" in err
    assert "shards that others have to make: 0, " in out
  assert zoo.missing_shards(path) == [0, 2, 4]

  # A job of two processes does the rest
  address = f"127.0.0.1:{processes.free_port()}"
  ends = processes.finish(*(
      generation(path, f"--distributed={address},2,{index}", "--shard_count=1",
                 **task)
      for index in (0, 1)
  ))  # fmt: skip
  for index, (status, _, err) in enumerate(ends):
    assert status == 0, err
    assert f"share {index} of 2" in err
  assert checksums(path) == checksums(tmp_path / "alone")


def test_a_shard_that_is_being_made_is_left_alone(
    tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(shards, "_compile", lambda *_: None)  # nothing to train
  spec = shards.plan(tiny_zoo.CONFIG)
  zoo.create(tmp_path, spec)
  with claim(tmp_path / "work" / "00001.lock") as mine:
    assert mine
    left = shards.generate(
        tmp_path,
        spec,
        progress=Progress.silent(),
        group=2,
        devices=jax.devices(),
        share=Share(1, 3),
    )
  assert left == [0, 1, 2]
  assert "another process is making shard 1" in caplog.text
  assert not (tmp_path / "shards").exists()


def test_a_claim_is_of_one_at_a_time(tmp_path):
  path = tmp_path / "work" / "lock"
  with claim(path) as first, claim(path) as second:
    assert (first, second) == (True, False)
  with claim(path) as third:
    assert third
    path.unlink()
    with claim(path) as fourth:  # of a new file
      assert fourth
      with claim(path) as fifth:
        assert not fifth


@pytest.mark.slow
def test_the_claim_of_a_killed_process_is_void(tmp_path):
  program = (
      "import pathlib, sys, time\n"
      "from weightspace.io.locks import claim\n"
      "with claim(pathlib.Path(sys.argv[1])) as mine:\n"
      "  print(mine, flush=True)\n"
      "  time.sleep(100)\n"
  )
  path = tmp_path / "lock"
  process = processes.start("-c", program, path)
  try:
    assert process.stdout.readline() == "True\n"
    with claim(path) as mine:
      assert not mine
  finally:
    process.kill()
  processes.finish(process)
  assert process.returncode == -signal.SIGKILL
  with claim(path) as mine:
    assert mine


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_without_locks_it_warns_and_goes_on(
    tmp_path, monkeypatch, caplog, number
):
  def flock(*_):
    raise OSError(number, "not here")

  monkeypatch.setattr(fcntl, "flock", flock)
  with claim(tmp_path / "lock") as mine:
    assert mine
  assert f"no locks in {tmp_path} (not here)" in caplog.text


def test_other_errors_of_locks_are_errors(tmp_path, monkeypatch):
  def flock(*_):
    raise OSError(errno.EIO, "broken")

  monkeypatch.setattr(fcntl, "flock", flock)
  with pytest.raises(OSError, match="broken"), claim(tmp_path / "lock"):
    pass


def test_a_zoo_may_appear_while_it_is_created(tmp_path, monkeypatch):
  spec, path = shards.plan(tiny_zoo.CONFIG), tmp_path / "zoo"
  leftovers = files.leftovers

  def late(*args):
    monkeypatch.setattr(files, "leftovers", leftovers)
    zoo.create(path, spec)  # by another process, which goes on at once
    (path / "work").mkdir()
    return leftovers(*args)

  monkeypatch.setattr(files, "leftovers", late)
  zoo.create(path, spec)
  assert len(zoo.missing_shards(path)) == 3
