"""Zoos in the layout of the paper's authors: in, out, and what is refused."""

import filecmp
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.configs import emulation
from tests.exchange import untrained
from weightspace import zoo
from weightspace.errors import UserError
from weightspace.exchange import npy_export, npy_import, npy_layout, npy_shapes
from weightspace.io import files
from weightspace.progress import Progress
from weightspace.rnn import RNNSpec
from weightspace.training.pretrain import pretrain
from zoo_gen import inspection

NETWORKS, ROLLOUTS = untrained.NETWORKS, untrained.ROLLOUTS
FORMAL, MNIST = npy_layout.FORMAL, npy_layout.MNIST
FAMILIES = (FORMAL, MNIST)


@pytest.fixture(scope="module")
def zoos(tmp_path_factory):
  """A zoo of LSTMs of each family."""
  path = tmp_path_factory.mktemp("npy")
  for family in FAMILIES:
    untrained.write(path / family, family)
  return {family: path / family for family in FAMILIES}


@pytest.fixture(scope="module")
def folders(zoos, tmp_path_factory):
  path = tmp_path_factory.mktemp("folders")
  for family, path_of_zoo in zoos.items():
    summary = npy_export.export_zoo(path_of_zoo, path / family)
    assert summary == (2 * NETWORKS, NETWORKS, 0)
  return {family: path / family for family in FAMILIES}


@pytest.fixture(scope="module")
def imported(folders, tmp_path_factory):
  path = tmp_path_factory.mktemp("imported")
  for family, folder in folders.items():
    npy_import.import_zoo(folder, path / family)
  return {family: path / family for family in FAMILIES}


def test_the_layout_is_the_authors(folders):
  expected = {
      FORMAL: {
          "parameters.npy": ((536,), "float32"),
          "sequences.npy": ((ROLLOUTS, 12), "int16"),
          "logits.npy": ((ROLLOUTS, 11, 6), "float16"),
          "tasks.npy": ((4,), "int64"),
          "num_step_correct.npy": ((3,), "int64"),
      },
      MNIST: {
          "parameters.npy": ((402,), "float32"),
          "sequences.npy": ((ROLLOUTS, 50, 16), "float16"),
          "logits.npy": ((ROLLOUTS, 50, 10), "float16"),
          "tasks.npy": ((1,), "float64"),
          "num_step.npy": ((2,), "int64"),
          "accuracy_losses.npy": ((4,), "float64"),
      },
  }
  for family, named in expected.items():
    arrays = {name: np.load(folders[family] / name) for name in named}
    for name, (shape, dtype) in named.items():
      assert arrays[name].shape == (2 * NETWORKS, *shape), name
      assert arrays[name].dtype == dtype, name
    there = {path.name for path in folders[family].iterdir()}
    assert there == {*named, "args.json"}
    table = next(a for name, a in arrays.items() if name.startswith("num"))
    runs = np.repeat(np.arange(NETWORKS), 2)
    np.testing.assert_array_equal(table[:, 0], runs)
  tasks = np.load(folders[FORMAL] / "tasks.npy")
  np.testing.assert_array_equal(tasks[:, 0], 0)
  assert np.abs(tasks).max() == 1
  pixels = np.load(folders[MNIST] / "sequences.npy")
  assert not pixels[:, :, 0].any()
  assert np.isclose(pixels.min(), -0.1307 / 0.3081, atol=1e-3)


def test_the_papers_networks_have_their_sizes():
  assert npy_shapes.fitting_shapes(13766, 6, 6) == [(2, 32)]
  assert npy_shapes.fitting_shapes(15178, 16, 10) == [(2, 32)]


@pytest.mark.parametrize("family", FAMILIES)
def test_out_in_and_out_again_are_the_same_bytes(
    family, folders, imported, tmp_path
):
  npy_export.export_zoo(imported[family], tmp_path / "again")
  names = [path.name for path in folders[family].iterdir()]
  same, *others = filecmp.cmpfiles(
      folders[family], tmp_path / "again", names, shallow=False
  )
  assert others == [[], []]
  assert len(same) == len(names) >= 6


def launch(name, **paths):
  flags = [f"--{flag}={path}" for flag, path in paths.items()]
  return subprocess.run(
      [sys.executable, "-m", f"zoo_gen.{name}", *flags],
      capture_output=True,
      text=True,
      timeout=120,
      check=False,
  )


