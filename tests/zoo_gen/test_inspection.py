"""An audit passes a sound zoo and names what is wrong with another."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from tests import tiny_zoo as tiny
from weightspace import tasks, zoo
from weightspace.progress import Progress
from weightspace.zoo import splits
from zoo_gen import inspection, shards

ROWS = 54
PER_SHARD = 24


def rewritten(original_path, path, change, spec=None):
  """A copy of a zoo whose arrays were changed before they were sealed.

  Args:
    original_path: of the zoo to copy.
    path: of the copy.
    change: (arrays of all rows), in place.
    spec: another one for the copy.
  """
  original = zoo.open(original_path)
  arrays = tiny.arrays(original)
  change(arrays)
  zoo.create(path, spec or original.spec)
  for index in range(zoo.num_shards(original.spec)):
    part = slice(PER_SHARD * index, PER_SHARD * (index + 1))
    zoo.write_shard(path, index, {k: a[part] for k, a in arrays.items()})
  zoo.finalize(path)
  assert zoo.verify(path) == []
  return path


def problems(path):
  return inspection.inspect(path, sample=ROWS).problems


def test_a_sound_zoo_passes(tiny_zoo):
  report = inspection.inspect(tiny_zoo, sample=20)
  assert report.problems == []
  summary = dict(report.summary)
  assert summary["problems"] == "0"
  assert summary["recomputed"].startswith("20 rows")
  assert summary["diverged"] == "0 rows"
  assert "median" in summary["final accuracy"]


def test_a_zoo_from_before_precisions_passes_and_is_taken_for_the_same(
    tiny_zoo, tmp_path
):
  spec = zoo.open(tiny_zoo).spec
  before = {k: v for k, v in spec.trainer.items() if k != "matmul_precision"}
  assert before != spec.trainer
  path = rewritten(
      tiny_zoo, tmp_path / "zoo", lambda arrays: None,
      dataclasses.replace(spec, trainer=before),
  )  # fmt: skip
  assert inspection.inspect(path, sample=8).problems == []
  shards.generate(path, spec, progress=Progress.silent())
  other = {**spec.trainer, "matmul_precision": "bfloat16"}
  with pytest.raises(OSError, match="matmul_precision is absent there"):
    shards.generate(
        path,
        dataclasses.replace(spec, trainer=other),
        progress=Progress.silent(),
    )


def test_a_copy_passes(tiny_zoo, tmp_path):
  assert problems(rewritten(tiny_zoo, tmp_path / "zoo", lambda a: None)) == []


def _set(name, row, value):
  def change(arrays):
    arrays[name][row] = value

  return change


def _other_accuracy(arrays):
  arrays["accuracy"][16] = 1 - arrays["accuracy"][16]


def _flip_weights(arrays):
  arrays["weights"][1] *= -1


def _other_log_probs(arrays):
  arrays["log_probs"][4, 1] = np.roll(arrays["log_probs"][4, 1], 1, axis=-1)


def _other_sequence(arrays):
  sequence = arrays["sequences"][7, 2]
  sequence[3] = (sequence[3] + 1) % 6


def _sure_of_eos(arrays):
  # A network that only ever writes EOS (5), and a recorded "a"
  vector = np.zeros_like(arrays["weights"][0])
  vector[-6:] = [-50, -50, -50, -50, -50, 50]
  arrays["weights"][46] = vector
  arrays["sequences"][46] = 5
  arrays["sequences"][46, :, 0] = 4
  arrays["sequences"][46, 1, -1] = 0
  arrays["log_probs"][46] = np.array([-100] * 5 + [0])


def _duplicates(arrays):
  for row in (50, 53):  # last snapshots of networks 16 and 17
    arrays["weights"][row] = arrays["weights"][47]
  arrays["weights"][51] = arrays["weights"][48]  # not final: no duplicate


WRONG = (
    (_flip_weights, 1, "log_probs of rollouts 0, 1, 2 are not what"),
    (_other_log_probs, 4, "log_probs of rollouts 1 are not what"),
    (_other_sequence, 7, "log_probs of rollouts 2 are not what"),
    (_set("sequences", (13, 2, -1), 9), 13, "sequences 2 hold what is no"),
    (_other_accuracy, 16, "accuracy is"),
    (_set("loss", 19, 9.0), 19, "loss is 9.0 there"),
    (_set("loss", 22, np.nan), 22, "loss is nan there"),
    (_set("task", 25, (1, 1, 1)), 25, "task is [1 1 1] there"),
    (_set("task", (28, 1), 5), 28, "is outside [-1, 1]"),
    (_set("weights", (31, 3), np.nan), 31, "marked finite=True, but its"),
    (_set("finite", 34, False), 34, "marked finite=False, but its weights"),
    (_set("weight_decay", 37, 0.5), 37, "weight_decay is 0.5 there"),
    (_sure_of_eos, 46, "sequences 1 hold symbols that the network would"),
    (_duplicates, 50, "the same weights as row 47 (network 15, step 10)"),
    (_duplicates, 53, "the same weights as row 47 (network 15, step 10)"),
)


@pytest.fixture(scope="module")
def found_wrong(tiny_zoo, tmp_path_factory):
  """Problems found in a zoo with everything of `WRONG` at once."""

  def change(arrays):
    for falsify, _, _ in WRONG:
      falsify(arrays)

  folder = tmp_path_factory.mktemp("wrong")
  return problems(rewritten(tiny_zoo, folder / "zoo", change))


@pytest.mark.parametrize("row, message", [entry[1:] for entry in WRONG])
def test_what_only_the_networks_can_tell(found_wrong, row, message):
  name = f"row {row} (network {row // 3}, step {(0, 4, 10)[row % 3]}): "
  assert any(
      line.startswith(name) and message in line for line in found_wrong
  ), found_wrong


def test_nothing_else_is_found_wrong(found_wrong):
  rows = {int(line.split()[1]) for line in found_wrong}
  assert rows == {row for _, row, _ in WRONG} | {51}
  same = [line for line in found_wrong if "the same weights" in line]
  assert len(same) == 2
  # Of a network that says EOS only, what is stored is what it says
  assert not any(
      "log_probs" in line for line in found_wrong if line.startswith("row 46")
  )


def test_altered_bytes_are_found_by_their_checksum(tiny_zoo, tmp_path):
  copy = tmp_path / "zoo"
  shutil.copytree(tiny_zoo, copy)
  file = copy / "shards" / "00001" / "loss.npy"
  content = bytearray(file.read_bytes())
  content[-1] ^= 1
  file.write_bytes(content)
  lines = problems(copy)
  assert any("loss.npy" in line and "altered" in line for line in lines)


def test_several_missing_files_are_all_named(tiny_zoo, tmp_path):
  copy = tmp_path / "zoo"
  shutil.copytree(tiny_zoo, copy)
  for name in ("loss", "step"):
    (copy / "shards" / "00001" / f"{name}.npy").unlink()
  lines = problems(copy)
  assert any("loss.npy is missing" in line for line in lines)
  assert any("step.npy is missing" in line for line in lines)


def test_no_zoo(tmp_path):
  with pytest.raises(zoo.ZooError, match="not a zoo"):
    inspection.inspect(tmp_path)


@pytest.mark.slow
def test_networks_that_diverged_are_no_problem(diverged):
  report = inspection.inspect(diverged, sample=ROWS)
  assert report.problems == []
  lost = np.sum(~zoo.open(diverged).columns["finite"])
  assert dict(report.summary)["diverged"] == f"{lost} rows"


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
  return tiny.generate(
      tmp_path_factory.mktemp("diverged") / "zoo",
      learning_rates=(1e30, 1e30, 1e30),
  )


def test_a_zoo_of_diverged_networks_opens_and_splits(diverged):
  opened = zoo.open(diverged)
  finite, step = opened.columns["finite"], opened.columns["step"]
  vectors = opened.vectors(np.arange(len(opened)))
  np.testing.assert_array_equal(finite, np.isfinite(vectors).all(axis=1))
  assert np.all(finite[step == 0])
  assert np.sum(~finite) > 10

  family = tasks.make(opened.spec.family, opened.spec.family_config)
  novelty = jax.vmap(family.novelty)(opened.columns["task"])
  parts = splits.by_task(opened.columns["task"], novelty, seed=0)
  assert sum(map(len, parts[:3])) == len(opened)
