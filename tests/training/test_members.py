"""Members of one training are what they are alone."""

import copy
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from tests.training.test_fit import KillAt, Killed
from weightspace import parallel, zoo
from weightspace.progress import Progress
from weightspace.training import members, pretrain
from weightspace.training import model as model_lib
from weightspace.training import setup as setup_lib

pytestmark = pytest.mark.usefixtures("shared_setups")

CONFIG = {
    "encoder": {"name": "flat", "hidden": 8, "layers": 1, "code": 4},
    "optimizer": {"learning_rate": 3e-3, "warmup_steps": 5, "decay_steps": 30},
}
FIELDS = {"steps": 20, "batch": 6, "validate_every": 7, "checkpoint_every": 8}
OBJECTIVES = {
    "emulation": {
        "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
        "emulation": {**FIELDS, "sequences": 2},
    },
    # Its programs take the shortest to compile
    "supervised": {
        "supervised": {**FIELDS, "properties": ("step",), "hidden": 8,
                       "layers": 1, "augment": "none"},
    },
}  # fmt: skip


def configured(seed=0, rate=3e-3, objective="supervised", **fields):
  config = {"objective": objective, **CONFIG, **OBJECTIVES[objective]}
  config = copy.deepcopy(config)
  config[objective] |= {"seed": seed, **fields}
  config["optimizer"]["learning_rate"] = rate
  return config


AXES = {
    "seed": [configured(seed) for seed in (0, 5, 9)],
    "rate": [
        configured(seed, rate, "emulation")
        for seed, rate in ((5, 3e-2), (0, 3e-3), (0, 1e30))
    ],
}


def train(path, folder, configs, progress=None, **kwargs):
  runs = {folder / f"run{i}": config for i, config in enumerate(configs)}
  return members.pretrain(
      zoo.open(path),
      runs,
      progress=progress or Progress.silent(),
      **{"vmapped": True, **kwargs},
  )


@pytest.fixture(scope="module")
def alone(tiny_zoo, tmp_path_factory):
  """Runs by `pretrain.pretrain`: of each axis, folders and what they left."""

  def run(axis, place):
    folder = tmp_path_factory.mktemp("alone") / f"{axis}{place}"
    results = pretrain.pretrain(
        zoo.open(tiny_zoo), AXES[axis][place], folder,
        progress=Progress.silent(),
    )  # fmt: skip
    return folder, results

  return {"seed": [run("seed", 0), run("seed", 1)], "rate": [run("rate", 0)]}


@pytest.fixture(scope="module")
def vmapped(tiny_zoo, tmp_path_factory):
  folders = {axis: tmp_path_factory.mktemp(axis) for axis in AXES}
  return {
      axis: (folder, train(tiny_zoo, folder, AXES[axis]))
      for axis, folder in folders.items()
  }


class TerminateAt(KillAt):
  """SIGTERM comes at a step, as from a scheduler."""

  def advance(self, n, **metrics):
    self.done += n
    if self.done == self.step:
      os.kill(os.getpid(), signal.SIGTERM)


def furthest(a, b):
  leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return max(float(np.max(np.abs(x - y))) for x, y in leaves)


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def states(folder):
  """What the last checkpoint of a run holds, by name."""
  with np.load(folder / "checkpoints/20/default/arrays.npz") as arrays:
    return dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("axis", AXES)
def test_a_member_is_what_it_is_alone(tiny_zoo, alone, vmapped, axis):
  folder, results = vmapped[axis]
  zoo_ = zoo.open(tiny_zoo)
  for place, (its_folder, its) in enumerate(alone[axis]):
    assert furthest(results[place].params, its.params) < 1e-5
    assert furthest(results[1 - place].params, its.params) > 1e-2
    assert results[place].step == its.step
    # An ordinary run: all of its files, and `load` takes it
    run = folder / f"run{place}"
    loaded, _ = pretrain.load(zoo_, run)
    same(loaded.params, results[place].params)
    assert (run / "config.json").read_text() == (
        its_folder / "config.json"
    ).read_text()
    for a, b in zip(loaded.history, its.history, strict=True):
      assert a == pytest.approx(b, rel=1e-3)
      assert list(a) == list(b)
    a, b = states(run), states(its_folder)
    assert {k: (v.shape, v.dtype) for k, v in a.items()} == {
        k: (v.shape, v.dtype) for k, v in b.items()
    }
  assert sorted(path.name for path in folder.iterdir()) == [
      "run0", "run1", "run2",
  ]  # fmt: skip


@pytest.mark.slow
def test_a_member_that_is_not_finite_is_skipped_alone(vmapped):
  _, results = vmapped["rate"]
  skipped = [[line.get("skipped", 0) for line in f.history] for f in results]
  assert sum(skipped[2]) > 10
  assert sum(skipped[0]) == sum(skipped[1]) == 0


def check_same_runs(folder, whole):
  for place in range(3):
    a, b = (each / f"run{place}" for each in (folder, whole))
    same(states(a), states(b))
    assert (a / "metrics.jsonl").read_bytes() == (
        b / "metrics.jsonl"
    ).read_bytes()
  assert not (folder / "run0.members").exists()


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_bits(
    tiny_zoo, tmp_path, vmapped
):
  with pytest.raises(Killed):
    train(tiny_zoo, tmp_path, AXES["rate"], KillAt(14))
  assert (tmp_path / "run0.members/checkpoints/8").is_dir()
  zoo_ = zoo.open(tiny_zoo)
  with pytest.raises(FileNotFoundError, match="no finished run"):
    pretrain.load(zoo_, tmp_path / "run0")
  with pytest.raises(FileExistsError, match="pretrain them all, or remove"):
    train(tiny_zoo, tmp_path, AXES["rate"][:1])
  train(tiny_zoo, tmp_path, AXES["rate"])
  check_same_runs(tmp_path, vmapped["rate"][0])


