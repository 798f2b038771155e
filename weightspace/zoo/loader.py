"""Batches: (key, step) -> rows, with nothing to save and nothing to restore.

Examples follow one another without end, epoch after epoch, and batch `step`
is the next `batch` of them, so a batch may span two epochs. Within an epoch
the order is a pseudo-random bijection of 0..size-1 that is evaluated for one
place at a time: no permutation is ever written down.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError
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
    zoo: Zoo,
    rows: np.ndarray,
    *,
    rollouts: int | None = None,
    columns: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> tuple[Data, ...]:
  """Rows of a zoo, those of each shape in a `Data`; read as it is used.

  Args:
    zoo: where they lie.
    rows: of it.
    rollouts: how many of each, the first ones; by default all.
    columns: {name: [R, ...]} of all rows of the zoo, beside the task.
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
        columns={
            name: on_disk(of_all.__getitem__)
            for name, of_all in columns.items()
        },
    )

  return tuple(of(rows[places]) for places in by_shape(zoo, rows))


def by_shape(zoo: Zoo, rows: np.ndarray) -> list[np.ndarray]:
  """Places in `rows` of the networks of each of `zoo.rnns`, increasing."""
  shapes = zoo.shapes[rows]
  return [np.flatnonzero(shapes == shape) for shape in range(len(zoo.rnns))]


def batch_indices(
    key: Key, step: int | jax.Array, *, size: int | jax.Array, batch: int
) -> jax.Array:
  """Batch `step`: indices into a split.

  Every epoch has each of 0..size-1 exactly once, in an order of its own. A
  batch larger than the split holds several epochs.

  Args:
    key: of the order; the same one at every step.
    step: number of the batch, from 0; may be traced.
    size: examples in the split, from 1 to 2**31 - 1; may be traced.
    batch: examples in a batch.

  Returns:
    [batch] int32.

  Raises:
    ValueError: sizes below 1 or from 2**31.
  """
  if not 0 < batch < 2**31 or (isinstance(size, int) and not 0 < size < 2**31):
    raise UserError(
        f"size and batch must be from 1 to {2**31 - 1}, got size={size},"
        f" batch={batch}"
    )
  size = jnp.asarray(size).astype(jnp.uint32)
  epoch, place = _multiply(jnp.asarray(step).astype(jnp.uint32), batch, size)
  # place < 2**31 and batch < 2**31, so this cannot overflow
  places = jnp.arange(batch, dtype=jnp.uint32) + place
  epochs, places = jnp.divmod(places, size)
  round_keys = jax.vmap(lambda epoch: _round_keys(derive(key, "epoch", epoch)))
  round_keys = jax.lax.cond(
      size >= batch,
      lambda: round_keys(epoch + jnp.arange(2, dtype=jnp.uint32))[epochs],
      lambda: round_keys(epoch + epochs),
  )
  return jax.vmap(_shuffled, (0, 0, None))(round_keys, places, size)


def shuffled(key: Key, place: jax.Array, size: jax.Array) -> jax.Array:
  """An element of a pseudo-random bijection of 0..size-1, one for each key.

  A Feistel network on pairs (a, b), with additions modulo the sides of a
  rectangle that holds little more than `size` pairs; a place that falls out of
  0..size-1 walks on along its cycle until it is back (Black and Rogaway,
  "Ciphers with arbitrary finite domains", 2002).

  Args:
    key: of the bijection.
    place: uint32 scalar below `size`.
    size: uint32 scalar from 1 to 2**31 - 1.

  Returns:
    int32 scalar.
  """
  return _shuffled(_round_keys(key), place, size)


def _round_keys(key):
  return jax.random.bits(key, (_ROUNDS,), jnp.uint32)


def _root(size):
  """The least integer whose square is at least `size`, uint32."""
  root = jnp.sqrt(size.astype(jnp.float32)).astype(jnp.uint32)
  root = jnp.maximum(root, 2) - 1  # float32 rounds: at most one too large
  for _ in range(3):
    root = jnp.where(root * root < size, root + 1, root)
  return jnp.where(size == 1, jnp.ones_like(root), root)


@jax.jit  # sizes are arguments, so that outside of jit all share one program
def _shuffled(round_keys, place, size):
  width = _root(size)
  height = (size + width - 1) // width

  def permute(carry):
    a, b = jnp.divmod(carry[0], height)
    for i in range(0, _ROUNDS, 2):
      a = _add_modulo(a, _mix(b, round_keys[i]) % width, width)
      b = _add_modulo(b, _mix(a, round_keys[i + 1]) % height, height)
    return a * height + b, jnp.bool_(False)

  def outside(carry):
    x, first = carry
    return first | (x >= size)

  last, _ = jax.lax.while_loop(outside, permute, (place, jnp.bool_(True)))
  return last.astype(jnp.int32)


def _add_modulo(a, b, size):
  """`(a + b) % size` of numbers below `size`, without a division."""
  return jnp.where(a + b >= size, a + b - size, a + b)


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
  unit = jnp.divmod(step, size)
  epoch = place = jnp.uint32(0)
  for bit in bin(batch)[2:]:
    epoch, place = _add((epoch, place), (epoch, place), size)
    if bit == "1":
      epoch, place = _add((epoch, place), unit, size)
  return epoch, place


def _add(a, b, size):
  carry, place = jnp.divmod(a[1] + b[1], size)
  return a[0] + b[0] + carry, place
