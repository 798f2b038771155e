"""Batches: (key, step) -> rows, with nothing to save and nothing to restore.

Examples follow one another without end, epoch after epoch, and batch `step`
is the next `batch` of them, so a batch may span two epochs. Within an epoch
the order is a pseudo-random bijection of 0..size-1 that is evaluated for one
place at a time: no permutation is ever written down.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.keys import derive
from weightspace.types import Key
from weightspace.zoo.reader import Zoo

_ROUNDS = 12  # of the Feistel network; fewer are uneven where size is tiny


class Data(NamedTuple):
  """Rows of a zoo in memory, ready for `jax.device_put`."""

  vectors: np.ndarray  # [n, P] float32
  sequences: np.ndarray  # [n, K, ...]
  log_probs: np.ndarray  # [n, K, T, V] float16
  task: np.ndarray  # [n, D]
  columns: dict[str, np.ndarray]  # [n, ...] each, all but the task


def load(zoo: Zoo, rows: np.ndarray) -> Data:
  """Reads rows of networks of one shape, in the order given."""
  rollouts = zoo.rollouts(rows)
  columns = {name: column[rows] for name, column in zoo.columns.items()}
  return Data(
      vectors=zoo.vectors(rows),
      sequences=rollouts.sequences,
      log_probs=rollouts.log_probs,
      task=columns.pop("task"),
      columns=columns,
  )


def load_by_shape(zoo: Zoo, rows: np.ndarray) -> tuple[Data, ...]:
  """Rows of a zoo, those of each of `zoo.rnns` in a `Data` of their own."""
  return tuple(load(zoo, rows[places]) for places in by_shape(zoo, rows))


def row_bytes(zoo: Zoo, shape: int, *, rollouts: int | None = None) -> int:
  """Bytes that a row takes up in a `Data`, without its columns.

  Args:
    zoo: where it lies.
    shape: of its network: which of `zoo.rnns`.
    rollouts: how many of them; by default all.
  """
  kept = zoo.spec.rollouts
  of_rollouts = zoo.row_bytes("sequences") + zoo.row_bytes("log_probs")
  return (
      4 * zoo.rnns[shape].size
      + of_rollouts // kept * (kept if rollouts is None else rollouts)
      + zoo.row_bytes("task")
  )


class OnDisk:
  """An array that is read where it is indexed: `array[rows]`."""

  def __init__(self, size: int, read: Callable[[np.ndarray], np.ndarray]):
    """Takes its length, and what reads places of it, [n] integers."""
    self._size, self._read = size, read

  def __len__(self):
    return self._size

  def __getitem__(self, places: np.ndarray) -> np.ndarray:
    return self._read(places)


def view_by_shape(
    zoo: Zoo, rows: np.ndarray, *, rollouts: int | None = None
) -> tuple[Data, ...]:
  """As `load_by_shape`, without columns; read as it is used.

  Args:
    zoo: where they lie.
    rows: of it.
    rollouts: how many of each, the first ones; by default all.
  """
  which = np.arange(
      zoo.spec.rollouts if rollouts is None else
      min(rollouts, zoo.spec.rollouts)
  )  # fmt: skip
  task = zoo.columns["task"]

  def of(rows):
    def on_disk(read):
      return OnDisk(len(rows), lambda places: read(rows[places]))

    return Data(
        vectors=on_disk(zoo.vectors),
        sequences=on_disk(lambda r: zoo.rollouts(r, which).sequences),
        log_probs=on_disk(lambda r: zoo.rollouts(r, which).log_probs),
        task=on_disk(lambda r: task[r]),
        columns={},
    )

  return tuple(of(rows[places]) for places in by_shape(zoo, rows))


def by_shape(zoo: Zoo, rows: np.ndarray) -> list[np.ndarray]:
  """Places in `rows` of the networks of each of `zoo.rnns`, increasing."""
  shapes = zoo.shapes[rows]
  return [np.flatnonzero(shapes == shape) for shape in range(len(zoo.rnns))]


def batch_indices(
    key: Key,
    step: int | jax.Array,
    *,
    size: int,
    batch: int,
    process_index: int = 0,
    process_count: int = 1,
) -> jax.Array:
  """This process' part of batch `step`: indices into a split.

  Every epoch has each of 0..size-1 exactly once, in an order of its own. The
  parts of all processes, one after the other, are the batch of a single one. A
  batch larger than the split holds several epochs.

  Args:
    key: of the order; the same one at every step and on every process.
    step: number of the batch, from 0; may be traced.
    size: examples in the split.
    batch: examples in a batch, of all processes together.
    process_index: of this process.
    process_count: how many processes share the batch.

  Returns:
    [batch // process_count] int32.

  Raises:
    ValueError: sizes below 1 or from 2**31; a batch that the processes cannot
      share evenly; no such process.
  """
  if not (0 < size < 2**31 and 0 < batch < 2**31):
    raise ValueError(
        f"size and batch must be from 1 to {2**31 - 1}, got size={size},"
        f" batch={batch}"
    )
  if process_count < 1 or batch % process_count:
    raise ValueError(
        f"a batch of {batch} cannot be shared evenly by {process_count}"
        " processes; choose a multiple"
    )
  if not 0 <= process_index < process_count:
    raise ValueError(
        f"there are processes 0 to {process_count - 1}, got {process_index}"
    )
  local = batch // process_count
  epoch, place = _multiply(jnp.asarray(step).astype(jnp.uint32), batch, size)
  places = jnp.arange(local, dtype=jnp.uint32) + np.uint32(
      process_index * local
  )
  # place < 2**31 and places < 2**31, so this cannot overflow either.
  epochs, places = jnp.divmod(places + place, np.uint32(size))

  def index(epoch, place):
    return shuffled(derive(key, "epoch", epoch), place, size)

  return jax.vmap(index)(epochs + epoch, places)


def shuffled(key: Key, place: jax.Array, size: int) -> jax.Array:
  """What a pseudo-random bijection of 0..size-1, one for each key, holds.

  A Feistel network on pairs (a, b), with additions modulo the sides of a
  rectangle that holds little more than `size` pairs; a place that falls out of
  0..size-1 walks on along its cycle until it is back (Black and Rogaway,
  "Ciphers with arbitrary finite domains", 2002).

  Args:
    key: of the bijection.
    place: uint32 scalar below `size`.
    size: from 1 to 2**31 - 1.

  Returns:
    int32 scalar.
  """
  width = math.isqrt(size - 1) + 1
  height = -(-size // width)
  return _shuffled(key, place, *map(np.uint32, (size, width, height)))


@jax.jit  # sizes are arguments, so that outside of jit all share one program
def _shuffled(key, place, size, width, height):
  round_keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)

  def permute(carry):
    a, b = jnp.divmod(carry[0], height)
    for i in range(0, _ROUNDS, 2):
      a = (a + _mix(b, round_keys[i]) % width) % width
      b = (b + _mix(a, round_keys[i + 1]) % height) % height
    return a * height + b, jnp.bool_(False)

  def outside(carry):
    x, first = carry
    return first | (x >= size)

  last, _ = jax.lax.while_loop(outside, permute, (place, jnp.bool_(True)))
  return last.astype(jnp.int32)


def _mix(x, key):
  """A hash of 32 bits: the finaliser of MurmurHash3, keyed."""
  x = (x ^ key) * np.uint32(0x9E3779B1)
  x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
  return x ^ (x >> 16)


def _multiply(step, batch, size):
  """`divmod(step * batch, size)`, exact where the product overflows 32 bits.

  Doubles and adds (epoch, place) pairs, one bit of `batch` after another.
  """
  unit = jnp.divmod(step, np.uint32(size))
  epoch = place = jnp.uint32(0)
  for bit in bin(batch)[2:]:
    epoch, place = _add((epoch, place), (epoch, place), size)
    if bit == "1":
      epoch, place = _add((epoch, place), unit, size)
  return epoch, place


def _add(a, b, size):
  carry, place = jnp.divmod(a[1] + b[1], np.uint32(size))
  return a[0] + b[0] + carry, place