@pytest.mark.slow
def test_terminated_and_killed_again_while_shared_out(
    tiny_zoo, tmp_path, vmapped, alone, monkeypatch
):
  """It ends in the same bits; or in turn as its members do alone."""
  together, in_turn = tmp_path / "together", tmp_path / "in turn"
  with pytest.raises(SystemExit):
    train(tiny_zoo, together, AXES["seed"], TerminateAt(7))
  assert (together / "run0.members/checkpoints/7").is_dir()
  shutil.copytree(together, in_turn)
  save_member, calls = members._save_member, []

  def once(*args):
    if calls:
      raise Killed
    calls.append(save_member(*args))

  with monkeypatch.context() as patch:
    patch.setattr(members, "_save_member", once)
    with pytest.raises(Killed):
      train(tiny_zoo, together, AXES["seed"])
  train(tiny_zoo, together, AXES["seed"], KillAt(1))  # not one step
  check_same_runs(together, vmapped["seed"][0])

  results = train(tiny_zoo, in_turn, AXES["seed"], vmapped=False)
  assert not (in_turn / "run0.members").exists()
  for one, (_, its) in zip(results, alone["seed"]):
    assert furthest(one.params, its.params) < 1e-5
    steps = [[line["step"] for line in f.history] for f in (one, its)]
    assert steps[0] == steps[1]


@pytest.mark.slow
def test_in_turn_they_are_to_the_bit_what_they_are_alone_compiled_once(
    tiny_zoo, tmp_path, alone, monkeypatch
):
  traces, make = [], model_lib.make_loss

  def counted(*args):
    loss = make(*args)
    return lambda *args: traces.append(1) or loss(*args)

  monkeypatch.setattr(model_lib, "make_loss", counted)
  monkeypatch.setattr(members, "make_setup", setup_lib.make_setup)
  results = train(tiny_zoo, tmp_path, AXES["seed"][:1], vmapped=None)
  once = len(traces)
  assert once
  traces.clear()
  # The first is done; a program for all of the others, whatever their number
  results += train(
      tiny_zoo, tmp_path, [*AXES["seed"], configured(seed=11)], vmapped=None
  )[1:]
  assert len(traces) == once
  for place, (folder, its) in enumerate(alone["seed"]):
    run = tmp_path / f"run{place}"
    same(results[place].params, its.params)
    same(states(run), states(folder))
    assert results[place].history == its.history
    assert (run / "metrics.jsonl").read_bytes() == (
        folder / "metrics.jsonl"
    ).read_bytes()
  assert all(one.model is results[1].model for one in results[1:])


@pytest.mark.slow
def test_what_cannot_be_together_runs_in_turn(
    tiny_zoo, tmp_path, caplog, monkeypatch
):
  calls = []

  def run(setup, config, folder, **kwargs):
    calls.append((folder.name, setup.mesh, kwargs["memory"]))
    return pretrain.Pretrained(config, setup.model, {}, 0, [])

  monkeypatch.setattr(pretrain, "run", run)
  configs = AXES["seed"][:2]
  train(tiny_zoo, tmp_path, configs, memory=1000)
  assert "sequentially: their split is not held in memory" in caplog.text
  mesh = parallel.mesh(parallel.DATA, jax.devices()[:2])
  train(tiny_zoo, tmp_path, configs, mesh=mesh)
  assert "trained sequentially: there are several devices" in caplog.text
  assert calls == [
      ("run0", None, 1000), ("run1", None, 1000),
      ("run0", mesh, None), ("run1", mesh, None),
  ]  # fmt: skip


@pytest.mark.parametrize(
    "other, message",
    [
        (configured(batch=8), "supervised.batch is 6 in run0 and 8 in run1"),
        (configured(seeds=1), "no field 'seeds', did you mean 'seed'"),
        (
            {**configured(), "encoder": {"name": "constant", "code": 4}},
            "but encoder.hidden is 8 in run0 and None in run1",
        ),
    ],
)
def test_configs_that_differ_in_more_are_refused(
    tiny_zoo, tmp_path, other, message
):
  with pytest.raises(ValueError, match=message):
    train(tiny_zoo, tmp_path, [configured(), other])
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_folders_are_of_one_run_each(tiny_zoo, tmp_path, vmapped):
  zoo_ = zoo.open(tiny_zoo)
  with pytest.raises(ValueError, match="a folder of its own"):
    members.pretrain(
        zoo_,
        {tmp_path / "a": configured(), f"{tmp_path}/b/../a": configured(1)},
        progress=Progress.silent(),
    )
  with pytest.raises(ValueError, match="no runs"):
    members.pretrain(zoo_, {}, progress=Progress.silent())
  folder, _ = vmapped["seed"]
  with pytest.raises(FileExistsError, match=r"supervised\.seed is 0 there, 3"):
    train(tiny_zoo, folder, [configured(3)])
