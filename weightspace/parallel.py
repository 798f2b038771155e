"""Devices: meshes, shardings, and one XLA device for each CPU core."""

import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

NETWORKS = "networks"  # the mesh axis over which networks are spread
DATA = "data"  # the mesh axis over which a batch is spread


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
