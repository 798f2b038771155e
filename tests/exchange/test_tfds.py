"""A zoo as a TFDS data set: read by others, bit for bit."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import recorded
from tests.exchange import untrained
from tests.exchange.test_npy import Stop, Stopping
from weightspace import tasks, zoo
from weightspace.exchange import tfds as exchange
from weightspace.interop import Network
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.zoo import splits

pytestmark = pytest.mark.filterwarnings("default")  # TFDS's own

PAGE = Path(__file__).parents[2] / "docs/formats.md"
SPLITS = ("train", "validation", "ood")
# What another user's process lacks
ALONE = """
import sys

class Without:
  def __init__(self, finder):
    self.finder = finder

  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("weightspace", "zoo_gen", "tensorflow", "jax"):
      return None
    return self.finder.find_spec(name, path, target)

  def __getattr__(self, name):
    return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
"""
READ = """
import numpy as np
import tensorflow_datasets as tfds

builder = tfds.builder_from_directory(FOLDER)
by_split = {}
for split in builder.info.splits:
  examples = list(builder.as_data_source(split))
  for name in examples[0]:
    arrays = [example[name] for example in examples]
    assert all(isinstance(array, np.ndarray) for array in arrays), name
    by_split[f"{split}/{name}"] = np.stack(arrays)
np.savez("examples.npz", **by_split)
for name, feature in builder.info.features.items():
  assert len(feature.doc.desc) > 10, name
assert "herrmann2024learning" in builder.info.citation
assert "LSTM" in builder.info.description.upper()
spec = builder.info.metadata["zoo"]["spec"]
assert spec["rnns"][0]["hidden"] == [5, 5], spec
"""


def alone(program, cwd):
  done = subprocess.run(
      [sys.executable, "-c", ALONE + program],
      cwd=cwd,
      capture_output=True,
      text=True,
      timeout=120,
      check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def made_zoo(tmp_path_factory):
  """A zoo with all that is awkward: NaN, columns of its own, a lost network."""
  path = tmp_path_factory.mktemp("tfds")

  def change(arrays):
    rows = len(arrays["step"])
    arrays["weights"][5, 1] = np.nan
    arrays["finite"][5] = False
    arrays["loss"][3] = np.nan
    arrays["log_probs"][3, 0, 0, 0] = -np.inf
    arrays["extra"] = np.random.default_rng(0).random((rows, 2, 3))
    arrays["big"] = np.arange(rows, dtype=np.uint64) + 2**63

  shape = RNNSpec("lstm", (5, 5), inputs=6, outputs=6)
  original = untrained.write_noise(path / "original", shape)
  return untrained.rewrite(original, path / "zoo", change)


@pytest.fixture(scope="module")
def folder(made_zoo):
  out = made_zoo.parent / "out"
  counts = exchange.export_zoo(made_zoo, out)
  assert list(counts) == list(SPLITS)
  assert sum(counts.values()) == 2 * untrained.NETWORKS - 1
  return out


def test_another_program_reads_every_bit(made_zoo, folder, tmp_path):
  alone(READ.replace("FOLDER", repr(str(folder))), tmp_path)
  loaded = np.load(tmp_path / "examples.npz")
  original = zoo.open(made_zoo)
  family = tasks.make(original.spec.family, original.spec.family_config)
  expected = splits.of_zoo(original, family, seed=0)._asdict()
  seen = original.rollouts(np.arange(len(original)))
  arrays = {
      "weights": original.vectors(np.arange(len(original))),
      "sequences": seen.sequences,
      "log_probs": seen.log_probs,
      "row": np.arange(len(original)),
      **original.columns,
  }
  names = {f"{split}/{name}" for split in SPLITS for name in arrays}
  assert set(loaded.files) == names
  assert {"extra", "big", "loss", "task", "net_id"} < set(arrays)
  for split, rows in expected.items():
    for name, array in arrays.items():
      read = loaded[f"{split}/{name}"]
      assert read.dtype == array.dtype, name
      assert read.shape == array[rows].shape, name
      assert read.tobytes() == array[rows].tobytes(), name


def test_there_are_several_files(folder):
  files = {path.name for path in folder.glob("*train.array_record*")}
  assert len(files) == 3  # of 3 rows each
  assert not list(folder.rglob("*incomplete*"))
  assert not list(folder.parent.glob(".*"))


def test_files_have_a_size(made_zoo, tmp_path):
  exchange.export_zoo(made_zoo, tmp_path / "out", shard_bytes=1)
  files = list((tmp_path / "out").glob("*.array_record*"))
  assert len(files) == 2 * untrained.NETWORKS - 1


@pytest.mark.slow
def test_the_documented_pipeline_runs(folder, tmp_path):
  (program,) = re.findall(
      r"```python\n(import grain\n.*?)```", PAGE.read_text(), re.DOTALL
  )
  assert program.count('"FOLDER"') == 1
  program = program.replace('"FOLDER"', repr(str(folder)))
  program = re.sub(r"batch\(64", "batch(4", program)
  check = """
