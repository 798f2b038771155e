"""Devices: meshes, shardings, and one XLA device for each CPU core.

A mesh may span the devices of several processes. Functions documented as
collective must then be called by all processes, in the same order.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from weightspace.errors import UserError

NETWORKS = "networks"  # the mesh axis over which networks are spread
DATA = "data"  # the mesh axis over which a batch is spread
_MIN_SHARDED_SIZE = 1024  # smaller arrays are replicated


def cores() -> list[int]:
  """Numbers of the CPU cores that this process may run on."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))  # macOS


def use_all_cores(count: int | None = None) -> None:
  """Makes each CPU core an XLA device. Sets global state: for launchers.

  Many small RNNs train about twice as fast on one device per core as on one
  device that runs each product in several threads. Call it before the first
  use of a device. It has no effect on accelerators.

  Args:
    count: number of devices; by default the cores this process may run on.
  """
  jax.config.update("jax_num_cpu_devices", count or len(cores()))


def mesh(axis: str, devices=None) -> Mesh:
  """A 1-d mesh of the given devices, by default all local ones."""
  devices = jax.local_devices() if devices is None else devices
  return Mesh(np.asarray(devices), (axis,))


def sharded(mesh: Mesh) -> NamedSharding:
  """Shards the leading axis over the only axis of a mesh."""
  return NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))


def replicated(mesh: Mesh) -> NamedSharding:
  """Puts a copy on every device of a mesh."""
  return NamedSharding(mesh, PartitionSpec())


def fsdp_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
  """Shards an array along its longest axis that the mesh's size divides.

  Small arrays, and those without such an axis, are replicated.
  """
  divisible = [i for i, size in enumerate(shape) if size % mesh.size == 0]
  if np.prod(shape) < _MIN_SHARDED_SIZE or not divisible:
    return replicated(mesh)
  longest = max(divisible, key=lambda i: shape[i])
  return NamedSharding(
      mesh, PartitionSpec(*[None] * longest, mesh.axis_names[0])
  )


def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
  """Puts an array on the devices of a mesh; every process holds all of it."""
  if sharding.is_fully_addressable:
    return jax.device_put(leaf, sharding)
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = place(jax.random.key_data(leaf), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  # device_put would compare the array across processes
  host = np.asarray(leaf)
  return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)


def fetch(tree: Any) -> Any:
  """Copies sharded arrays to the host, as NumPy arrays; collective."""

  def to_host(leaf):
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
      return np.asarray(leaf)
    if not leaf.is_fully_replicated:  # one leaf at a time saves device memory
      leaf = _reshard(leaf, replicated(leaf.sharding.mesh))
    return np.asarray(leaf.addressable_data(0))

  return jax.tree.map(to_host, tree)


def local_shard(x: jax.Array, mesh: Mesh) -> jax.Array:
  """This device's shard of a replicated array, inside `psum_over_mesh`."""
  size = x.shape[0] // mesh.size
  start = jax.lax.axis_index(mesh.axis_names[0]) * size
  return jax.lax.dynamic_slice_in_dim(x, start, size)


def psum_over_mesh(
    f: Callable[..., jax.Array], mesh: Mesh, in_specs: Any = None
) -> Callable[..., jax.Array]:
  """Sums the values of `f` over the devices of a mesh.

  Devices exchange only this sum and, under differentiation, the sums of the
  gradients. XLA's automatic partitioner may gather activations instead.

  Args:
    f: function of a device's shards of the arguments.
    mesh: 1-d mesh of the devices.
    in_specs: as in `jax.shard_map`; by default all arguments are replicated.
  """
  axis = mesh.axis_names[0]
  return jax.shard_map(
      lambda *args: jax.lax.psum(f(*args), axis),
      mesh=mesh,
      in_specs=PartitionSpec() if in_specs is None else in_specs,
      out_specs=PartitionSpec(),
      check_vma=False,
  )


def map_rows(f: Callable[[Any, Any], Any], mesh: Mesh) -> Callable:
  """Maps `f` over shards of rows, one per device, and replicates the results.

  Args:
    f: (shared arguments, arrays of rows) -> arrays of the same rows.
    mesh: 1-d mesh; its size must divide the number of rows.

  Returns:
    A function of the same arguments, for all rows.
  """
  axis = mesh.axis_names[0]
  mapped = jax.shard_map(
      f,
      mesh=mesh,
      in_specs=(PartitionSpec(), PartitionSpec(axis)),
      out_specs=PartitionSpec(axis),
      check_vma=False,
  )
  return lambda shared, rows: jax.lax.with_sharding_constraint(
      mapped(shared, rows), replicated(mesh)
  )


def broadcast_from_primary(tree: Any) -> Any:
  """Returns the arrays of process 0; collective, with trees of one shape."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(multihost_utils.broadcast_one_to_all, tree)


def any_process(flag: bool) -> bool:
  """Returns whether the flag is set in any process; collective."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def check_same(text: str, what: str) -> None:
  """Checks that all processes were started with the same text; collective.

  Args:
    text: compared between processes by its hash.
    what: name of the text, for the message.

  Raises:
    ValueError: the text of some process differs from that of process 0; all
      processes raise it.
  """
  if jax.process_count() == 1:
    return
  digest = hashlib.sha256(text.encode()).digest()
  digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
  others = np.flatnonzero(np.any(digests != digests[0], axis=1))
  if len(others):
    raise UserError(
        f"process {others[0]} has another {what} than process 0: start all"
        " processes of a job alike"
    )


_reshard = jax.jit(
    lambda leaf, sharding: jax.lax.with_sharding_constraint(leaf, sharding),
    static_argnums=1,
)
