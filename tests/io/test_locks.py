"""One process works in a folder at a time, whatever it runs."""

import subprocess
import sys

import pytest

from experiments.configs import quickstart
from experiments.study import pipeline
from tests.training.pair import CONFIG as LONG
from weightspace import zoo
from weightspace.errors import UserError
from weightspace.io import locks, workdir
from weightspace.progress import Progress
from weightspace.training import pretrain

CONFIG = {
    **LONG,
    "emulation": {**LONG["emulation"], "steps": 4, "checkpoint_every": 2},
}
STUDY = quickstart.get_config("tiny").to_dict()
HOLD = """
import sys, time
from weightspace.io import locks
with locks.hold(sys.argv[1]):
  print("held", flush=True)
  time.sleep(60)
"""


def test_a_folder_is_held_until_its_process_ends(tmp_path):
  with subprocess.Popen(
      [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
  ) as process:
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match="another process works in"),
        locks.hold(tmp_path),
    ):
      pass
    process.kill()
  with locks.hold(tmp_path):  # what the kill left does no harm
    assert (tmp_path / locks.NAME).exists()
  assert not list(tmp_path.iterdir())


def test_what_a_kill_left_is_no_foreign_file(tmp_path):
  (tmp_path / locks.NAME).touch()
  workdir.claim(tmp_path, {"a": 1})
  assert workdir.read(tmp_path) == {"a": 1}


@pytest.mark.slow
def test_two_processes_do_not_train_one_encoder(tmp_path, tiny_zoo):
  opened, silent = zoo.open(tiny_zoo), Progress.silent()
  run = tmp_path / "run"
  with locks.hold(run), pytest.raises(UserError, match="another process"):
    pretrain.pretrain(opened, CONFIG, run, progress=silent)
  assert sorted(path.name for path in run.iterdir()) == ["config.json"]
  pretrained = pretrain.pretrain(opened, CONFIG, run, progress=silent)
  assert pretrained.step >= 0
  assert locks.NAME not in [path.name for path in run.iterdir()]


def test_two_processes_do_not_work_on_one_study(tmp_path):
  with locks.hold(tmp_path), pytest.raises(UserError, match="another process"):
    pipeline.run(
        STUDY, tmp_path, zoos={}, stages=["zoos/*"], workers=0, command="",
        progress=Progress.silent(),
    )  # fmt: skip


@pytest.mark.parametrize("file", ["zoo.json", "checkpoints"])
def test_a_study_takes_no_folder_of_something_else(tmp_path, file):
  (tmp_path / file).mkdir()
  with pytest.raises(UserError, match="not of a study"):
    pipeline.run(
        STUDY, tmp_path, zoos={}, stages=["zoos/*"], workers=0, command="",
        progress=Progress.silent(),
    )  # fmt: skip