@pytest.mark.slow
def test_launchers(zoos, tmp_path):
  out = tmp_path / "out"
  done = launch("export_npy", zoo=zoos[FORMAL], out=out)
  assert done.returncode == 0, done.stderr
  assert "16 rows of 8 networks" in done.stdout
  (out / "tasks.npy").unlink()
  done = launch("import_npy", source=out, zoo=tmp_path / "zoo")
  assert done.returncode == 1
  assert done.stderr.strip() == f"error: {out} lacks tasks.npy"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_imported_zoo_holds_what_the_original_does(family, zoos, imported):
  original, copy = zoo.open(zoos[family]), zoo.open(imported[family])
  rows = np.arange(len(original))
  np.testing.assert_array_equal(original.vectors(rows), copy.vectors(rows))
  seen, again = original.rollouts(rows), copy.rollouts(rows)
  np.testing.assert_array_equal(seen.log_probs, again.log_probs)
  if family == FORMAL:
    np.testing.assert_array_equal(seen.sequences, again.sequences)
    assert again.sequences.dtype == np.int8
  else:
    assert again.sequences.shape == (2 * NETWORKS, ROLLOUTS, 49, 16)
    assert again.sequences.dtype == np.float16
  names = {"net_id", "step", "task", "finite", *copy.spec.metric_names}
  for name in names:
    np.testing.assert_allclose(
        original.columns[name], copy.columns[name], rtol=1e-5
    )
  assert copy.spec.snapshot_steps == original.spec.snapshot_steps
  origin = copy.spec.trainer["imported"]
  assert all(len(digest) == 64 for digest in origin["sha256"].values())
  assert bool(origin["recomputed"]) == (family == FORMAL)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_audit_passes_and_says_what_it_cannot_know(family, imported):
  report = inspection.inspect(imported[family])
  assert report.problems == []
  summary = dict(report.summary)
  assert summary["imported from"].endswith(family)
  assert summary["recomputed"].startswith(f"{2 * NETWORKS} rows")
  trusted = summary["taken on trust"].split(", ")
  assert "task" in trusted
  assert ("accuracy" in trusted) == (family == MNIST)


@pytest.mark.slow
def test_an_imported_zoo_can_be_emulated(imported, tmp_path):
  """Of pixels: this library's own zoos hold the numbers of images."""
  config = emulation.get_config(f"constant,tiny,{MNIST}")
  config.emulator.update({"hidden": 8, "layers": 1})
  config.emulation.update({"steps": 2, "batch": 4, "validate_every": 2})
  config.emulation.checkpoint_every = 2
  opened = zoo.open(imported[MNIST])
  pretrain(opened, config.to_dict(), tmp_path, progress=Progress.silent())
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  losses = [v for line in lines for k, v in json.loads(line).items()
            if "loss" in k or "divergence" in k]  # fmt: skip
  assert losses
  assert np.all(np.isfinite(losses))


def changed(folder, path, changes):
  """A copy of a folder; changes are {file: function of its array}."""
  shutil.copytree(folder, path)
  for name, change in changes.items():
    file = path / name
    if name.endswith(".json"):
      args = json.loads(file.read_text())
      file.write_text(json.dumps(change(args)))
    else:
      array = np.load(file)
      result = change(array)
      np.save(file, array if result is None else result)
  return path


