"""Encoder and heads, trained jointly: their loss and what it is a loss of."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from weightspace import fields, heads, parallel, precision, properties
from weightspace.encoders import Encoder
from weightspace.keys import derive
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training import batches, encoding
from weightspace.training.fit import Schedule


@dataclass(frozen=True)
class Config:
  """How encoder and heads are trained together.

  Attributes:
    properties: names, see `weightspace.properties.load`.
    steps: of gradient descent.
    batch: networks a step.
    augment: for encoders that are not invariant: "permutation", "signed" or
      "none".
    hidden: units of each hidden layer of a head.
    layers: how many hidden layers; 0 is a linear head.
    validate_every: steps between two validations, which select the step.
    checkpoint_every: steps between two checkpoints.
    matmul_precision: of the matrix products of training, see
      `weightspace.precision`.
    seed: of the initialisation and of all that is drawn in training.
  """

  properties: tuple[str, ...] = ("task", "accuracy")
  steps: int = 20_000
  batch: int = 64
  augment: str = "permutation"
  hidden: int = 128
  layers: int = 2
  validate_every: int = 500
  checkpoint_every: int = 1000
  matmul_precision: str = "tensorfloat32"
  seed: int = 0

  def __post_init__(self):
    object.__setattr__(self, "properties", tuple(self.properties))
    encoding.check_augment(self.augment)
    precision.check(self.matmul_precision)
    properties.check_names(self.properties)
    fields.check_integers(
        self, "steps", "batch", "hidden", "validate_every", "checkpoint_every"
    )
    fields.check_integers(self, "layers", least=0)
    fields.check_seeds(self, "seed")

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


class Shape(NamedTuple):
  """All rows of a zoo whose networks are of one shape, and their targets."""

  vectors: jax.Array  # [R, P] float32
  targets: dict[str, jax.Array]  # [R, n] each, standardised
  train: batches.Rows  # to train on, as places in `vectors`


class Program(NamedTuple):
  """Functions that are compiled once for all rows and seeds."""

  encoder: Encoder  # of the first shape
  init: Callable  # (key) -> params
  loss: Callable  # (params, key, step, data) -> (loss, metrics)
  measure: Callable  # (params, data, places [n], shape) -> outputs, losses


@functools.lru_cache(maxsize=16)
def make_program(
    specs: tuple[RNNSpec, ...],
    scope: properties.Scope,
    encoder: encoding.EncoderConfig,
    config: Config,
    counts: tuple[int, ...],
    mesh: Mesh | None,
) -> Program:
  """What runs share that differ in rows, seed and steps.

  Args:
    specs: the shapes of networks.
    scope: of the zoo.
    encoder: config of the encoder.
    config: how to train.
    counts: networks of each shape in a batch.
    mesh: where the batch is spread.

  Returns:
    Functions whose data are a tuple of `Shape`; `measure` returns outputs
    {property: [n, ...]} and losses {property: [n]}.
  """
  rnns = tuple(make_rnn(spec) for spec in specs)
  made = encoding.make_encoders(rnns, scope.tasks, encoder)
  code = encoding.code_size(rnns[0], made[0])
  sizes = heads.Config("mlp", config.hidden, config.layers)
  of_property = {
      name: heads.make(sizes, properties.load(name, scope), scope, code)
      for name in config.properties
  }

  @jax.jit
  def init(key):
    return {
        "encoder": made[0].init(derive(key, "encoder")),
        "heads": {
            name: head.init(derive(derive(key, "head"), name))
            for name, head in of_property.items()
        },
    }

  def apply_heads(params, codes, targets):
    """Outputs and losses [B] of the head of each property."""
    outputs = {
        name: head.apply(params["heads"][name], codes)
        for name, head in of_property.items()
    }
    losses = {
        name: head.loss(outputs[name], targets[name])
        for name, head in of_property.items()
    }
    return outputs, losses

  encode = [
      encoding.make_encode(rnn, encoder, config.augment)
      for rnn, encoder in zip(rnns, made)
  ]
  return Program(
      made[0],
      init,
      _make_loss(encode, apply_heads, config, counts, mesh),
      _make_measure(encode, apply_heads, mesh),
  )


def _make_loss(encode, apply_heads, config, counts, mesh):
  def losses_of_shape(params, key, step, data, shape):
    count = counts[shape]
    rows = data.train.of_step(step, count)
    keys = jax.random.split(derive(key, "augmentation"), count)
    if mesh is not None:
      rows, keys = (parallel.local_shard(a, mesh) for a in (rows, keys))
    codes = jax.vmap(encode[shape], (None, 0, 0))(
        params["encoder"], data.vectors[rows], keys
    )
    targets = jax.tree.map(lambda target: target[rows], data.targets)
    _, losses = apply_heads(params, codes, targets)
    return sum(jnp.sum(loss) for loss in losses.values())

  def mean(params, key, step, data):
    """A device's part of the mean over the batch."""
    losses = sum(
        losses_of_shape(params, derive(key, "shape", i), step, of_shape, i)
        for i, of_shape in enumerate(data)
        if counts[i]
    )
    return losses / config.batch

  def loss(params, key, step, data):
    f = mean if mesh is None else parallel.psum_over_mesh(mean, mesh)
    with precision.products(config.matmul_precision):
      return f(params, key, step, data), {}

  return loss


def _make_measure(encode, apply_heads, mesh):
  def measure_rows(shape, shared, rows):
    params, data = shared
    codes = jax.vmap(encode[shape], (None, 0))(
        params["encoder"], data.vectors[rows]
    )
    targets = jax.tree.map(lambda target: target[rows], data.targets)
    return apply_heads(params, codes, targets)

  @functools.partial(jax.jit, static_argnames="shape")
  def measure(params, data, rows, shape):
    f = functools.partial(measure_rows, shape)
    if mesh is not None:
      f = parallel.map_rows(f, mesh)
    return f((params, data[shape]), rows)

  return measure
