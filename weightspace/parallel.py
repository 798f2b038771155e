"""Devices: meshes, shardings, and one XLA device for each CPU core.

A mesh may hold devices of several processes; then all of them have to call
what is said here to take all, in the same order.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

NETWORKS = "networks"  # the mesh axis over which networks are spread
DATA = "data"  # the mesh axis over which a batch is spread
_LEAST = 1024  # numbers in an array that is worth being cut


def use_all_cores(count: int | None = None) -> None:
  """Makes one XLA device of each CPU core. For launchers: global state.

  Many small RNNs train about twice as fast on one device per core than on one
  device that shares its products among threads. Call it before anything
  touches a device; it changes nothing where there is an accelerator.

  Args:
    count: how many devices; by default the cores this process may run on.
  """
  jax.config.update(
      "jax_num_cpu_devices", count or len(os.sched_getaffinity(0))
  )


def mesh(axis: str, devices=None) -> Mesh:
  """A 1-d mesh of the given devices, by default all local ones."""
  devices = jax.local_devices() if devices is None else devices
  return Mesh(np.asarray(devices), (axis,))


def split(mesh: Mesh) -> NamedSharding:
  """Leading axis spread over the mesh's only axis."""
  return NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))


def replicated(mesh: Mesh) -> NamedSharding:
  """A copy on every device of the mesh."""
  return NamedSharding(mesh, PartitionSpec())


def cut(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
  """An array spread over the mesh along the longest axis it divides.

  Small ones and those that have no such axis are copied to every device.
  """
  fitting = [i for i, size in enumerate(shape) if size % mesh.size == 0]
  if np.prod(shape) < _LEAST or not fitting:
    return replicated(mesh)
  longest = max(fitting, key=lambda i: shape[i])
  return NamedSharding(
      mesh, PartitionSpec(*[None] * longest, mesh.axis_names[0])
  )


def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
  """Puts an array that every process holds whole on the devices of a mesh."""
  if sharding.is_fully_addressable:
    return jax.device_put(leaf, sharding)
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = place(jax.random.key_data(leaf), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  # Not device_put, which would have all processes compare what they hold
  host = np.asarray(leaf)
  return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)


def fetch(tree: Any) -> Any:
  """Arrays on the devices of a mesh as NumPy; takes all processes."""

  def whole(leaf):
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
      return np.asarray(leaf)
    if not leaf.is_fully_replicated:  # leaf by leaf, for the devices' memory
      leaf = _identity(leaf, replicated(leaf.sharding.mesh))
    return np.asarray(leaf.addressable_data(0))

  return jax.tree.map(whole, tree)


def own_part(leaf: jax.Array, mesh: Mesh) -> jax.Array:
  """Inside of `summed`: the share of the leading axis that is a device's."""
  size = leaf.shape[0] // mesh.size
  start = jax.lax.axis_index(mesh.axis_names[0]) * size
  return jax.lax.dynamic_slice_in_dim(leaf, start, size)


def summed(
    f: Callable[..., jax.Array], mesh: Mesh, layout: Any = None
) -> Callable[..., jax.Array]:
  """The sum of what `f` is on each device.

  Devices exchange nothing but the sum and, where it is differentiated, the
  sums of the gradients. Left to itself, XLA may rather gather activations.

  Args:
    f: of what a device has of the arguments.
    mesh: of the devices.
    layout: what that is: `in_specs` of `jax.shard_map`, by default all.
  """
  axis = mesh.axis_names[0]
  return jax.shard_map(
      lambda *args: jax.lax.psum(f(*args), axis),
      mesh=mesh,
      in_specs=PartitionSpec() if layout is None else layout,
      out_specs=PartitionSpec(),
      check_vma=False,
  )


def row_by_row(f: Callable[[Any, Any], Any], mesh: Mesh) -> Callable:
  """`f`, each device of its own rows; what is found of all of them, on all.

  Left to itself, XLA has every device do the work of all where it meets a
  kernel.

  Args:
    f: (what serves all rows, arrays of rows) -> arrays of those rows.
    mesh: whose size divides the number of rows.
  """
  axis = mesh.axis_names[0]
  of_own = jax.shard_map(
      f,
      mesh=mesh,
      in_specs=(PartitionSpec(), PartitionSpec(axis)),
      out_specs=PartitionSpec(axis),
      check_vma=False,
  )
  return lambda shared, rows: jax.lax.with_sharding_constraint(
      of_own(shared, rows), replicated(mesh)
  )


def from_first(tree: Any) -> Any:
  """The arrays of process 0; takes all processes, with trees of one shape."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(multihost_utils.broadcast_one_to_all, tree)


def anywhere(flag: bool) -> bool:
  """Whether a flag is set in any process; takes all."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def check_same(text: str, what: str) -> None:
  """Refuses processes that were not started alike; takes all.

  Raises:
    ValueError: the text is another one than that of process 0; in all.
  """
  if jax.process_count() == 1:
    return
  digest = hashlib.sha256(text.encode()).digest()
  found = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
  others = np.flatnonzero(np.any(found != found[0], axis=1))
  if len(others):
    raise ValueError(
        f"process {others[0]} has another {what} than process 0: start all"
        " processes of a job alike"
    )


_identity = jax.jit(
    lambda leaf, sharding: jax.lax.with_sharding_constraint(leaf, sharding),
    static_argnums=1,
)
