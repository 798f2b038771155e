"""A request that cannot be met ends in one line; bugs have tracebacks."""

import ast
import gzip
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from experiments.configs import ingredients, quickstart, reproduce, worlds
from experiments.study import checks, estimate, pipeline
from tests.zoo import example
from weightspace import processes, tasks
from weightspace.errors import UserError
from weightspace.progress import Progress
from weightspace.tasks import _idx
from weightspace.zoo import splits

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(
    path
    for package in ("weightspace", "zoo_gen", "experiments")
    for path in (ROOT / package).rglob("*.py")
)


def test_users_are_answered_by_one_class():
  plain = [
      f"{path.relative_to(ROOT)}:{node.lineno}"
      for path in MODULES
      for node in ast.walk(ast.parse(path.read_text()))
      if isinstance(node, ast.Raise)
      and isinstance(node.exc, ast.Call)
      and getattr(node.exc.func, "id", "") == "ValueError"
  ]
  assert not plain, "raise UserError instead"


@pytest.mark.parametrize(
    "error, lines",
    [
        ("UserError('two\\nlines')", "error: two lines\n"),
        ("OSError('no space')", "error: no space\n"),
        (
            "OSError(13, 'No right', 'zoo/a')",
            "error: zoo/a: No right; choose a place that you may read and"
            " write\n",
        ),
        ("OSError(5, 'Broken', 'zoo/a')", "error: zoo/a: Broken\n"),
        ("ValueError('a bug')", None),
        ("KeyError('a bug')", None),
    ],
)
def test_only_bugs_have_a_traceback(error, lines):
  code = (
      "from weightspace import launch\n"
      "from weightspace.errors import UserError\n"
      f"def main():\n  raise {error}\n"
      "launch.run(main)"
  )
  done = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 1
  if lines is None:
    assert "Traceback" in done.stderr
  else:
    assert done.stderr == lines


def _study(**changes):
  config = reproduce.get_config("smoke")
  config.update_from_flattened_dict(changes)
  return config.to_dict()


@pytest.mark.parametrize(
    "field, wrong",
    [
        ("seed", 2**32),
        ("resamples", 0),
        ("emulation.seeds", 0),
        ("emulation.steps.formal_language", 0),
        ("supervised.steps.tiled_mnist", -1),
        ("search.learning_rates", ()),
        ("search.warmups", (-0.5,)),
        ("properties.formal_language", ("acuracy",)),
        ("heads.fields.steps", 0),
        ("heads.trials.layers", (-1,)),
        ("heads.trials.layers", ()),
        ("clones.networks", 0),
        ("few_labels.networks", (0,)),
        ("few_labels.steps", 0),
        ("codes.rows", 0),
        ("codes.perplexity", 0.0),
        ("codes.neighbours", (0,)),
        ("variants.sequences.seeds", 0),
        ("encoders", ("interactiv",)),
        ("models", "smal"),
    ],
)
def test_a_study_is_checked_before_its_folder_is_made(tmp_path, field, wrong):
  folder = tmp_path / "study"
  with pytest.raises(UserError):
    pipeline.run(
        _study(**{field: wrong}), folder, zoos={}, stages=["search/*"],
        workers=0, command="", progress=Progress.silent(),
    )  # fmt: skip
  assert not folder.exists()


def test_the_configs_of_studies_pass():
  for size in reproduce.SIZES:
    checks.check(reproduce.get_config(size).to_dict(), {})
  checks.check(quickstart.get_config("tiny").to_dict(), {})
  for family in worlds.ENCODERS:
    for size in worlds.SIZES:
      config = worlds.get_config(f"{family},{size}").to_dict()
      checks.check(config, {})
      assert "emulation" in estimate.text(config, 1, timed=False)
  for family in ingredients.VARIANTS:
    config = ingredients.study(ingredients.get_config(family))
    checks.check(config.to_dict(), {})


ARRAY = {
    "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "3",
}  # fmt: skip
STEP = {
    "SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "n", "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
}  # fmt: skip


def test_variables_of_slurm_are_named():
  assert processes.share(None, None, ARRAY) == processes.Share(3, 4)
  for name in ARRAY:
    for wrong in ({name: ""}, {name: "x"}, {name: "-1"}):
      with pytest.raises(UserError, match=f"{name} must be .* but is"):
        processes.share(None, None, ARRAY | wrong)
    if name != "SLURM_ARRAY_TASK_ID":
      lacking = {k: v for k, v in ARRAY.items() if k != name}
      with pytest.raises(UserError, match=f"{name} .* not set"):
        processes.share(None, None, lacking)
  for name in ("SLURM_NTASKS", "SLURM_PROCID"):
    with pytest.raises(UserError, match=f"{name} must be"):
      processes.job("auto", STEP | {name: ""})


def test_a_damaged_gzip_is_named(tmp_path):
  content = bytes((0, 0, 8, 1, 0, 0, 16, 0)) + bytes(range(256)) * 16
  whole = gzip.compress(content)
  path = tmp_path / "labels.gz"
  for place in range(10, len(whole), 7):
    damaged = bytearray(whole)
    damaged[place] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"labels\.gz"):
      _idx.read_idx(path, 1)


def test_a_zoo_of_diverged_networks_is_refused():
  steps = np.tile(example.SPEC.snapshot_steps, 10)
  tasks_ = np.arange(len(steps), dtype=np.float32)[:, None]
  columns = {"step": steps, "task": tasks_, "finite": steps == 0}
  opened = types.SimpleNamespace(
      spec=example.SPEC, path="ZOO", columns=columns,
      final=steps == steps.max(),
  )  # fmt: skip
  family = tasks.make("secret_path", {})
  family = family._replace(novelty=lambda task: task[0])
  with pytest.raises(UserError, match="all 5 networks of ZOO diverged"):
    splits.of_zoo(opened, family, seed=0)