def test_what_the_release_does_is_understood(folders, tmp_path):
  """Rows in another order, gaps between runs, no args.json, BOS overwritten."""
  original = folders[FORMAL]
  order = np.random.default_rng(0).permutation(2 * NETWORKS)
  names = npy_layout.names(npy_layout.LAYOUTS[0])
  changes = {name: lambda array: array[order] for name in names}

  def number(table):
    table[:, 0] = 10 * table[:, 0] + 3
    return table[order]

  def overwrite(sequences):
    unended = ~np.any(sequences[..., 1:] == 5, axis=-1)
    assert np.any(unended)
    sequences[unended, 0] = 5
    return sequences[order]

  changes |= {"num_step_correct.npy": number, "sequences.npy": overwrite}
  folder = changed(original, tmp_path / "folder", changes)
  (folder / "args.json").unlink()
  npy_import.import_zoo(folder, tmp_path / "zoo")
  opened = zoo.open(tmp_path / "zoo")
  np.testing.assert_array_equal(
      opened.columns["run"], np.repeat(10 * np.arange(NETWORKS) + 3, 2)
  )
  rows = np.arange(len(opened))
  np.testing.assert_array_equal(
      opened.vectors(rows), np.load(original / "parameters.npy")
  )
  tokens = np.load(original / "sequences.npy")
  np.testing.assert_array_equal(opened.rollouts(rows).sequences, tokens)
  config = opened.spec.family_config
  assert (config["length"], config["max_n"]) == (12, 10)
  assert (config["shift_min"], config["shift_max"]) == (-3, 2)
  assert not config["always_fit"]


def test_what_the_read_out_said_becomes_log_probabilities(folders, tmp_path):
  original = folders[MNIST]
  logits = np.load(original / "logits.npy")
  raw = {"logits.npy": lambda x: (x.astype(np.float32) + 3).astype(np.float16)}
  folder = changed(original, tmp_path / "folder", raw)
  npy_import.import_zoo(folder, tmp_path / "zoo")
  opened = zoo.open(tmp_path / "zoo")
  log_probs = opened.rollouts(np.arange(len(logits))).log_probs
  np.testing.assert_allclose(log_probs, logits, atol=5e-3)
  sums = np.exp(log_probs.astype(np.float32)).sum(axis=-1)
  np.testing.assert_allclose(sums, 1, atol=2e-3)


def put(place, value):
  def change(array):
    array[place] = value

  return change


def without(*rows):
  return lambda array: np.delete(array, rows, axis=0)


def args(**fields):
  return lambda there: {**there, **fields}


EVERY = npy_layout.names(npy_layout.LAYOUTS[0])
TABLE = "num_step_correct.npy"
WRONG = (
    (FORMAL, {TABLE: put((3, 1), 0)}, "rows 2 and 3 are both run 1 at step 0"),
    (FORMAL, {n: without(5) for n in EVERY}, "no row of run 2 at step 4, where"
     " run 0 has one in row 1"),
    (FORMAL, {TABLE: put((3, 0), -1)}, "row 3: run is -1"),
    (FORMAL, {TABLE: put((3, 2), 1001)}, r"row 3 \(run 1, step 4\) holds no"),
    (FORMAL, {"tasks.npy": without(5)}, r"tasks.npy holds \[15, 4\] int64, exp"
     r"ected \[16, 4\] integers"),
    (FORMAL, {"tasks.npy": put((3, 0), 1)}, "tasks.npy row 3 .* holds no shif"),
    (FORMAL, {"tasks.npy": put((3, 1), 2)}, "row 3 .* task .*, that run's row"),
    (FORMAL, {"tasks.npy": put((slice(6, 8), 1), -9)}, "from -9 to 1, which"),
    (FORMAL, {"sequences.npy": put((7, 1, 2), 6)}, "sequences.npy row 7 .*tok"),
    (FORMAL, {"sequences.npy": put((7, 1, 0), 0)}, "row 7 .* BOS"),
    (FORMAL, {"sequences.npy": lambda a: a[:, :, :-1]}, r"logits.npy holds .*,"
     r" expected \[16, 3, 10, 6\]"),
    (FORMAL, {"sequences.npy": np.float32}, "float32, expected .* int16"),
    (FORMAL, {"logits.npy": put((7, 1, 2, 3), np.nan)}, "logits.npy row 7 .*N"),
    (FORMAL, {"logits.npy": np.float32}, "float32, expected .* float16"),
    (FORMAL, {"logits.npy": lambda a: a[..., :4]}, r"d \[16, 3, 11, 6\]"),
    (FORMAL, {"parameters.npy": put((7, 9), np.inf)}, "parameters.npy row 7 .*"
     "NaN or infinity"),
    (FORMAL, {"parameters.npy": lambda a: a[:, :-1]}, "has 535 columns: args"
     ".json says rnn_num_layers=2, rnn_hidden_size=5"),
    (FORMAL, {"parameters.npy": lambda a: a[:, :-1],
              "args.json": lambda a: {}}, "has 535 columns: no LSTM of"),
    (FORMAL, {"parameters.npy": np.float64}, "float64, expected .* float32"),
    (FORMAL, {"args.json": args(family_config={"lenght": 12})}, "args.json .*"
     "no field 'lenght', did you mean"),
    (FORMAL, {"args.json": args(family_config=3)}, "args.json cannot be used"),
    (FORMAL, {"args.json": args(family_config={"length": 42})}, "of 12 tokens,"
     " but .*args.json says length=42"),
    (FORMAL, {"args.json": args(family_config=None, max_n="x")}, "cannot be u"),
    (MNIST, {"sequences.npy": put((7, 1, 2, 3), np.nan)}, "row 7 .* NaN"),
    (MNIST, {"sequences.npy": put((7, 1, 0, 3), 1)}, "row 7 .* not zeros"),
    (MNIST, {"sequences.npy": lambda a: a[:, :, 1:]}, r"d \[16, any, 50, 16\]"),
    (MNIST, {"tasks.npy": put(slice(6, 8), 361)}, "row 6 .* no angle"),
    (MNIST, {"accuracy_losses.npy": put((3, 1), np.nan)}, "row 3 .* losses"),
    (MNIST, {"accuracy_losses.npy": put((3, 0), 1.5)}, "row 3 .* no accuracy"),
)  # fmt: skip


