"""Emulation as self-supervision (section 4.1): encoder and emulator together.

    min over phi, xi of  E_(theta, S)  D(f_theta(S), A_xi(S, E_phi(theta)))

The emulator is thrown away afterwards; the encoder is what is kept.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from weightspace import divergences, fields, parallel, precision
from weightspace import emulator as emulator_lib
from weightspace.encoders import Encoder
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.training import batches, encoding
from weightspace.types import Params


@dataclass(frozen=True)
class Config:
  """How encoder and emulator are trained; the defaults are the paper's.

  Attributes:
    divergence: what training minimises: a name in `weightspace.divergences`,
      or several joined by "+". Total variation, the paper's, has hardly a
      gradient where an emulator is surely wrong, and needs many times the
      steps of "kl+total_variation".
    score: what validation measures and selects by, a name.
    steps: of gradient descent.
    batch: networks a step.
    sequences: rollouts of each network a step.
    mask_padding: whether steps after EOS are left out. The authors' release
      counts them, which makes for smaller losses.
    augment: for encoders that are not invariant: "permutation", "signed" or
      "none".
    validate_every: steps between two validations.
    validation_sequences: rollouts of each network to validate on.
    checkpoint_every: steps between two checkpoints.
    matmul_precision: of the matrix products of training, see
      `weightspace.precision`.
    split_seed: of the split into training and validation tasks.
    seed: of the initialisation and of all that is drawn in training.
  """

  divergence: str = "total_variation"
  score: str = "total_variation"
  steps: int = 100_000
  batch: int = 64
  sequences: int = 1
  mask_padding: bool = True
  augment: str = "permutation"
  validate_every: int = 1000
  validation_sequences: int = 4
  checkpoint_every: int = 1000
  matmul_precision: str = "tensorfloat32"
  split_seed: int = 0
  seed: int = 0

  def __post_init__(self):
    divergences.load(self.divergence)
    divergences.load(self.score)
    encoding.check_augment(self.augment)
    precision.check(self.matmul_precision)
    fields.check_integers(
        self, "steps", "batch", "sequences", "validate_every",
        "validation_sequences", "checkpoint_every",
    )  # fmt: skip
    fields.check_bools(self, "mask_padding")
    fields.check_seeds(self, "split_seed", "seed")

  @property
  def size(self) -> batches.Size:
    """What a step is trained on."""
    return batches.Size(self.batch, self.sequences)


class Model(NamedTuple):
  """An encoder with its emulator.

  Attributes:
    rnns: the shapes of networks that are encoded.
    encoders: `weightspace.encoders.Encoder` of each shape, all of the same
      params.
    emulator: `weightspace.emulator.Emulator`.
    init: (key) -> params {"encoder", "emulator"}.
  """

  rnns: tuple[RNN, ...]
  encoders: tuple[Encoder, ...]
  emulator: emulator_lib.Emulator
  init: Callable


def make_model(
    rnns: Sequence[RNN],
    family: TaskFamily,
    encoder: encoding.EncoderConfig,
    emulator: emulator_lib.Config,
) -> Model:
  """Encoder and emulator from their configs.

  Args:
    rnns: the shapes of the networks to encode.
    family: what they do.
    encoder: config of the encoder.
    emulator: config of the emulator.

  Raises:
    ValueError: an encoder whose params depend on the shape of networks, where
      there are several.
  """
  encoders = encoding.make_encoders(rnns, family.spec, encoder)
  made = emulator_lib.make(
      emulator,
      code=encoding.code_size(rnns[0], encoders[0]),
      inputs=rnns[0].spec.inputs,
      outputs=rnns[0].spec.outputs,
  )

  def init(key):
    return {
        "encoder": encoders[0].init(derive(key, "encoder")),
        "emulator": made.init(derive(key, "emulator")),
    }

  return Model(tuple(rnns), encoders, made, init)


def emulate(model: Model, family: TaskFamily, params: Params, codes, data):
  """The emulator's outputs beside the networks' own.

  Args:
    model: encoder and emulator.
    family: what the networks do.
    params: {"encoder", "emulator"}.
    codes: [B, Z].
    data: `Data` of B rows with k sequences each.

  Returns:
    emulation and original, log-probabilities [T, B, k, V], and the mask of
    what is not padding [T, B, k]; all float32.
  """
  inputs = jax.vmap(family.encode, out_axes=1)(data.task, data.sequences)
  original = jnp.moveaxis(data.log_probs.astype(jnp.float32), 2, 0)
  mask = jax.vmap(family.mask, out_axes=1)(data.sequences)
  steps, *batch, _ = inputs.shape
  emulation = model.emulator.apply(
      params["emulator"],
      jnp.repeat(codes, batch[1], axis=0),
      inputs.reshape(steps, -1, inputs.shape[-1]),
  )
  return emulation.reshape(steps, *batch, -1), original, mask


def make_loss(
    model: Model,
    family: TaskFamily,
    config: Config,
    mesh: Mesh | None = None,
) -> Callable:
  """The loss that `fit` differentiates.

  Args:
    model: encoder and emulator.
    family: what the networks do.
    config: how to train.
    mesh: where the batch is spread over its axis.

  Returns:
    (params, key, step, data) -> (loss, metrics); `data` is a `batches.Split` or
    a `batches.Window`. Nothing of it depends on the seed of the config.
  """
  divergence = divergences.load(config.divergence)
  encode = [
      jax.vmap(encoding.make_encode(rnn, encoder, config.augment), (None, 0, 0))
      for rnn, encoder in zip(model.rnns, model.encoders)
  ]

  def losses_of_shape(params, key, batch, shape):
    """Losses of networks of one shape, [B, sequences]; B are a device's own."""
    devices = 1 if mesh is None else mesh.size
    keys = jax.random.split(
        derive(key, "augmentation"), devices * len(batch.vectors)
    )
    if mesh is not None:
      keys = parallel.local_shard(keys, mesh)
    codes = encode[shape](params["encoder"], batch.vectors, keys)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    return _means(divergence(original, emulation), mask, config)

  def mean(params, key, step, data):
    """A device's part of the mean over the batch."""
    batch = batches.of_step(data, key, step, config.size, mesh)
    # Shape by shape, not joined: that would move examples between devices
    losses = sum(
        jnp.sum(losses_of_shape(params, derive(key, "shape", i), of_shape, i))
        for i, of_shape in enumerate(batch)
        if of_shape is not None
    )
    return losses / (config.batch * config.sequences)

  def loss(params, key, step, data):
    f = mean
    if mesh is not None:
      specs = (*[PartitionSpec()] * 3, batches.in_specs(data, mesh))
      f = parallel.psum_over_mesh(mean, mesh, specs)
    with precision.products(config.matmul_precision):
      return f(params, key, step, data), {}

  return loss


