"""Emulation as self-supervision (section 4.1): encoder and emulator together.

    min over phi, xi of  E_(theta, S)  D(f_theta(S), A_xi(S, E_phi(theta)))

The emulator is thrown away afterwards; the encoder is what is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from weightspace import (
    divergences,
    emulator,
    encoders,
    parallel,
    plugins,
    symmetry,
)
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.types import Params
from weightspace.zoo import loader
from weightspace.zoo.loader import Data


@dataclass(frozen=True)
class Config:
  """How encoder and emulator are trained; the defaults are the paper's.

  Attributes:
    divergence: a name in `weightspace.divergences`.
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
    split_seed: of the split into training and validation tasks.
    seed: of the initialisation and of all that is drawn in training.
  """

  divergence: str = "total_variation"
  steps: int = 100_000
  batch: int = 64
  sequences: int = 1
  mask_padding: bool = True
  augment: str = "permutation"
  validate_every: int = 1000
  validation_sequences: int = 4
  checkpoint_every: int = 1000
  split_seed: int = 0
  seed: int = 0

  def __post_init__(self):
    divergences.load(self.divergence)
    if self.augment not in ("permutation", "signed", "none"):
      raise ValueError(
          "augment must be 'permutation', 'signed' or 'none', got"
          f" {self.augment!r}"
      )


class Model(NamedTuple):
  """An encoder with its emulator.

  Attributes:
    encoder: `weightspace.encoders.Encoder`.
    emulator: `weightspace.emulator.Emulator`.
    init: (key) -> params {"encoder", "emulator"}.
  """

  encoder: encoders.Encoder
  emulator: emulator.Emulator
  init: Callable


def make_model(
    rnn: RNN, family: TaskFamily, config: Mapping[str, Any]
) -> Model:
  """Encoder and emulator from a config.

  Args:
    rnn: the shape of the networks to encode.
    family: what they do.
    config: "encoder" with its "name" and fields, "emulator" with its fields.
  """
  fields = dict(config["encoder"])
  encoder = encoders.make(fields.pop("name"), fields, rnn, family.spec.kind)
  blank = jax.eval_shape(lambda: rnn.unflatten(jnp.zeros(rnn.size)))
  params = jax.eval_shape(encoder.init, jax.random.key(0))
  code = jax.eval_shape(encoder.apply, params, blank).shape[-1]
  speaker = emulator.make(
      plugins.configure(emulator.Config, config["emulator"], "emulator"),
      code=code,
      inputs=rnn.spec.inputs,
      outputs=rnn.spec.outputs,
  )

  def init(key):
    return {
        "encoder": encoder.init(derive(key, "encoder")),
        "emulator": speaker.init(derive(key, "emulator")),
    }

  return Model(encoder, speaker, init)


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
  batch = inputs.shape[1:3]
  codes = jnp.broadcast_to(codes[:, None], (*batch, codes.shape[-1]))
  emulation = model.emulator.apply(params["emulator"], codes, inputs)
  original = jnp.moveaxis(data.log_probs.astype(jnp.float32), 2, 0)
  mask = jax.vmap(family.mask, out_axes=1)(data.sequences)
  return emulation, original, mask


def sequence_means(losses: jax.Array, mask: jax.Array) -> jax.Array:
  """Means over time `[T, ...]` of what the mask `[T, ...]` leaves."""
  return jnp.sum(losses * mask, axis=0) / jnp.sum(mask, axis=0)


def make_loss(
    model: Model,
    rnn: RNN,
    family: TaskFamily,
    config: Config,
    mesh: Mesh | None = None,
) -> Callable:
  """The loss that `fit` differentiates.

  Args:
    model: encoder and emulator.
    rnn: the shape of the networks.
    family: what they do.
    config: how to train.
    mesh: where the batch is spread over its axis.

  Returns:
    (params, key, step, data) -> (loss, metrics); `data` is a whole split.
  """
  divergence = divergences.load(config.divergence)
  augmented = not model.encoder.invariant and config.augment != "none"

  def encode(params, key, vector):
    weights = rnn.unflatten(vector)
    if augmented:
      weights = symmetry.augment(
          key, rnn, weights, signed=config.augment == "signed"
      )
    return model.encoder.apply(params["encoder"], weights)

  def loss(params, key, step, data):
    size, kept = data.log_probs.shape[:2]
    rows = loader.batch_indices(
        jax.random.key(config.seed), step, size=size, batch=config.batch
    )
    if mesh is not None:
      rows = jax.lax.with_sharding_constraint(rows, parallel.split(mesh))
    shape = (config.batch, config.sequences)
    which = jax.random.randint(derive(key, "rollouts"), shape, 0, kept)
    batch = Data(
        vectors=data.vectors[rows],
        sequences=data.sequences[rows[:, None], which],
        log_probs=data.log_probs[rows[:, None], which],
        task=data.task[rows],
        columns={},
    )
    keys = jax.random.split(derive(key, "augmentation"), config.batch)
    codes = jax.vmap(encode, (None, 0, 0))(params, keys, batch.vectors)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    losses = divergence(original, emulation)
    if not config.mask_padding:
      mask = jnp.ones_like(mask)
    return jnp.mean(sequence_means(losses, mask)), {}

  return loss


def make_measure(
    model: Model,
    rnn: RNN,
    family: TaskFamily,
    config: Config,
    mesh: Mesh | None = None,
    names: tuple[str, ...] | None = None,
) -> Callable:
  """A function that measures emulation, row by row.

  Args:
    model: encoder and emulator.
    rnn: the shape of the networks.
    family: what they do.
    config: how they are trained; the first `validation_sequences` of each row
      are measured on.
    mesh: where rows are spread over its axis.
    names: of the divergences to measure; by default the one of the config.

  Returns:
    (params, data) -> {name: mean over the sequences of each row, [R] float32}.
    All calls share one compilation, whatever the number of rows.
  """
  names = names or (config.divergence,)
  devices = mesh.size if mesh is not None else 1
  at_once = devices * max(1, config.batch // devices)

  @jax.jit
  def measure_batch(params, batch):
    codes = jax.vmap(
        lambda v: model.encoder.apply(params["encoder"], rnn.unflatten(v))
    )(batch.vectors)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    if not config.mask_padding:
      mask = jnp.ones_like(mask)
    losses = {n: divergences.load(n)(original, emulation) for n in names}
    return {
        name: jnp.mean(sequence_means(loss, mask), axis=-1)
        for name, loss in losses.items()
    }

  def place(leaf):
    if mesh is None:
      return jnp.asarray(leaf)
    return jax.device_put(leaf, parallel.split(mesh))

  def measure(params, data):
    size = len(data.vectors)
    kept = slice(0, config.validation_sequences)
    data = data._replace(
        sequences=data.sequences[:, kept],
        log_probs=data.log_probs[:, kept],
        columns={},
    )
    # The last batch is filled up with rows from the beginning
    order = np.arange(-(-size // at_once) * at_once) % size
    batches = [
        jax.tree.map(lambda leaf, rows=rows: place(leaf[rows]), data)
        for rows in order.reshape(-1, at_once)
    ]
    found = [measure_batch(params, batch) for batch in batches]
    return {
        name: np.concatenate([batch[name] for batch in found])[:size]
        for name in names
    }

  return measure
