"""Launchers start where Linux's habits are missing, and find ~."""

import os
import pathlib
import subprocess
import sys

import pytest

from experiments.study import pipeline
from weightspace import parallel
from weightspace.errors import UserError
from weightspace.io import files
from weightspace.recurrence._cpu import build

# What macOS and small containers lack
LACKING = """
import os, pwd, pathlib
for name in ("sched_getaffinity", "sched_setaffinity"):
  delattr(os, name)
def nobody(*_):
  raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = nobody
os.environ.pop("HOME", None)
reading = pathlib.Path.read_text
def read_text(self, *args, **kwargs):
  if str(self).startswith(("/proc", "/sys")):
    raise FileNotFoundError(self)
  return reading(self, *args, **kwargs)
pathlib.Path.read_text = read_text
"""
LAUNCH = """
from absl import flags
from weightspace import launch
zoo = flags.DEFINE_string("zoo", None, "")
def main():
  import jax
  print(jax.device_count() > 0, zoo.value, "a\\u00b2")
launch.run(main)
"""


def _run(code, *arguments, **env):
  return subprocess.run(
      [sys.executable, "-c", code, *arguments],
      capture_output=True,
      text=True,
      check=False,
      env=os.environ | env,
  )


def test_launchers_start_without_affinity_home_or_proc():
  done = _run(LACKING + LAUNCH)
  assert done.stdout == "True None a²\n", done.stderr
  refused = _run(LACKING + LAUNCH, "--zoo=~/zoo")
  assert refused.returncode == 1
  assert refused.stderr.startswith("error: '~/zoo' names no home folder")


def test_results_are_printed_whatever_the_encoding():
  done = _run(LAUNCH, PYTHONIOENCODING="ascii")
  assert done.stdout == "True None a\\xb2\n", done.stderr


@pytest.mark.parametrize(
    "written, expected",
    [
        (["--zoo=~/z"], "/somewhere/z"),
        (["--zoo", "~/z"], "/somewhere/z"),
        (["-zoo=~"], "/somewhere"),
        (["--zoo=./~"], "./~"),
        (["--zoo=a~/b"], "a~/b"),
    ],
    ids=str,
)
def test_every_flag_knows_the_home_folder(written, expected):
  done = _run(LAUNCH, *written, HOME="/somewhere")
  assert done.stdout == f"True {expected} a²\n", done.stderr


def test_paths_that_are_no_flags_know_it_too(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  zoos = pipeline.parse_zoos({"zoos": {"x": {}}}, ["x=~/zoo"])
  assert zoos == {"x": f"{tmp_path}/zoo"}
  compiler = tmp_path / "g++"
  compiler.touch(mode=0o755)
  monkeypatch.setenv("CXX", "~/g++ -O1")
  assert build._compiler() == [str(compiler), "-O1"]
  assert files.expand_home("a~") == "a~"


def test_an_unknown_user_has_no_home():
  with pytest.raises(UserError, match="names no home folder"):
    files.expand_home("~no such user/zoo")


def test_cores_are_those_of_this_process(monkeypatch):
  assert len(parallel.cores()) >= 1
  monkeypatch.delattr(os, "sched_getaffinity", raising=False)
  assert parallel.cores() == list(range(os.cpu_count()))


def test_no_module_reads_affinity_but_one():
  root = pathlib.Path(parallel.__file__).parents[1]
  readers = [
      path.name
      for package in ("weightspace", "zoo_gen", "experiments")
      for path in (root / package).rglob("*.py")
      if "sched_getaffinity(" in path.read_text()
  ]
  assert readers == ["parallel.py"]