def make_measure(
    model: Model,
    family: TaskFamily,
    config: Config,
    mesh: Mesh | None = None,
    names: tuple[str, ...] | None = None,
    members: bool = False,
) -> Callable:
  """A function that measures emulation, row by row.

  Args:
    model: encoder and emulator.
    family: what the networks do.
    config: how it is trained; the first `validation_sequences` of each row
      are measured on.
    mesh: where rows are spread over its axis.
    names: of the divergences to measure; by default the score of the config.
    members: whether params have a leading axis [M]; without a mesh.

  Returns:
    (params, data) -> {name: mean over the sequences of each row, [R] float32},
    or [M, R]; `data` is a `Data` for each shape of networks, and R counts their
    rows, one shape after the other. All calls share one compilation for each
    shape, whatever the number of rows.
  """
  names = names or (config.score,)
  devices = mesh.size if mesh is not None else 1
  batch_size = devices * max(1, config.batch // devices)
  kept = slice(0, config.validation_sequences)

  def measure_rows(shape, params, batch):
    encode = encoding.make_encode(model.rnns[shape], model.encoders[shape])
    codes = jax.vmap(encode, (None, 0))(params["encoder"], batch.vectors)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    losses = {n: divergences.load(n)(original, emulation) for n in names}
    return {
        name: jnp.mean(_means(loss, mask, config), axis=-1)
        for name, loss in losses.items()
    }

  @functools.partial(jax.jit, static_argnames="shape")
  def measure_batch(params, batch, shape):
    f = functools.partial(measure_rows, shape)
    if mesh is not None:
      f = parallel.map_rows(f, mesh)
    return (jax.vmap(f, (0, None)) if members else f)(params, batch)

  def place(leaf):
    if mesh is None:
      return jnp.asarray(leaf)
    return parallel.place(leaf, parallel.sharded(mesh))

  def measure_shape(params, data, shape):
    data = data._replace(columns={})

    def of_rows(rows):
      batch = jax.tree.map(lambda leaf: leaf[rows], data)
      batch = batch._replace(
          sequences=batch.sequences[:, kept], log_probs=batch.log_probs[:, kept]
      )
      return measure_batch(params, jax.tree.map(place, batch), shape)

    return batches.map_batches(of_rows, len(data.vectors), batch_size, axis=-1)

  def measure(params, data):
    parts = [
        measure_shape(params, of_shape, shape)
        for shape, of_shape in enumerate(data)
        if len(of_shape.vectors)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, -1), *parts)

  return measure


def _means(losses, mask, config):
  """Means over time, [T, ...] -> [...], of what the mask leaves."""
  if not config.mask_padding:
    mask = jnp.ones_like(mask)
  return jnp.sum(losses * mask, axis=0) / jnp.sum(mask, axis=0)
