"""Zoos that came from others: what is known of them, and computed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from weightspace.keys import derive, make_key
from weightspace.parallel import NETWORKS, mesh
from weightspace.rnn import RNN, make_rnn
from weightspace.tasks import TaskFamily
from weightspace.zoo.integrity import IMPORTED
from weightspace.zoo.spec import ZooSpec

_ROWS_AT_ONCE = 8  # that a device is given


def is_imported(spec: ZooSpec) -> bool:
  """Whether a zoo came from others."""
  return IMPORTED in spec.trainer


def summary(spec: ZooSpec) -> list[tuple[str, str]]:
  """An imported zoo's origin, and what cannot be checked, in words."""
  if not is_imported(spec):
    return []
  origin = spec.trainer[IMPORTED]
  return [
      ("imported from", origin["source"]),
      ("computed at import", ", ".join(origin["recomputed"]) or "nothing"),
      ("taken on trust", ", ".join(origin["recorded"])),
  ]


def make_metrics(spec: ZooSpec, family: TaskFamily, rnn: RNN) -> Callable:
  """What is computed of a row of an imported zoo, at import and in audits.

  Args:
    spec: of the zoo.
    family: its family.
    rnn: the shape of its networks.

  Returns:
    (vector [P], net_id, step, task [D]) -> {name: float32 scalar}.
  """
  names = spec.trainer[IMPORTED]["recomputed"]

  def metrics(vector, net_id, step, task):
    if not names:
      return {}
    key = derive(make_key(spec.seed), "snapshot", net_id, step)
    metrics = family.performance(
        derive(key, "performance"), task, rnn, rnn.unflatten(vector)
    )
    return {name: metrics[name] for name in names}

  return metrics


def measure_rows(spec: ZooSpec, family: TaskFamily) -> Callable:
  """`make_metrics` of rows, spread over the devices, one at a time on each.

  Returns:
    (vectors [n, P], net_id [n], step [n], task [n, D]) -> {name: [n] float32}.
  """
  one = make_metrics(spec, family, make_rnn(spec.rnn))
  devices = mesh(NETWORKS)
  axis = PartitionSpec(NETWORKS)
  compiled = jax.jit(
      jax.shard_map(
          lambda *rows: jax.lax.map(lambda row: one(*row), rows),
          mesh=devices,
          in_specs=axis,
          out_specs=axis,
          check_vma=False,
      )
  )
  size = devices.size * _ROWS_AT_ONCE

  def measure(*columns):
    if not spec.trainer[IMPORTED]["recomputed"]:
      return {}
    count = len(columns[0])
    parts = []
    for start in range(0, count, size):
      at = np.minimum(start + np.arange(size), count - 1)
      parts.append(compiled(*(jnp.asarray(column[at]) for column in columns)))
    joined = jax.tree.map(
        lambda *leaves: np.concatenate([np.asarray(x) for x in leaves]), *parts
    )
    return {name: values[:count] for name, values in joined.items()}

  return measure
