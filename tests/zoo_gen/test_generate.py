"""The launchers, as processes: killed, resumed, refused, helped."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from zoo_gen import shards

ROOT = pathlib.Path(__file__).parents[2]
LAUNCHERS = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for folder in ("zoo_gen", "experiments")
    for file in (ROOT / folder).rglob("*.py")
    if "launch.run(" in file.read_text()
)
SMALLER = (
    "networks=8", "shard_size=4", "rollouts=2", "rnn.hidden=(4,)",
    "rnn.cell=elman", "recipe.snapshot_steps=(0,60,150)", "recipe.batch=4",
    "task.eval_strings=20", "task.eval_batch=4", "task.length=20",
    "task.max_n=4",
)  # fmt: skip
SECONDS = 200


def start(*arguments):
  env = os.environ | {"PYTHONPATH": str(ROOT)}
  return subprocess.Popen(
      [sys.executable, *arguments],
      cwd=ROOT,
      env=env,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
  )


def finish(process):
  out, err = process.communicate(timeout=SECONDS)
  return process.returncode, out, err


def generation(path, *more):
  return start(
      "-m", "zoo_gen.generate", f"--zoo={path}", "--group=2",
      "--max_segment=10",
      "--config=zoo_gen/configs/formal_languages.py:tiny",
      *(f"--config.{field}" for field in (*SMALLER, *more)),
  )  # fmt: skip


def checksums(path):
  return {
      str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
      for file in sorted(path.rglob("*"))
      if file.is_file()
  }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
  path = tmp_path_factory.mktemp("undisturbed") / "zoo"
  status, _, err = finish(generation(path))
  assert status == 0, err
  return path


@pytest.mark.slow
def test_sigterm_saves_and_exits_with_143(undisturbed, tmp_path):
  path = tmp_path / "zoo"
  process = generation(path)
  deadline = time.monotonic() + SECONDS
  while not list((path / "work").glob("00000/state/[1-9]?")):
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.002)
  process.terminate()
  status, _, err = finish(process)
  assert status == 143, err
  assert "stopped by SIGTERM; run again to go on" in err
  assert "Traceback" not in err
  status, _, err = finish(generation(path))
  assert status == 0, err
  assert checksums(path) == checksums(undisturbed)


@pytest.mark.slow
def test_a_finished_zoo_is_left_as_it_is(undisturbed):
  before = {f: f.stat().st_mtime_ns for f in undisturbed.rglob("*.npy")}
  status, _, err = finish(generation(undisturbed))
  assert status == 0, err
  assert before == {f: f.stat().st_mtime_ns for f in undisturbed.rglob("*.npy")}


@pytest.mark.slow
def test_another_config_is_refused(undisturbed):
  before = checksums(undisturbed)
  status, _, err = finish(generation(undisturbed, "recipe.batch=5"))
  assert status == 1
  assert "error:" in err
  assert "trainer.batch is 4 there, 5 requested" in err
  assert "Traceback" not in err
  assert checksums(undisturbed) == before


@pytest.mark.parametrize(
    "field, nearest",
    [
        ("recipe.bacth=5", "mean \"batch\" instead of"),
        ("netwroks=5", "mean \"networks\" instead of"),
        ("zzz=5", "error: no such config field: 'zzz'"),
    ],
)
def test_an_unknown_field_is_refused_naming_the_nearest(
    tmp_path, field, nearest
):
  status, _, err = finish(generation(tmp_path / "zoo", field))
  assert status != 0
  assert nearest in err
  assert "Traceback" not in err
  assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize(
    "section, nearest",
    [
        ({"task": {"lenght": 3}}, "length"),
        ({"recipe": {"bacth": 3}}, "batch"),
        ({"rnn": {"cells": "gru", "hidden": (4,)}}, "cell"),
        ({"family": "formal_languages"}, "formal_language"),
    ],
)
def test_an_unknown_field_of_a_plan_is_refused(section, nearest):
  from tests import tiny_zoo

  with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
    shards.plan({**tiny_zoo.CONFIG, **section})


@pytest.mark.slow
def test_audit(undisturbed, tmp_path):
  copy = tmp_path / "zoo"
  shutil.copytree(undisturbed, copy)
  file = copy / "shards" / "00001" / "loss.npy"
  file.write_bytes(file.read_bytes()[:-1] + b"x")
  status, out, err = finish(
      start("-m", "zoo_gen.audit", f"--zoo={copy}", "--sample=5")
  )
  assert status == 1, out + err
  assert "8 of elman (4,)" in out
  assert out.count("WRONG") == 1
  assert f"WRONG: {file} was altered" in out


def test_audit_of_no_zoo_is_one_line(tmp_path):
  status, out, err = finish(
      start("-m", "zoo_gen.audit", f"--zoo={tmp_path / 'nothing'}")
  )
  assert status == 1
  assert out == ""
  errors = [line for line in err.splitlines() if line.startswith("error:")]
  assert len(errors) == 1
  assert "is not a zoo" in errors[0]
  assert "Traceback" not in err


def test_launchers_are_found():
  assert {"zoo_gen.generate", "zoo_gen.audit"} <= set(LAUNCHERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAUNCHERS)
def test_help_imports_nothing_heavy(name):
  program = (
      "import atexit, runpy, sys\n"
      "atexit.register(lambda: print('HEAVY', sorted({'jax', 'flax', 'optax',"
      " 'orbax', 'numpy', 'tensorflow', 'matplotlib'} & sys.modules.keys())))\n"
      "sys.argv = ['launcher', '--help']\n"
      f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)\n"
  )
  _, out, err = finish(start("-c", program))
  assert "HEAVY []" in out, out + err
  assert "Traceback" not in err
  assert "--" in out
