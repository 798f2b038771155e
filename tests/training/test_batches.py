"""Batches read from disk as they are needed are those of a split in memory."""

import jax
import numpy as np
import pytest

from weightspace import parallel, zoo
from weightspace.progress import Progress
from weightspace.training import batches, draws
from weightspace.training.pretrain import pretrain
from weightspace.zoo import loader

pytestmark = pytest.mark.usefixtures("shared_setups")

CONFIG = {
    "encoder": {"name": "flat", "hidden": 8, "layers": 1, "code": 4},
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 3e-3},
    "emulation": {"steps": 25, "batch": 8, "sequences": 2,
                  "validate_every": 9, "checkpoint_every": 11,
                  "augment": "none"},
}  # fmt: skip


def run(path, folder, **kwargs):
  mesh = parallel.mesh(parallel.DATA)
  result = pretrain(
      zoo.open(path), CONFIG, folder, progress=Progress.silent(), mesh=mesh,
      **kwargs,
  )  # fmt: skip
  return result.params, (folder / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_streamed_it_ends_in_the_same_bits(
    tiny_zoo, tmp_path, monkeypatch, caplog
):
  params, metrics = run(tiny_zoo, tmp_path / "memory")
  assert "read from disk" not in caplog.text
  row = loader.row_bytes(zoo.open(tiny_zoo), 0, rollouts=2)
  monkeypatch.setattr(batches, "_WINDOW", 4 * 8 * row)  # of 4 steps
  streamed, its_metrics = run(tiny_zoo, tmp_path / "streamed", memory=1000)
  assert "batches are read from disk" in caplog.text
  jax.tree.map(np.testing.assert_array_equal, streamed, params)
  assert its_metrics == metrics


def test_a_stream_begins_anywhere_and_holds_what_is_in_the_zoo(
    tiny_zoo, monkeypatch
):
  zoo_ = zoo.open(tiny_zoo)
  rows = np.arange(3, 40, 2)
  row = loader.row_bytes(zoo_, 0, rollouts=2)
  monkeypatch.setattr(batches, "_WINDOW", 3 * 5 * row)
  stream = batches.Stream(
      batches.Dataset(zoo_, (rows,), {}, draws.Size((5,), sequences=2)),
      (draws.Rows.of(jax.random.key(1), np.arange(len(rows))),),
      lambda step: jax.random.fold_in(jax.random.key(0), step),
  )
  (window, end), (again, _) = stream(7), stream(8)
  assert window is again  # one for all of its steps
  assert (int(window.first), end) == (6, 9)
  (of_shape,) = window.batches
  everything = zoo_.vectors(rows)
  for vector in of_shape.vectors.reshape(-1, of_shape.vectors.shape[-1]):
    assert (everything == np.asarray(vector)).all(axis=1).any()
  stream.close()


def test_what_fails_in_the_reader_is_raised_where_it_is_used(
    tiny_zoo, monkeypatch
):
  zoo_ = zoo.open(tiny_zoo)
  stream = batches.Stream(
      batches.Dataset(zoo_, (np.arange(9),), {}, draws.Size((4,), 1)),
      (draws.Rows.of(jax.random.key(0), np.arange(9)),),
      lambda step: jax.random.key(0),
  )

  def gone(*_):
    raise zoo.ZooError("weights.npy cannot be read any more")

  monkeypatch.setattr(zoo_, "vectors", gone)
  with pytest.raises(zoo.ZooError, match="any more"):
    stream(0)
  stream.close()


def test_a_view_reads_what_load_loads(tiny_zoo):
  zoo_ = zoo.open(tiny_zoo)
  rows = np.array([5, 3, 50, 3])
  (view,) = loader.view_by_shape(zoo_, rows, rollouts=2)
  loaded = loader.load(zoo_, rows)
  places = np.array([2, 0])
  assert len(view.vectors) == 4
  for name in ("vectors", "task"):
    np.testing.assert_array_equal(
        getattr(view, name)[places], getattr(loaded, name)[places]
    )
  for name in ("sequences", "log_probs"):
    np.testing.assert_array_equal(
        getattr(view, name)[places], getattr(loaded, name)[places][:, :2]
    )
