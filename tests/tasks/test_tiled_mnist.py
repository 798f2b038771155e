import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tests import digits as example
from weightspace import tasks
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import _digits, _idx, tiled_mnist

IMAGES, LABELS = example.make()
RNN = make_rnn(RNNSpec("gru", (6,), 16, 10))
KEY = jax.random.key(0)


@functools.cache
def family(**fields):
  return tasks.make("tiled_mnist", {"digits": example.dataset(), **fields})


@functools.cache
def weights():
  initial = jax.jit(RNN.init)(jax.random.key(1))
  return jax.tree.map(lambda leaf: 2 * leaf, initial)


def rotated(images, angle):
  """As scipy does it: [n, 28, 28] in [0, 1]."""
  return scipy.ndimage.rotate(
      images.astype(np.float64) / 255, angle, axes=(2, 1), order=1,
      reshape=False,
  )  # fmt: skip


ANGLES = (0, 90, 180, 270, 0.01, 359.99, 45, 30.5, 123.4, 211.7, 302.2, 359)


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_is_scipys(angle):
  pixels = IMAGES[:8].reshape(8, -1).T.astype(np.float32)
  pixels = jax.jit(tiled_mnist.rotate)(pixels, jnp.float32(angle)) / 255
  expected = rotated(IMAGES[:8], float(np.float32(angle)))
  np.testing.assert_allclose(pixels.T, expected.reshape(8, -1), atol=1e-4)


def test_tiles_are_read_row_by_row():
  pixels = np.arange(784, dtype=np.float32)[:, None]
  tiles = np.asarray(tiled_mnist.tile(pixels))[:, 0]
  image = np.arange(784).reshape(28, 28)
  assert tiles.shape == (49, 16)
  np.testing.assert_array_equal(tiles[0], image[:4, :4].ravel())
  np.testing.assert_array_equal(tiles[1], image[:4, 4:8].ravel())
  np.testing.assert_array_equal(tiles[7 * 2 + 5], image[8:12, 20:24].ravel())


def test_what_a_network_reads():
  task = jnp.array([77.7], jnp.float32)
  inputs = np.asarray(family().encode(task, jnp.array([3, 14])))
  assert inputs.shape == (50, 2, 16)
  assert not inputs[0].any()  # BOS
  expected = (rotated(IMAGES[[3, 14]], 77.7) - 0.1307) / 0.3081
  tiles = expected.reshape(2, 7, 4, 7, 4).transpose(1, 3, 0, 2, 4)
  np.testing.assert_allclose(
      inputs[1:], tiles.reshape(49, 2, 16), atol=1e-4 / 0.3081
  )


def test_what_is_stored_makes_the_same_pixels_anew():
  """To the bit: of many networks or of one, in loops, with nothing compiled."""
  task = jax.vmap(family().sample_task)(jax.random.split(KEY, 4))
  chosen = jnp.arange(20, dtype=jnp.int32).reshape(4, 5)
  encode = family().encode
  together = jax.jit(jax.vmap(encode))(task, chosen)
  looped = jax.jit(lambda *rows: jax.lax.map(lambda row: encode(*row), rows))
  np.testing.assert_array_equal(together, looped(task, chosen))
  compiled = jax.jit(encode)
  for i in range(4):
    np.testing.assert_array_equal(together[i], compiled(task[i], chosen[i]))
  np.testing.assert_array_equal(together[0], encode(task[0], chosen[0]))


def test_batches_and_rollouts_are_of_training_images():
  task = jnp.array([10.0], jnp.float32)
  trained = np.flatnonzero(_digits.is_for_training(np.arange(len(IMAGES))))
  seen = family().rollouts(KEY, task, RNN, weights(), 500)
  assert seen.sequences.dtype == jnp.int32
  assert set(np.asarray(seen.sequences)) == set(trained)
  batch = family().sample_batch(KEY, task, 100)
  # Every image of a batch is one of those, with its own label all along
  known = np.asarray(family().encode(task, jnp.asarray(trained)))
  middle = np.asarray(batch.inputs)[25]
  distances = np.abs(middle[:, None] - known[25]).sum(axis=2)
  nearest = distances.argmin(axis=1)
  assert distances.min(axis=1).max() < 1e-3
  np.testing.assert_array_equal(
      batch.targets, np.broadcast_to(LABELS[trained][nearest], (50, 100))
  )
  assert np.all(batch.mask == 1)


