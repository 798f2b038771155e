"""Emulation as self-supervision (section 4.1): encoder and emulator together.

    min over phi, xi of  E_(theta, S)  D(f_theta(S), A_xi(S, E_phi(theta)))

The emulator is thrown away afterwards; the encoder is what is kept.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from weightspace import (
    divergences,
    emulator,
    encoders,
    parallel,
    plugins,
    precision,
)
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
  encoders: tuple[encoders.Encoder, ...]
  emulator: emulator.Emulator
  init: Callable


def make_model(
    rnns: Sequence[RNN], family: TaskFamily, config: Mapping[str, Any]
) -> Model:
  """Encoder and emulator from a config.

  Args:
    rnns: the shapes of the networks to encode.
    family: what they do.
    config: "encoder" with its "name" and fields, "emulator" with its fields.

  Raises:
    ValueError: an encoder whose params depend on the shape of networks, where
      there are several.
  """
  made = encoding.make_encoders(rnns, family.spec, config["encoder"])
  speaker = emulator.make(
      plugins.configure(emulator.Config, config["emulator"], "emulator"),
      code=encoding.code_size(rnns[0], made[0]),
      inputs=rnns[0].spec.inputs,
      outputs=rnns[0].spec.outputs,
  )

  def init(key):
    return {
        "encoder": made[0].init(derive(key, "encoder")),
        "emulator": speaker.init(derive(key, "emulator")),
    }

  return Model(tuple(rnns), made, speaker, init)


def emulate(model: Model, family: TaskFamily, params: Params, codes, data):
  """The emulator's answers beside the networks' own.

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


def sequence_means(losses: jax.Array, mask: jax.Array) -> jax.Array:
  """Means over time `[T, ...]` of what the mask `[T, ...]` leaves."""
  return jnp.sum(losses * mask, axis=0) / jnp.sum(mask, axis=0)


def batch_size(config: Config) -> batches.Size:
  """What a step is trained on."""
  return batches.Size(config.batch, config.sequences)


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
  encode_batches = [
      encoding.make_encode_batch(rnn, encoder, config.augment)
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
    codes = encode_batches[shape](params["encoder"], keys, batch.vectors)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    losses = divergence(original, emulation)
    if not config.mask_padding:
      mask = jnp.ones_like(mask)
    return sequence_means(losses, mask)

  def mean(params, key, step, data):
    """A device's part of the mean over the batch."""
    found = batches.of_step(data, key, step, batch_size(config), mesh)
    # Shape by shape, not joined: that would move examples between devices
    losses = sum(
        jnp.sum(losses_of_shape(params, derive(key, "shape", i), batch, i))
        for i, batch in enumerate(found)
        if batch is not None
    )
    return losses / (config.batch * config.sequences)

  def loss(params, key, step, data):
    f = mean
    if mesh is not None:
      layout = (*[PartitionSpec()] * 3, batches.layout(data, mesh))
      f = parallel.psum_over_mesh(mean, mesh, layout)
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
  at_once = devices * max(1, config.batch // devices)

  def measure_rows(shape, params, batch):
    rnn, encoder = model.rnns[shape], model.encoders[shape]
    codes = jax.vmap(
        lambda v: encoder.apply(params["encoder"], rnn.unflatten(v))
    )(batch.vectors)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    if not config.mask_padding:
      mask = jnp.ones_like(mask)
    losses = {n: divergences.load(n)(original, emulation) for n in names}
    return {
        name: jnp.mean(sequence_means(loss, mask), axis=-1)
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

  def measure(params, data):
    found = [
        measure_shape(params, of_shape, shape)
        for shape, of_shape in enumerate(data)
        if len(of_shape.vectors)
    ]
    return {
        name: np.concatenate([part[name] for part in found], axis=-1)
        for name in names
    }

  def measure_shape(params, data, shape):
    size = len(data.vectors)
    kept = slice(0, config.validation_sequences)

    def read(rows):
      batch = jax.tree.map(lambda leaf: leaf[rows], data)
      return jax.tree.map(
          place,
          batch._replace(
              sequences=batch.sequences[:, kept],
              log_probs=batch.log_probs[:, kept],
          ),
      )

    data = data._replace(columns={})
    # The last batch is filled up with rows from the beginning
    order = np.arange(-(-size // at_once) * at_once) % size
    # One after the other: no more than a batch is on the device
    found = [
        jax.device_get(measure_batch(params, read(rows), shape))
        for rows in order.reshape(-1, at_once)
    ]
    return {
        name: np.concatenate([batch[name] for batch in found], axis=-1)[
            ..., :size
        ]
        for name in names
    }

  return measure
