"""The Objective contract: what encoders are trained for.

Each public module here exports a frozen dataclass `Config`, which extends that
of this module, and `make(config, scope, **parts) -> Objective`. A module may
export `PARTS`, {name: dataclass}: other sections of a run's config that `make`
takes by name, such as the emulator's.

`weightspace.training.model` makes a loss of an objective and an encoder; it
draws batches and spreads them over devices.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from weightspace import fields, parallel, plugins, precision
from weightspace.encoders import Encoder
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.training import encoding
from weightspace.training.fit import Schedule
from weightspace.types import Key, Params
from weightspace.zoo import Zoo
from weightspace.zoo.loader import Data

Batch = tuple[Data | None, ...]  # of each shape of networks, None without one


@dataclass(frozen=True)
class Config:
  """What the `Config` of every objective has.

  Attributes:
    steps: of gradient descent.
    batch: networks a step, where each snapshot counts.
    validate_every: steps between two validations.
    checkpoint_every: steps between two checkpoints.
    matmul_precision: of the matrix products of training, see
      `weightspace.precision`.
    split_seed: of the split into training and validation tasks.
    seed: of the initialisation and of all that is drawn in training.
  """

  steps: int = 100_000
  batch: int = 64
  validate_every: int = 1000
  checkpoint_every: int = 1000
  matmul_precision: str = "tensorfloat32"
  split_seed: int = 0
  seed: int = 0

  def __post_init__(self):
    precision.check(self.matmul_precision)
    fields.check_integers(
        self, "steps", "batch", "validate_every", "checkpoint_every"
    )
    fields.check_seeds(self, "split_seed", "seed")

  @property
  def schedule(self) -> Schedule:
    """How long to train, and what happens how often."""
    return Schedule.of_run(
        self.steps, self.validate_every, self.checkpoint_every
    )

  @property
  def shared(self) -> "Config":
    """The same for runs that differ in what no program depends on."""
    return dataclasses.replace(
        self, seed=0, steps=1, validate_every=1, checkpoint_every=1
    )


class Scope(NamedTuple):
  """What an objective is made for.

  Attributes:
    rnns: the shapes of networks.
    encoders: of each shape, all of the same params.
    family: what the networks do.
    steps: of training at which the zoo has snapshots of each network.
    mesh: over which batches are spread, or None.
  """

  rnns: tuple[RNN, ...]
  encoders: tuple[Encoder, ...]
  family: TaskFamily
  steps: tuple[int, ...]
  mesh: Mesh | None = None

  @property
  def code(self) -> int:
    """The size of a code, Z."""
    return encoding.code_size(self.rnns[0], self.encoders[0])

  def row_keys(self, key: Key, shape: int, rows: int) -> Key:
    """A key for each network of one shape in a batch, [rows].

    Args:
      key: of the step.
      shape: of the networks, an index of `rnns`.
      rows: networks on this device.
    """
    key = derive(derive(key, "shape", shape), "augmentation")
    if self.mesh is None:
      return jax.random.split(key, rows)
    keys = jax.random.split(key, self.mesh.size * rows)
    return parallel.local_shard(keys, self.mesh)

  def encode(
      self,
      params: Params,
      batch: Batch,
      key: Key | None = None,
      augment: str = "none",
  ) -> tuple[jax.Array | None, ...]:
    """Codes of a batch: [B, Z] float32 for each shape, None without one.

    Args:
      params: {"encoder", ...}.
      batch: of networks.
      key: of the step; None where nothing is drawn, as in validation.
      augment: for an encoder that is not invariant, where there is a key: one
        of `encoding.AUGMENT`.
    """

    def of_shape(shape, data):
      encode = encoding.make_encode(
          self.rnns[shape], self.encoders[shape], augment
      )
      if key is None:
        return jax.vmap(encode, (None, 0))(params["encoder"], data.vectors)
      keys = self.row_keys(key, shape, len(data.vectors))
      return jax.vmap(encode, (None, 0, 0))(
          params["encoder"], data.vectors, keys
      )

    return tuple(
        None if data is None else of_shape(shape, data)
        for shape, data in enumerate(batch)
    )


class Objective(NamedTuple):
  """Pure functions, and what a batch must hold for them.

  A `Batch` has the networks that are on one device: for each shape a `Data`
  with `vectors` [B, P], `task` [B, D], `columns` as below, and `sequences` and
  `log_probs` of as many rollouts as asked for.

  Attributes:
    init: (key) -> {name: params} of what there is beside the encoder. The key
      is that of all params: derive others from it by the name.
    loss: (params, batch, key) -> scalar, {name: scalar}: the value to be
      minimised and metrics, float32: sums over these networks, divided by the
      number of those on all devices. All that is drawn comes from the key. The
      order of networks does not matter, but for what is drawn.
    measure: (params, batch) -> {name: [B] float32}, among them "loss", which
      validation averages and selects by. Nothing is drawn. The batch is of one
      shape.
    columns: (zoo, {"train": rows [n], "validation": rows}) -> {name: [R, ...]}
      that batches carry; see `columns_named`.
    sequences: rollouts of each network a step.
    validation_sequences: rollouts of each network in validation.
    snapshots: None draws rows whichever network they are of. A number draws
      networks, each once in an epoch, and so many snapshots of each, which are
      different and side by side in a batch.
  """

  init: Callable[[Key], dict[str, Params]]
  loss: Callable[
      [Params, Batch, Key], tuple[jax.Array, dict[str, jax.Array]]
  ]
  measure: Callable[[Params, Batch], dict[str, jax.Array]]
  columns: Callable[
      [Zoo, Mapping[str, np.ndarray]], dict[str, np.ndarray]
  ] = lambda zoo, rows: {}
  sequences: int = 0
  validation_sequences: int = 0
  snapshots: int | None = None


def names() -> tuple[str, ...]:
  """The names of all objectives."""
  return plugins.names(__name__)


def configure(
    name: str, config: Mapping[str, Any]
) -> tuple[Config, dict[str, Any]]:
  """The configs of an objective and of its parts, from plain values.

  Args:
    name: of a module in this package.
    config: of a run: the section of that name, and those of `PARTS`; missing
      ones have their defaults.

  Raises:
    ValueError: no such objective or no such field, with the nearest name.
  """
  module = plugins.load(__name__, name)
  parts = {
      part: plugins.configure(known, config.get(part, {}), part)
      for part, known in getattr(module, "PARTS", {}).items()
  }
  own = plugins.configure(module.Config, config.get(name, {}), name)
  return own, parts


def make(
    name: str, config: Config, parts: Mapping[str, Any], scope: Scope
) -> Objective:
  """The objective of that name.

  Args:
    name: of a module in this package.
    config: its `Config`.
    parts: the configs of its `PARTS`.
    scope: what it is for.

  Raises:
    ValueError: networks or encoders that it is not for.
  """
  return plugins.load(__name__, name).make(config, scope, **parts)


def present(codes: Sequence[Any], batch: Batch) -> list[tuple[Any, Data]]:
  """Codes and data of each shape that a batch has networks of."""
  return [pair for pair in zip(codes, batch) if pair[1] is not None]


def columns_named(*wanted: str) -> Callable:
  """`Objective.columns` of columns of the zoo, by their names."""
  return functools.partial(_take, wanted)


def _take(wanted: Sequence[str], zoo, rows):
  del rows  # these columns are what they are
  for name in wanted:
    if name not in zoo.columns:
      raise UserError(
          f"{zoo.path} has no column {name!r}"
          f"{plugins.nearest(name, zoo.columns)}; there are:"
          f" {', '.join(zoo.columns)}"
      )
  return {name: zoo.columns[name] for name in wanted}