first = next(iterator)
assert {"weights", "sequence", "log_probs", "task", "step"} <= first.keys()
assert first["weights"].shape == (4, 536), first["weights"].shape
assert first["sequence"].shape == (4, 12)
assert first["log_probs"].shape == (4, 11, 6)
state = iterator.get_state()
second = next(iterator)
iterator.set_state(state)
again = next(iterator)
for name in second:
  np.testing.assert_array_equal(second[name], again[name])
assert not np.array_equal(first["weights"], second["weights"])
# An epoch has every row once: the first 8 rows of batches are distinct
assert len(np.unique(np.concatenate([first["row"], second["row"]]))) == 8
"""
  alone("import numpy as np\n" + program + check, tmp_path)


def test_an_interrupted_export_leaves_nothing(made_zoo, tmp_path):
  with pytest.raises(Stop):
    exchange.export_zoo(
        made_zoo, tmp_path / "out", progress=Stopping("export", 1)
    )
  assert list(tmp_path.iterdir()) == []
  (tmp_path / "out").touch()
  with pytest.raises(FileExistsError, match="out exists and is not an empty"):
    exchange.export_zoo(made_zoo, tmp_path / "out")
  assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_networks_of_several_shapes_have_weights_of_several_lengths(tmp_path):
  import tensorflow_datasets as data_sets

  rnns = [RNNSpec("lstm", (n,), inputs=6, outputs=6) for n in (3, 4)]
  made = zoo.open(untrained.write_noise(tmp_path / "zoo", *rnns))
  counts = exchange.export_zoo(made.path, tmp_path / "out")
  assert sum(counts.values()) == len(made)
  builder = data_sets.builder_from_directory(tmp_path / "out")
  shapes = set()
  for split in SPLITS:
    for row in builder.as_data_source(split):
      assert row["shape"] == made.shapes[row["row"]]
      np.testing.assert_array_equal(
          row["weights"], made.vectors([row["row"]])[0]
      )
      np.testing.assert_array_equal(
          row["log_probs"], made.rollouts([row["row"]]).log_probs[0]
      )
      shapes.add((int(row["shape"]), row["weights"].size))
  assert len(shapes) == 2


@pytest.mark.slow
def test_a_zoo_of_given_networks_is_exported(tmp_path):
  """Its padding and its categories are described."""
  import tensorflow_datasets as data_sets

  rnn = make_rnn(recorded.spec(1))
  networks = [Network(rnn, rnn.init(jax.random.key(i))) for i in range(8)]
  zoo.from_networks(
      tmp_path / "zoo", networks, {"inputs": recorded.reals()},
      {"optimizer": ["adam", "sgd"] * 4},
  )  # fmt: skip
  counts = exchange.export_zoo(tmp_path / "zoo", tmp_path / "out")
  assert sum(counts.values()) == 8
  builder = data_sets.builder_from_directory(tmp_path / "out")
  features = builder.info.features
  assert "adam, sgd" in features["optimizer"].doc.desc
  assert "NaN after a sequence's end" in features["sequences"].doc.desc
  rows = list(builder.as_data_source("train"))
  assert len(rows) == counts["train"]
  for row in rows:
    np.testing.assert_array_equal(
        row["weights"], rnn.flatten(networks[row["net_id"]].weights)
    )