@pytest.mark.parametrize("eval_images, eval_batch", [(1000, 5), (7, 4)])
def test_performance_is_measured_on_both_sides(eval_images, eval_batch):
  made = family(eval_images=eval_images, eval_batch=eval_batch)
  task = jnp.array([200.0], jnp.float32)
  metrics = jax.jit(lambda w: made.performance(KEY, task, RNN, w))(weights())
  training = _digits.is_for_training(np.arange(len(IMAGES)))
  sides = np.flatnonzero(~training), np.flatnonzero(training)
  count = min(eval_images, *map(len, sides))
  expected = []
  for side in sides:
    chosen = side[np.arange(count) * len(side) // count]
    log_probs = jax.nn.log_softmax(
        RNN.unroll(weights(), made.encode(task, jnp.asarray(chosen)))
    )
    log_probs = np.asarray(log_probs)
    losses = [-log_probs[:, i, LABELS[k]] for i, k in enumerate(chosen)]
    right = np.mean(log_probs[-1].argmax(axis=1) == LABELS[chosen])
    expected.append((np.mean(losses), right))
  np.testing.assert_allclose(metrics["eval_loss"], expected[0][0], rtol=1e-5)
  np.testing.assert_allclose(metrics["accuracy"], expected[0][1], rtol=1e-6)
  np.testing.assert_allclose(metrics["train_loss"], expected[1][0], rtol=1e-5)


def test_the_largest_angles_are_the_most_novel():
  angles = jnp.array([[300.0], [5.0], [359.0]], jnp.float32)
  assert np.argsort(jax.vmap(family().novelty)(angles)).tolist() == [1, 0, 2]
  drawn = jax.vmap(family().sample_task)(jax.random.split(KEY, 1000))
  assert drawn.dtype == jnp.float32
  assert 0 <= drawn.min() < 5 < 355 < drawn.max() < 360
  assert family().describe(np.array([12.34])) == "digits rotated by 12.3°"


def test_a_zoo_records_the_checksum_of_its_digits(tmp_path):
  recorded = family().recorded
  assert recorded == {"digits_sha256": _digits.load(example.dataset()).sha256}
  family(**recorded)
  other = f"idx:{example.write(tmp_path, seed=1)}"
  with pytest.raises(ValueError, match="but the zoo was made with images of"):
    tasks.make("tiled_mnist", {"digits": other, **recorded})


def test_a_family_can_be_bound_to_other_data(tmp_path):
  """So that programs take the images as an argument."""
  other = tasks.make(
      "tiled_mnist", {"digits": f"idx:{example.write(tmp_path, seed=1)}"}
  )
  chosen = jnp.arange(4, dtype=jnp.int32)
  task = jnp.array([50.0], jnp.float32)

  @jax.jit
  def encode(data):
    return family().bound(data).encode(task, chosen)

  own, others = encode(family().data), encode(other.data)
  np.testing.assert_allclose(own, family().encode(task, chosen), atol=2e-6)
  np.testing.assert_allclose(others, other.encode(task, chosen), atol=2e-6)
  # The images are no part of the program
  text = encode.lower(family().data).as_text()
  assert len(text) < 100_000


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"eval_images": 0}, "must be at least 1"),
        ({"eval_batch": 0}, "must be at least 1"),
        ({"std": 0.0}, "std must be positive"),
        ({"digit": "tfds"}, "did you mean 'digits'"),
    ],
)
def test_invalid_configs_raise(fields, message):
  with pytest.raises(ValueError, match=message):
    tasks.make("tiled_mnist", fields)


def test_a_data_set_without_evaluation_images_raises(tmp_path):
  images, labels = example.make(count=2)
  (tmp_path / _idx.IMAGES).write_bytes(example.idx(images))
  (tmp_path / _idx.LABELS).write_bytes(example.idx(labels))
  with pytest.raises(ValueError, match="2 images are too few"):
    tasks.make("tiled_mnist", {"digits": f"idx:{tmp_path}"})


def test_stored_pixels_are_inputs():
  """Stored pixels are encoded like the indices of the same images."""
  without = tasks.make("tiled_mnist", {"digits": "none"})
  task = jnp.array([77.7], jnp.float32)
  inputs = family().encode(task, jnp.arange(6, dtype=jnp.int32))
  pixels = np.swapaxes(inputs[1:], 0, 1)  # [K, 49, 16]
  for one in (without, family()):
    np.testing.assert_array_equal(one.encode(task, pixels), inputs)
  rounded = without.encode(task, pixels.astype(np.float16))
  assert rounded.dtype == jnp.float32
  np.testing.assert_allclose(rounded, inputs, atol=2e-3)
  np.testing.assert_array_equal(without.mask(pixels), np.ones((50, 6)))


def test_training_and_evaluation_need_digits():
  without = tasks.make("tiled_mnist", {"digits": "none"})
  task = jnp.array([77.7], jnp.float32)
  assert without.data == ()
  assert without.bound(without.data) is without
  for function in (
      lambda: without.encode(task, jnp.arange(6, dtype=jnp.int32)),
      lambda: without.sample_batch(KEY, task, 4),
      lambda: without.rollouts(KEY, task, RNN, weights(), 2),
      lambda: without.performance(KEY, task, RNN, weights()),
  ):
    with pytest.raises(ValueError, match="digits='none': training and eval"):
      function()
