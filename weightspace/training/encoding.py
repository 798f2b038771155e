"""Encoders in training: of networks of several shapes, augmented, in a batch.

What training by emulation and supervised training share.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import encoders, symmetry, zoo
from weightspace.encoders import Encoder
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily, TaskSpec
from weightspace.training import batches, truth
from weightspace.types import Key, Params

_OBSERVED = 64  # networks that are observed at a time
_EXAMPLES = 256  # real sequences that probes may start as
AUGMENT = ("permutation", "signed", "none")


def check_augment(augment: str) -> None:
  """Refuses what is none of `AUGMENT`.

  Raises:
    ValueError: it is none.
  """
  if augment not in AUGMENT:
    raise ValueError(
        "augment must be 'permutation', 'signed' or 'none', got"
        f" {augment!r}"
    )


def make_encoders(
    rnns: Sequence[RNN], spec: TaskSpec, config: Mapping[str, Any]
) -> tuple[Encoder, ...]:
  """An encoder of each shape of networks, all of the same params.

  Args:
    rnns: the shapes of the networks to encode.
    spec: of their tasks.
    config: the encoder's "name" and fields.

  Raises:
    ValueError: an encoder whose params depend on the shape of networks, where
      there are several.
  """
  rnn, *others = rnns
  fields = dict(config)
  name = fields.pop("name")
  if name == truth.NAME:
    return tuple(map(truth.make, rnns))
  encoder, *rest = (encoders.make(name, fields, rnn, spec) for rnn in rnns)
  params = jax.eval_shape(encoder.init, jax.random.key(0))
  for other, its_rnn in zip(rest, others):
    if jax.eval_shape(other.init, jax.random.key(0)) != params:
      raise ValueError(
          f"encoder {name!r} cannot encode networks of several shapes: it has"
          f" other params for {its_rnn.spec} than for {rnn.spec}; those that"
          " run the network can, such as 'interactive'"
      )
  return (encoder, *rest)


def code_size(rnn: RNN, encoder: Encoder) -> int:
  """The size of an encoder's codes, Z."""
  blank = jax.eval_shape(lambda: rnn.unflatten(jnp.zeros(rnn.size)))
  params = jax.eval_shape(encoder.init, jax.random.key(0))
  return jax.eval_shape(encoder.apply, params, blank).shape[-1]


def start_from_inputs(
    encoder: Encoder,
    params: Params,
    source: zoo.Zoo,
    family: TaskFamily,
    rows: np.ndarray,
    key: Key,
) -> Params:
  """Params of an encoder whose probes start as real inputs, if it has such.

  Args:
    encoder: whose `start_from` says how.
    params: of the encoder.
    source: the zoo.
    family: of its tasks.
    rows: to train on; what their most trained snapshots have read in their
      rollouts is drawn from.
    key: of the draw.
  """
  if encoder.start_from is None:
    return params
  steps = source.columns["step"][rows]
  rows = rows[steps == steps.max()]
  chosen = jax.random.choice(key, rows, (_EXAMPLES,))
  which = jax.random.randint(
      derive(key, "rollouts"), (_EXAMPLES, 1), 0, source.spec.rollouts
  )
  chosen, which = jax.device_get((chosen, which))
  sequences = source.rollouts(chosen, which).sequences
  examples = jax.vmap(family.encode, out_axes=1)(
      source.columns["task"][chosen], sequences
  )  # [T, n, 1, I]
  return encoder.start_from(params, jnp.swapaxes(examples[:, :, 0], 0, 1))


def observe(
    rnns: Sequence[RNN],
    made: Sequence[Encoder],
    params: Params,
    split: batches.Split | batches.Stream,
) -> batches.Split | batches.Stream:
  """A split in memory whose vectors are what encoders observe of networks.

  Args:
    rnns: the shapes of networks.
    made: encoders of them.
    params: of the encoder.
    split: to train on; a stream, or of encoders that observe nothing, stays.
  """
  if made[0].observe is None or not isinstance(split, batches.Split):
    return split

  def of_shape(rnn, encoder, data):
    def one(vector):
      return encoder.observe(params, rnn.unflatten(vector))

    observed = jax.jit(
        lambda vectors: jax.lax.map(one, vectors, batch_size=_OBSERVED)
    )
    return data._replace(vectors=np.asarray(observed(data.vectors)))

  shapes = (
      of_shape(rnn, encoder, data) if len(data.vectors) else data
      for rnn, encoder, data in zip(rnns, made, split.shapes)
  )
  return split._replace(shapes=tuple(shapes))


def make_encode_batch(
    rnn: RNN, encoder: Encoder, augment: str
) -> Callable:
  """A function that encodes a batch of networks in training.

  Args:
    rnn: the shape of the networks.
    encoder: of such networks.
    augment: for an encoder that is not invariant, one of `AUGMENT`.

  Returns:
    (params of the encoder, keys [B], vectors [B, P]) -> codes [B, Z]. Vectors
    may be of features, [B, F], see `observe`.
  """

  def augmented(key, vector):
    weights = rnn.unflatten(vector)
    if encoder.invariant or augment == "none":
      return weights
    return symmetry.augment(key, rnn, weights, signed=augment == "signed")

  def encode(params, key, vector):
    weights = augmented(key, vector)
    return encoder.apply(params, weights, derive(key, "encoder"))

  def read(params, key, features):
    return encoder.read(params, features, derive(key, "encoder"))

  def encode_batch(params, keys, vectors):
    if encoder.read and vectors.shape[-1] != rnn.size:
      return jax.vmap(read, (None, 0, 0))(params, keys, vectors)
    return jax.vmap(encode, (None, 0, 0))(params, keys, vectors)

  return encode_batch