@pytest.mark.parametrize("family, changes, message", WRONG)
def test_what_is_wrong_is_said_and_nothing_is_written(
    folders, tmp_path, family, changes, message
):
  folder = changed(folders[family], tmp_path / "folder", changes)
  with pytest.raises(ValueError, match=message) as caught:
    npy_import.import_zoo(folder, tmp_path / "zoo")
  assert str(folder) in str(caught.value)
  assert not (tmp_path / "zoo").exists()


def test_networks_that_say_something_else_are_refused(folders, tmp_path):
  """Wrong gates, or a wrong label."""
  def swap(weights):
    weights[9, :30] = weights[9, 30:60]

  folder = changed(folders[FORMAL], tmp_path / "a", {"parameters.npy": swap})
  with pytest.raises(ValueError, match=r"logits.npy row 9 \(run 4, step 4\)"):
    npy_import.import_zoo(folder, tmp_path / "zoo")
  wrong = {"num_step_correct.npy": put((9, 2), 990)}
  folder = changed(folders[FORMAL], tmp_path / "b", wrong)
  with pytest.raises(ValueError, match=r"row 9 .* 99 % of strings are r"):
    npy_import.import_zoo(folder, tmp_path / "zoo")
  assert not (tmp_path / "zoo").exists()


def test_files_that_are_not_there_or_no_arrays(folders, tmp_path):
  with pytest.raises(FileNotFoundError, match="is no folder"):
    npy_layout.open_folder(tmp_path / "none")
  with pytest.raises(FileNotFoundError, match="neither num_step_correct"):
    npy_layout.open_folder(tmp_path)
  folder = changed(folders[MNIST], tmp_path / "a", {})
  (folder / "tasks.npy").unlink()
  with pytest.raises(FileNotFoundError, match=r"a lacks tasks\.npy"):
    npy_layout.open_folder(folder)
  np.save(folder / "tasks.npy", np.array([{}] * 16), allow_pickle=True)
  with pytest.raises(ValueError, match=r"tasks.npy is not an .npy array of nu"):
    npy_layout.open_folder(folder)
  file = folder / "logits.npy"
  file.write_bytes(file.read_bytes()[:-1])
  with pytest.raises(ValueError, match=r"logits.npy is not .*or truncated"):
    npy_layout.open_folder(folder)
  (folder / "num_step_correct.npy").touch()
  with pytest.raises(FileNotFoundError, match="both num_step_correct"):
    npy_layout.open_folder(folder)


class Stop(Exception):
  pass


class Stopping:
  """A progress that stops what is done at the second step of a stage."""

  def __init__(self, name, steps=2):
    self.name, self.left, self.now = name, steps, None

  def stage(self, name, **_):
    self.now = name
    return self

  def __enter__(self):
    return self

  def __exit__(self, *_):
    return None

  def advance(self, n=1):
    self.left -= self.now == self.name
    if not self.left:
      raise Stop


