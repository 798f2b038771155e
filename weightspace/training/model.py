"""An encoder with its objective: params, the loss of a step, validation."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from weightspace import parallel, precision
from weightspace.encoders import Encoder
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.training import batches, encoding, objectives
from weightspace.training.config import Config
from weightspace.training.draws import Size, shares
from weightspace.training.objectives import Objective, Scope
from weightspace.types import Key, Params
from weightspace.zoo.loader import Data


class Model(NamedTuple):
  """An encoder with its objective.

  Attributes:
    scope: shapes of networks, their encoders and what they do.
    objective: what the encoder is trained for.
  """

  scope: Scope
  objective: Objective

  @property
  def encoders(self) -> tuple[Encoder, ...]:
    """Of each shape of networks, all of the same params."""
    return self.scope.encoders

  def init(self, key: Key) -> Params:
    """{"encoder": params, ...}: with what the objective has beside it."""
    encoder = self.encoders[0].init(derive(key, "encoder"))
    return {"encoder": encoder, **self.objective.init(key)}


def make(
    rnns: Sequence[RNN],
    family: TaskFamily,
    steps: Sequence[int],
    config: Config,
    mesh: Mesh | None = None,
) -> Model:
  """Encoder and objective from the config of a run.

  Args:
    rnns: the shapes of the networks to encode.
    family: what they do.
    steps: of training at which there are snapshots of them.
    config: of the run.
    mesh: over which batches are spread.

  Raises:
    ValueError: an encoder whose params depend on the shape of networks, where
      there are several; an objective that is not for these networks.
  """
  encoders = encoding.make_encoders(rnns, family.spec, config.encoder)
  scope = Scope(tuple(rnns), encoders, family, tuple(steps), mesh)
  objective = objectives.make(
      config.objective, config.training, config.parts, scope
  )
  return Model(scope, objective)


def make_size(model: Model, rows: Sequence[int], batch: int) -> Size:
  """What a step is trained on.

  Args:
    model: whose objective and mesh decide.
    rows: how many there are to draw from, of each shape.
    batch: networks a step.

  Raises:
    ValueError: the batch is too small, or no multiple of what it is made of.
  """
  objective, mesh = model.objective, model.scope.mesh
  unit = (mesh.size if mesh else 1) * (objective.snapshots or 1)
  return Size(
      shares(rows, batch, unit), objective.sequences, objective.snapshots
  )


def make_loss(
    model: Model, size: Size, matmul_precision: str
) -> Callable:
  """The loss that `fit` differentiates.

  Args:
    model: encoder and objective; its mesh is where batches are spread.
    size: of a batch.
    matmul_precision: of its matrix products.

  Returns:
    (params, key, step, data) -> (loss, metrics); `data` is a `batches.Split` or
    a `batches.Window`. Nothing of it depends on the seed of the config.
  """
  mesh = model.scope.mesh

  def part(params, key, step, data):
    """A device's part of the mean over the batch."""
    batch = batches.of_step(data, key, step, size, mesh)
    return model.objective.loss(params, batch, key)

  def loss(params, key, step, data):
    f = part
    if mesh is not None:
      specs = (*[PartitionSpec()] * 3, batches.in_specs(data, mesh))
      f = parallel.psum_over_mesh(part, mesh, specs)
    with precision.products(matmul_precision):
      return f(params, key, step, data)

  return loss


def make_measure(
    measure: Callable,
    batch: int,
    mesh: Mesh | None = None,
    *,
    together: int = 1,
    members: bool = False,
) -> Callable:
  """A function that measures any number of rows.

  Args:
    measure: as `Objective.measure`.
    batch: rows at a time, about.
    mesh: where rows are spread over its axis.
    together: so many rows are measured on one device.
    members: whether params have a leading axis [M]; without a mesh.

  Returns:
    (params, data) -> {name: [R, ...]}, or [M, R, ...]; `data` is a `Data` for
    each shape of networks, and R counts their rows, one shape after the other.
    All calls share one compilation for each shape, whatever the number of rows.
  """
  unit = together * (mesh.size if mesh is not None else 1)
  batch = unit * max(1, batch // unit)

  @functools.partial(jax.jit, static_argnums=(2, 3))
  def measure_batch(params, data, shape, shapes):
    def of_rows(params, data):
      alone = [None] * shapes
      alone[shape] = data
      return measure(params, tuple(alone))

    f = of_rows if mesh is None else parallel.map_rows(of_rows, mesh)
    return (jax.vmap(f, (0, None)) if members else f)(params, data)

  def place(leaf):
    if mesh is None:
      return jnp.asarray(leaf)
    return parallel.place(leaf, parallel.sharded(mesh))

  def of_shape(params, data: Data, shape, shapes):
    def of_rows(rows):
      some = jax.tree.map(lambda leaf: place(leaf[rows]), data)
      return measure_batch(params, some, shape, shapes)

    return batches.map_batches(
        of_rows, len(data.vectors), batch, axis=int(members)
    )

  def measured(params, data: Sequence[Data]) -> dict[str, Any]:
    parts = [
        of_shape(params, one, shape, len(data))
        for shape, one in enumerate(data)
        if len(one.vectors)
    ]
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves, int(members)), *parts
    )

  return measured
