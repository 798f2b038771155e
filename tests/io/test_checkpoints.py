import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import SingleDeviceSharding

from weightspace import parallel
from weightspace.io.checkpoints import CheckpointError, Checkpoints


def state(step):
  params = {
      "w": jax.random.normal(jax.random.key(step), (16, 64)),
      "half": jnp.full(3, step, jnp.bfloat16),
  }
  return {
      "params": params,
      "optimizer": optax.adam(0.1).init(params),
      "step": jnp.int32(step),
      "good": np.asarray([True, False]),
      "empty": np.zeros((0, 3), np.float32),
  }


@pytest.fixture
def folder(tmp_path):
  """Two good steps."""
  folder = tmp_path / "checkpoints"
  with Checkpoints(folder) as checkpoints:
    for step in (10, 20):
      checkpoints.save(step, state(step))
  return folder


def restored(folder, expected):
  with Checkpoints(folder) as checkpoints:
    step, tree = checkpoints.restore(jax.eval_shape(lambda: state(0)))
  assert step == expected
  jax.tree.map(np.testing.assert_array_equal, tree, state(expected))


def data_file(folder, step):
  """The file that holds the arrays' numbers: the largest."""
  files = [p for p in (folder / str(step)).rglob("*") if p.is_file()]
  return max(files, key=lambda path: path.stat().st_size)


def flip_a_bit(path, array):
  data = bytearray(path.read_bytes())
  where = data.find(np.asarray(array).tobytes()[:64])
  assert where >= 0
  data[where + 7] ^= 16
  path.write_bytes(data)


def test_the_newest_is_restored_and_older_ones_dropped(folder):
  with Checkpoints(folder) as checkpoints:
    checkpoints.save(30, state(30))
  restored(folder, 30)
  names = sorted(path.name for path in folder.iterdir())
  assert names == ["20", "20.json", "30", "30.json"]


def test_nothing_saved_yet(tmp_path):
  with Checkpoints(tmp_path / "none") as checkpoints:
    assert checkpoints.restore(state(0)) is None
  assert not (tmp_path / "none").exists()


def test_leaves_come_back_as_the_template_has_them(folder):
  mesh = parallel.mesh(parallel.DATA)
  template = state(0)
  spread = jax.device_put(template["step"], parallel.replicated(mesh))
  second = jax.device_put(
      template["params"]["w"], SingleDeviceSharding(jax.devices()[1])
  )
  template = template | {
      "step": spread,
      "params": template["params"] | {"w": second},
  }
  with Checkpoints(folder) as checkpoints:
    _, tree = checkpoints.restore(template)
  assert tree["step"].sharding == spread.sharding
  assert tree["params"]["w"].devices() == {jax.devices()[1]}
  assert not tree["params"]["half"].committed
  assert isinstance(tree["good"], np.ndarray)


def test_a_flipped_bit_is_seen_said_and_got_round(folder, caplog):
  flip_a_bit(data_file(folder, 20), state(20)["params"]["w"])
  restored(folder, 10)
  assert f"{folder / '20'} is bad: " in caplog.text
  assert "BadZipFile" in caplog.text
  assert "params/w" in caplog.text
  assert (folder / "bad-20").is_dir()
  with Checkpoints(folder) as checkpoints:
    checkpoints.save(20, state(20))
  restored(folder, 20)


def test_arrays_other_than_those_saved_are_seen(folder, caplog):
  path = data_file(folder, 20)
  with np.load(path) as archive:
    arrays = dict(archive)
  size = path.stat().st_size
  arrays["params/w"][3, 5] += 1
  with zipfile.ZipFile(path, "w") as archive:
    for name, array in arrays.items():
      with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array)
  assert path.stat().st_size == size
  restored(folder, 10)
  assert "checksum of params/w differs" in caplog.text


def _half_written(folder):
  half = folder / "30.orbax-checkpoint-tmp"
  shutil.copytree(folder / "20", half)
  return half, 20


def _truncated(folder):
  path = data_file(folder, 20)
  path.write_bytes(path.read_bytes()[:100])
  return folder / "20", 10


def _data_missing(folder):
  data_file(folder, 20).unlink()
  return folder / "20", 10


def _empty(folder):
  shutil.rmtree(folder / "20")
  (folder / "20").mkdir()
  return folder / "20", 10


def _metadata_cut(folder):
  (path,) = (folder / "20").glob("_CHECKPOINT_METADATA")
  path.write_text(path.read_text()[:50])
  return folder / "20", 10


def _record_missing(folder):
  (folder / "20.json").unlink()
  return folder / "20", 10


def _record_torn(folder):
  path = folder / "20.json"
  path.write_text(path.read_text()[:-20])
  return folder / "20", 10


def _record_altered(folder):
  path = folder / "20.json"
  record = json.loads(path.read_text())
  record["leaves"]["step"]["shape"] = [2]
  path.write_text(json.dumps(record))
  return folder / "20", 10


@pytest.mark.parametrize(
    "damage",
    [
        _half_written,
        _truncated,
        _data_missing,
        _empty,
        _metadata_cut,
        _record_missing,
        _record_torn,
        _record_altered,
    ],
)
def test_damage_is_said_and_an_older_step_used(folder, caplog, damage):
  named, expected = damage(folder)
  restored(folder, expected)
  assert f"{named} is bad: " in caplog.text


def test_where_every_step_is_bad_nothing_is_started_over(folder):
  for step in (10, 20):
    flip_a_bit(data_file(folder, step), state(step)["params"]["w"])
  for _ in range(2):  # and it stays so: none has been moved aside
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError, match=r"(?s)bad \(step 20.*step 10"),
    ):
      checkpoints.restore(state(0))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"step": jnp.zeros(2, jnp.int32)},
            r"step is int32\[\] there, expected int32\[2\]",
        ),
        ({"step": jnp.float32(0)}, r"step is int32\[\] .* float32\[\]"),
        ({"more": jnp.ones(3)}, r"more is absent there, expected float32\[3\]"),
    ],
)
def test_another_configuration_is_refused_not_moved(folder, change, message):
  with (
      Checkpoints(folder) as checkpoints,
      pytest.raises(ValueError, match=message),
  ):
    checkpoints.restore(state(0) | change)
  restored(folder, 20)


def test_what_cannot_be_saved(folder):
  with Checkpoints(folder) as checkpoints:
    with pytest.raises(TypeError, match="keys/0 is a PRNG key"):
      checkpoints.save(30, {"keys": [jax.random.key(0)]})
    with pytest.raises(ValueError, match="has a step 20 already"):
      checkpoints.save(20, state(20))
    with pytest.raises(ValueError, match="one path"):
      checkpoints.save(30, {"a": {"b": np.ones(1)}, "a/b": np.ones(1)})
  restored(folder, 20)


PROGRAM = """
    import itertools, sys
    import numpy as np
    from weightspace.io.checkpoints import Checkpoints

    checkpoints = Checkpoints(sys.argv[1])
    for step in itertools.count():
      checkpoints.save(step, {"x": np.full((256, 256), step, np.float32)})
      print(step, flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_good_step(tmp_path):
  with subprocess.Popen(
      [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)],
      stdout=subprocess.PIPE,
      text=True,
      env=os.environ | {"PYTHONPATH": os.getcwd(), "JAX_PLATFORMS": "cpu"},
  ) as process:
    for _ in range(4):
      saved = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
  with Checkpoints(tmp_path) as checkpoints:
    step, tree = checkpoints.restore({"x": np.ones((256, 256), np.float32)})
  assert step >= saved
  np.testing.assert_array_equal(tree["x"], step)
