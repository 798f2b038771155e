"""Encoders in training: of networks of several shapes, augmented, in a batch.

The objectives of `weightspace.training.objectives` share it.

Beside the encoders of `weightspace.encoders` there is "truth", a reference
for what labels are worth to emulation, the counterpart of "constant":

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:truth

Its code is what a zoo knows of a network: task, accuracy, step and so on. It is
no function of the weights, and so no plug-in.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import encoders, heads, plugins, properties, symmetry
from weightspace.encoders import Encoder, _modules
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.rnn import RNN, describe
from weightspace.tasks import TaskFamily, TaskSpec
from weightspace.training import batches
from weightspace.types import Key, Params
from weightspace.zoo import Zoo
from weightspace.zoo.loader import Data

TRUTH = "truth"
AUGMENT = ("permutation", "signed", "none")
_OBSERVED = 64  # networks that are observed at a time
_EXAMPLES = 256  # real sequences that probes may start as


@dataclass(frozen=True)
class EncoderConfig:
  """Which encoder, and its sizes.

  Attributes:
    name: of a module in `weightspace.encoders`, or `TRUTH`.
    fields: that module's `Config`; None of `TRUTH`.
  """

  name: str
  fields: Any = None

  def to_json(self) -> dict[str, Any]:
    """The values that `parse` takes."""
    fields = dataclasses.asdict(self.fields) if self.fields else {}
    return {"name": self.name, **fields}


def parse(config: Mapping[str, Any]) -> EncoderConfig:
  """A config from plain values: "name" and fields.

  Raises:
    ValueError: no such encoder or no such field, with the nearest name.
  """
  name, fields = config["name"], {k: config[k] for k in config if k != "name"}
  if name == TRUTH:
    return EncoderConfig(TRUTH)
  known = plugins.load(encoders.__name__, name).Config
  return EncoderConfig(
      name, plugins.configure(known, fields, f"encoder {name!r}")
  )


def check_augment(augment: str) -> None:
  """Raises ValueError for what is none of `AUGMENT`."""
  if augment not in AUGMENT:
    raise UserError(
        "augment must be 'permutation', 'signed' or 'none', got"
        f" {augment!r}"
    )


def make_encoders(
    rnns: Sequence[RNN], spec: TaskSpec, config: EncoderConfig
) -> tuple[Encoder, ...]:
  """An encoder of each shape of networks, all of the same params.

  Args:
    rnns: the shapes of the networks to encode.
    spec: of their tasks.
    config: of the encoder.

  Raises:
    ValueError: an encoder whose params depend on the shape of networks, where
      there are several.
  """
  if config.name == TRUTH:
    return tuple(map(_make_truth, rnns))
  made = tuple(
      encoders.make(config.name, config.fields, rnn, spec) for rnn in rnns
  )
  params = [jax.eval_shape(one.init, make_key(0)) for one in made]
  for rnn, its_params in zip(rnns, params):
    if its_params != params[0]:
      raise UserError(
          f"encoder {config.name!r} cannot encode networks of several shapes,"
          f" {_describe(rnns[0])} and {_describe(rnn)}, as its params depend on"
          " them; encoders that run networks can, such as 'watching'"
      )
  return made


def _describe(rnn):
  return describe([(rnn.spec.cell, rnn.spec.hidden)])


def code_size(rnn: RNN, encoder: Encoder) -> int:
  """The size of an encoder's codes, Z."""
  blank = jax.eval_shape(
      lambda: rnn.unflatten(jnp.zeros(rnn.size, jnp.float32))
  )
  params = jax.eval_shape(encoder.init, make_key(0))
  return jax.eval_shape(encoder.apply, params, blank).shape[-1]


def start_from_inputs(
    encoder: Encoder,
    params: Params,
    zoo: Zoo,
    family: TaskFamily,
    rows: np.ndarray,
    key: Key,
) -> Params:
  """Params of an encoder whose probes start as real inputs, if it has such.

  Args:
    encoder: whose `start_from` defines how.
    params: of the encoder.
    zoo: of the networks.
    family: of their tasks.
    rows: to train on; sequences are drawn from the rollouts of their most
      trained snapshots.
    key: of the draw.
  """
  if encoder.start_from is None:
    return params
  final = zoo.final[rows]
  rows = rows[final] if np.any(final) else rows
  chosen = jax.random.choice(key, rows, (_EXAMPLES,))
  which = jax.random.randint(
      derive(key, "rollouts"), (_EXAMPLES, 1), 0, zoo.spec.rollouts, jnp.int32
  )
  chosen, which = jax.device_get((chosen, which))
  sequences = zoo.rollouts(chosen, which).sequences
  examples = jax.vmap(family.encode, out_axes=1)(
      zoo.columns["task"][chosen], sequences
  )  # [T, n, 1, I]
  return encoder.start_from(params, jnp.swapaxes(examples[:, :, 0], 0, 1))


