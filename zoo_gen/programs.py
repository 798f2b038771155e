"""A trainer compiled ahead of time, for as many networks as fit the memory.

Compiling is work of its own, with a time of its own; and only a compiled
program knows how much memory it takes.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from weightspace.errors import UserError
from weightspace.parallel import replicated, sharded
from zoo_gen.trainer import Trainer

# The share of a device's memory that programs may need by XLA's own count,
# which leaves out what fragments and what libraries take for themselves.
USABLE = 0.9


class Programs(NamedTuple):
  """A trainer's functions, compiled for one number of networks.

  Attributes:
    size: that number, N.
    group: how many of them a device trains at a time.
    init: as the trainer's.
    segment: as the trainer's; `start` and `stop` are int32.
    snapshot: as the trainer's; `step` is int32.
    seconds: that compiling took.
    bytes: of a device's memory that the largest of them needs, arguments and
      results included.
  """

  size: int
  group: int
  init: Callable
  segment: Callable
  snapshot: Callable
  seconds: float
  bytes: int


def compile_programs(trainer: Trainer, size: int) -> Programs:
  """Compiles a trainer for `size` networks, a number that `round_up` gave."""
  start = time.perf_counter()
  spread, shared = sharded(trainer.mesh), replicated(trainer.mesh)

  def placed(sharding, tree):
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
        tree,
    )

  net_ids = placed(spread, jax.ShapeDtypeStruct((size,), jnp.int32))
  state = placed(spread, jax.eval_shape(trainer.init, net_ids))
  step = placed(shared, jax.ShapeDtypeStruct((), jnp.int32))
  functions, needed = [], []
  for function, *args in (
      (trainer.init, net_ids),
      (trainer.segment, state, net_ids, step, step),
      (trainer.snapshot, state, net_ids, step),
  ):
    compiled = function.func.lower(*function.args, *args).compile()
    functions.append(functools.partial(compiled, *function.args))
    needed.append(_bytes(compiled.memory_analysis()))
  seconds = time.perf_counter() - start
  share = size // trainer.mesh.size
  group = min(trainer.group or share, share)
  return Programs(
      size, group, *functions, seconds=seconds, bytes=max(needed)
  )


def _bytes(memory):
  return (
      memory.argument_size_in_bytes
      + memory.output_size_in_bytes
      - memory.alias_size_in_bytes
      + memory.temp_size_in_bytes
  )


def usable_memory(device: jax.Device) -> int | None:
  """Bytes of a device that programs may need; None where it does not tell."""
  limit = (device.memory_stats() or {}).get("bytes_limit")
  return None if limit is None else int(USABLE * limit)


def compile_to_fit(
    make: Callable[[int | None], Trainer],
    count: int,
    *,
    group: int | None = None,
    memory: int | None = None,
) -> Programs:
  """Compiles a trainer whose programs fit a device.

  All that a device is given are trained as one group where they fit; if not,
  in as few groups of one size as do. Nothing but the device's memory decides,
  so that another run on the same device does the same.

  Args:
    make: (networks that a device trains at a time) -> a trainer; of None, one
      that leaves it to the kind of device.
    count: networks to train, rounded up to what the trainer takes.
    group: networks that a device trains at a time; by default, the largest that
      fits.
    memory: bytes that may be needed of a device; None: any.

  Raises:
    ValueError: `group` networks do not fit, the message says how many do; or
      not even one at a time, beside the states of the others.
  """
  if memory is None:
    return _compile(make(group), count)
  trainer = make(group)
  share = math.ceil(count / trainer.mesh.size)
  most = min(group or share, share)
  whole = _try(make(most), count)
  if _fits(whole, memory):
    return whole
  largest, fitting = _largest(make, count, most, whole, memory)
  if group is None:
    return fitting
  raise UserError(
      f"training {group} networks at a time needs {_say(whole)} of a device,"
      f" which has {memory / 2**30:.2f} GiB to use; {largest} at a time fit:"
      f" set --group={largest}, or leave --group out"
  )


def _largest(make, count, most, whole, memory):
  """The largest group below `most` that fits, of those that share evenly."""
  one = _try(make(1), count)
  share = math.ceil(count / make(1).mesh.size)
  if not _fits(one, memory):
    raise UserError(
        f"a shard of {count} networks, {share} a device, needs {_say(one)} of"
        f" a device even where they are trained one at a time, and"
        f" {memory / 2**30:.2f} GiB are to be used; make --config.shard_size"
        " smaller, or --config.recipe.batch"
    )
  large, groups = most, 1
  while True:
    estimate = (1 + large) / 2
    if whole is not None:  # memory is all but linear in the group
      room = (memory - one.bytes) / (whole.bytes - one.bytes)
      estimate = 1 + room * (large - 1)
    groups = max(groups + 1, math.ceil(share / estimate))
    group = math.ceil(share / groups)
    if group == 1:
      return 1, one
    if group >= large:
      continue
    programs = _try(make(group), count)
    if _fits(programs, memory):
      return group, programs
    large, whole = group, programs


def _compile(trainer, count):
  return compile_programs(trainer, trainer.round_up(count))


def _try(trainer, count):
  """Programs, or None where the compiler itself ran out of memory."""
  try:
    return _compile(trainer, count)
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    return None


def _fits(programs, memory):
  return programs is not None and programs.bytes <= memory


def _say(programs):
  if programs is None:
    return "more memory than there is"
  return f"{programs.bytes / 2**30:.2f} GiB of the memory"