def test_pixels_were_rounded_after_networks_had_read_them(imported, tmp_path):
  """A few steps may differ, whole sequences may not."""
  def few(arrays):
    arrays["log_probs"][3, 1, :4] = np.roll(arrays["log_probs"][3, 1, :4], 1, 1)

  def many(arrays):
    arrays["log_probs"][5, 1] = np.roll(arrays["log_probs"][5, 1], 1, axis=1)

  untrained.rewrite(imported[MNIST], tmp_path / "few", few)
  assert inspection.inspect(tmp_path / "few").problems == []
  untrained.rewrite(imported[MNIST], tmp_path / "many", many)
  (problem,) = inspection.inspect(tmp_path / "many").problems
  assert problem.startswith("row 5 ")
  assert "log_probs of rollouts 1 are not what" in problem


def test_an_import_goes_on_where_it_was(
    folders, imported, tmp_path, monkeypatch
):
  monkeypatch.setattr(npy_import, "_SHARD_BYTES", 2**16)  # several shards
  folder, path = folders[MNIST], tmp_path / "zoo"
  with pytest.raises(Stop):
    npy_import.import_zoo(folder, path, progress=Stopping("write zoo"))
  with pytest.raises(zoo.ZooError, match=r"import_npy --zoo=.*--source"):
    zoo.open(path)
  there = path / "shards" / "00000" / "weights.npy"
  before = there.stat().st_mtime_ns
  npy_import.import_zoo(folder, path)
  assert there.stat().st_mtime_ns == before
  part, whole = zoo.open(path), zoo.open(imported[MNIST])
  assert zoo.num_shards(part.spec) > 2
  rows = np.arange(len(whole))
  jax.tree.map(
      np.testing.assert_array_equal,
      (part.vectors(rows), part.rollouts(rows), part.columns),
      (whole.vectors(rows), whole.rollouts(rows), whole.columns),
  )


def test_an_interrupted_export_leaves_nothing(zoos, tmp_path):
  with pytest.raises(Stop):
    npy_export.export_zoo(
        zoos[FORMAL], tmp_path / "out", progress=Stopping("export", 1)
    )
  assert list(tmp_path.iterdir()) == []
  (tmp_path / "out").touch()
  with pytest.raises(FileExistsError, match="out exists and is not an empty"):
    npy_export.export_zoo(zoos[FORMAL], tmp_path / "out")
  assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_two_processes_do_not_export_to_one_folder(zoos, tmp_path):
  out = tmp_path / "out"
  with files.new_folder(out) as first:
    with pytest.raises(UserError, match=r"another process makes .*out"):
      npy_export.export_zoo(zoos[FORMAL], out)
    assert first.is_dir()
  assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    "family, shapes, message",
    [
        (FORMAL, [("gru", (5, 5))], r"gru cells .* \[5, 5\].*LSTM only"),
        (FORMAL, [("lstm", (4, 3))], r"lstm cells .* \[4, 3\].*one size"),
        (FORMAL, [("lstm", (4,)), ("lstm", (3,))], "networks of 2 shapes"),
        ("secret_path", [("lstm", (4,))], "is for formal_language and tiled"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(
    family, shapes, message, tmp_path
):
  rnns = [RNNSpec(*shape, inputs=6, outputs=6) for shape in shapes]
  path = untrained.write_noise(tmp_path / "zoo", *rnns, family=family)
  with pytest.raises(ValueError, match=message):
    npy_export.export_zoo(path, tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_networks_that_diverged_are_left_out(zoos, tmp_path):
  def diverge(arrays):
    arrays["weights"][5, 1] = np.nan
    arrays["finite"][5] = False

  untrained.rewrite(zoos[FORMAL], tmp_path / "zoo", diverge)
  summary = npy_export.export_zoo(tmp_path / "zoo", tmp_path / "out")
  assert summary == (2 * NETWORKS - 2, NETWORKS - 1, 1)
  table = np.load(tmp_path / "out" / "num_step_correct.npy")
  assert sorted(set(table[:, 0])) == [0, 1, 3, 4, 5, 6, 7]
  folder = npy_layout.open_folder(tmp_path / "out")
  assert len(folder.order) == 2 * NETWORKS - 2