def observe(
    rnns: Sequence[RNN],
    made: Sequence[Encoder],
    params: Params,
    data: Sequence[Data],
) -> tuple[Data, ...]:
  """Data whose vectors are the features that encoders observe of networks.

  Args:
    rnns: the shapes of networks.
    made: encoders of them; of those that observe nothing, data stay.
    params: of the encoder.
    data: of each shape.
  """

  def of_shape(rnn, encoder, of_shape):
    if encoder.observe is None or not len(of_shape.vectors):
      return of_shape
    observed = jax.jit(
        jax.vmap(lambda v: encoder.observe(params, rnn.unflatten(v)))
    )
    features = batches.map_batches(
        lambda rows: observed(jnp.asarray(of_shape.vectors[rows])),
        len(of_shape.vectors),
        _OBSERVED,
    )
    return of_shape._replace(vectors=features)

  return tuple(map(of_shape, rnns, made, data))


def make_encode(rnn: RNN, encoder: Encoder, augment: str = "none") -> Callable:
  """A function that encodes one network.

  Args:
    rnn: the shape of the network.
    encoder: of such networks.
    augment: in training, for an encoder that is not invariant: one of
      `AUGMENT`.

  Returns:
    (params of the encoder, vector [P], key=None) -> code [Z]. The vector may be
    one of features, [F], see `observe`; a key is given in training.
  """

  def encode(params, vector, key=None):
    noise = None if key is None else derive(key, "encoder")
    if encoder.read and vector.shape[-1] != rnn.size:
      return encoder.read(params, vector, noise)
    weights = rnn.unflatten(vector)
    if key is not None and augment != "none" and not encoder.invariant:
      weights = symmetry.augment(key, rnn, weights, signed=augment == "signed")
    return encoder.apply(params, weights, noise)

  return encode


def view(zoo: Zoo, config: EncoderConfig) -> Zoo:
  """The zoo as an encoder reads it.

  Args:
    zoo: of the networks.
    config: of the encoder.

  Returns:
    The same zoo; for `TRUTH`, one whose vectors are the properties of networks.
  """
  if config.name != TRUTH or isinstance(zoo, _Known):
    return zoo
  return _Known(zoo)


def known_properties(zoo: Zoo) -> np.ndarray:
  """All properties but those of weights, [R, F] float32.

  Classes are one-hot, and numbers are standardised over the zoo: their units
  would decide how much each of them counts.
  """
  family = zoo.family
  scope = properties.Scope(family.spec, tuple(zoo.spec.snapshot_steps))
  known = []
  for name in properties.names():
    property_ = properties.load(name)
    if property_.of_weights is not None:  # the truth is what networks do
      continue
    try:
      shape = property_.shape(scope)
    except ValueError:  # these networks do not have it
      continue
    target = property_.target(zoo.columns, scope)
    if property_.kind == "classification":
      target = np.eye(shape[-1])[target].reshape(len(target), -1)
    else:
      finite = target[np.all(np.isfinite(target), axis=1)]
      scaling = heads.scaling(property_, finite)
      target = heads.standardise(property_, target, *scaling)
    known.append(target)
  return np.nan_to_num(np.concatenate(known, axis=1)).astype(np.float32)


def _make_truth(rnn):
  """Known properties scaled to length 1; `rnn` is of a `_Known` zoo."""
  return Encoder(
      init=lambda key: {},
      apply=lambda params, known, key=None: _modules.unit(rnn.flatten(known)),
      invariant=True,
  )


class _Known:
  """A zoo whose networks are vectors of their properties."""

  def __init__(self, zoo):
    self._zoo, self._properties = zoo, known_properties(zoo)
    size = self._properties.shape[-1]
    self.rnns = tuple(
        rnn._replace(size=size, flatten=_same, unflatten=_same)
        for rnn in zoo.rnns
    )

  def __getattr__(self, name):
    return getattr(self._zoo, name)

  def __len__(self):
    return len(self._zoo)

  def vectors(self, indices):
    return self._properties[np.asarray(indices)]


def _same(vector):
  return vector
