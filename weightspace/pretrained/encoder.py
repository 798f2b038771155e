"""An encoder and what is needed to use it on networks of anybody."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells, encoders, properties, tasks
from weightspace.encoders import Encoder, Transcript
from weightspace.interop import tensors
from weightspace.pretrained.ensembles import Ensemble, Prediction
from weightspace.pretrained.reference import Neighbour, Reference
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.tasks import TaskSpec
from weightspace.types import Params, Weights
from weightspace.zoo import ZooSpec

_BATCH = 256  # networks that are encoded at the same time


class Examination(NamedTuple):
  """What an encoder finds about one network.

  Attributes:
    shape: of the network.
    code: [Z] float32.
    outside: why it is outside of what the encoder was trained on, in words;
      None where it is of a shape that the zoo has.
    farther_than: share of the zoo's networks that are nearer to another
      network of the zoo than this one is to its nearest; close to 1 for one
      that is like none of them. None without a table of them.
    predictions: of each property.
    nearest: networks of the zoo, nearest first.
    task: the predicted task in words; None where heads predict none.
    task_probability: the heads' mean of the probability that all numbers of
      that task are right.
  """

  shape: RNNSpec
  code: np.ndarray
  outside: str | None
  farther_than: float | None
  predictions: tuple[Prediction, ...]
  nearest: tuple[Neighbour, ...]
  task: str | None = None
  task_probability: float | None = None


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
  """A trained encoder.

  Attributes:
    config: what it was trained with, JSON values; "encoder" holds its name and
      fields.
    params: of the encoder.
    zoo: the zoo it was trained on.
    tasks: what that zoo's networks do.
    ensembles: heads of the properties that can be predicted.
    reference: networks of the zoo and their codes.
    about: JSON values: how it was made and how good it is.
  """

  config: dict[str, Any]
  params: Params
  zoo: ZooSpec
  tasks: TaskSpec
  ensembles: tuple[Ensemble, ...] = ()
  reference: Reference | None = None
  about: dict[str, Any] = field(default_factory=dict)

  def embed(self, weights: Weights, rnn: RNN | None = None) -> np.ndarray:
    """The code [Z] float32 of a network, of length 1.

    Args:
      weights: of the network.
      rnn: its shape; by default told from the weights.

    Raises:
      ValueError: it does not fit the encoder, naming the sizes; its weights
        are not what its shape says, or not finite.
    """
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], weights)
    return self.embed_batch(batch, rnn)[0]

  def embed_batch(
      self, weights: Weights, rnn: RNN | None = None
  ) -> np.ndarray:
    """Codes [N, Z] of networks of one shape.

    Args:
      weights: of the networks, every leaf with a leading axis N.
      rnn: their shape; by default told from the weights.

    Raises:
      ValueError: as of `embed`.
    """
    rnn = rnn or make_rnn(self.shape_of(weights))
    encode = self._functions(rnn.spec).apply
    return np.asarray(encode(self.params, _checked(rnn, weights)))

  def transcript(
      self, weights: Weights, rnn: RNN | None = None
  ) -> Transcript:
    """What the encoder asks a network and what it answers.

    Args:
      weights: of one network.
      rnn: its shape; by default told from the weights.

    Raises:
      ValueError: the encoder does not interrogate; or as of `embed`.
    """
    rnn = rnn or make_rnn(self.shape_of(weights))
    found = self._functions(rnn.spec).transcript
    if found is None:
      raise ValueError(
          f"encoder {self.config['encoder']['name']!r} reads weights and asks"
          " nothing: there is no transcript"
      )
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], weights)
    batch = _checked(rnn, batch)
    return found(self.params, jax.tree.map(lambda leaf: leaf[0], batch))

  def examine(
      self, weights: Weights, rnn: RNN | None = None, *, neighbours: int = 5
  ) -> Examination:
    """All that can be said of a network; arguments as of `embed`."""
    rnn = rnn or make_rnn(self.shape_of(weights))
    code = self.embed(weights, rnn)
    nearest = self.nearest(code, max(1, neighbours))
    farther = None
    if nearest and len(self._loneliness):
      farther = float(np.mean(self._loneliness < nearest[0].distance))
    return Examination(
        rnn.spec,
        code,
        self.outside(rnn.spec),
        farther,
        self.predict(code),
        nearest[:neighbours],
        *self._task(code),
    )

  def _task(self, code):
    """The likeliest task in words, and how likely it is."""
    found = [e for e in self.ensembles if e.property == "task"]
    if not found:
      return None, None
    prediction = found[0].predict(self.scope, code)
    family = tasks.make(self.zoo.family, self.zoo.family_config)
    each = found[0].outputs(self.scope, jnp.asarray(code)[None])[:, 0]
    likeliest = prediction.probabilities.argmax(axis=-1)[None, :, None]
    of_all = np.take_along_axis(each, likeliest, axis=-1).prod(axis=(1, 2))
    return family.describe(prediction.value), float(of_all.mean())

  def predict(self, code: Any) -> tuple[Prediction, ...]:
    """The properties of a network by its code [Z]."""
    return tuple(
        ensemble.predict(self.scope, code) for ensemble in self.ensembles
    )

  def nearest(self, code: Any, count: int = 5) -> tuple[Neighbour, ...]:
    """The zoo's networks with the nearest codes; none without a table."""
    if self.reference is None:
      return ()
    return self.reference.nearest(code, self.zoo.rnns, count)

  @property
  def scope(self) -> properties.Scope:
    """What properties must know of the zoo."""
    return properties.Scope(self.tasks, self.zoo.snapshot_steps)

  def outside(self, shape: RNNSpec) -> str | None:
    """Why a shape is outside of what it was trained on; None where it isn't.

    Raises:
      ValueError: networks of that shape cannot be encoded.
    """
    self.encoder_of(shape)
    if shape in self.zoo.rnns:
      return None
    return (
        "outside of what it was trained on: this network is"
        f" {show(shape)}, those of its zoo {_shown(self.zoo.rnns)}"
    )

  def encoder_of(self, shape: RNNSpec) -> Encoder:
    """The functions that encode networks of one shape.

    Raises:
      ValueError: its inputs or outputs are not the zoo's; or the encoder reads
        weights, and has params for the zoo's shapes only.
    """
    known = self.zoo.rnns
    if (shape.inputs, shape.outputs) != (known[0].inputs, known[0].outputs):
      raise ValueError(
          f"the network has {shape.inputs} inputs and {shape.outputs} outputs,"
          f" the encoder is of networks with {known[0].inputs} inputs and"
          f" {known[0].outputs} outputs"
      )
    fields = dict(self.config["encoder"])
    name = fields.pop("name")
    found = encoders.make(name, fields, make_rnn(shape), self.tasks)
    if shape not in known and found.transcript is None:
      raise ValueError(
          f"encoder {name!r} reads weights, and only those of networks of the"
          f" shape it was trained on: {_shown(known)}; this one is"
          f" {show(shape)}"
      )
    return found

  def shape_of(self, weights: Weights) -> RNNSpec:
    """The shape of networks by their weights, of one or, batched, of many.

    Raises:
      ValueError: no weights of a network; or several cells have that many
        gates, and none of them is the zoo's.
    """
    try:
      first, last = weights.layers[0], weights.readout
      gates = np.shape(first.wh)[-3]
      hidden = tuple(np.shape(layer.wh)[-1] for layer in weights.layers)
      sizes = np.shape(first.wx)[-1], np.shape(last.w)[-2]
    except (AttributeError, IndexError, TypeError) as error:
      raise ValueError(
          "expected the weights of a network, a weightspace.types.Weights, got"
          f" {type(weights).__name__}"
      ) from error
    fit = [name for name in cells.names() if cells.load(name).gates == gates]
    fit = [r.cell for r in self.zoo.rnns if r.cell in fit] or fit
    if len(set(fit)) != 1:
      raise ValueError(
          f"weights with {gates} gates are of"
          f" {' or '.join(fit) or 'no cell that is known'}; pass rnn too"
      )
    return RNNSpec(fit[0], hidden, *sizes)

  def _functions(self, shape):
    """`encoder_of`, compiled: of a batch, and of one network."""
    if shape not in self._compiled:
      encoder = self.encoder_of(shape)

      def apply(params, weights):
        return jax.lax.map(
            lambda one: encoder.apply(params, one), weights, batch_size=_BATCH
        )

      transcript = encoder.transcript and jax.jit(encoder.transcript)
      self._compiled[shape] = encoder._replace(
          apply=jax.jit(apply), transcript=transcript
      )
    return self._compiled[shape]

  @functools.cached_property
  def _compiled(self):
    return {}

  @functools.cached_property
  def _loneliness(self):
    return self.reference.loneliness()


def show(shape: RNNSpec) -> str:
  """A shape in words: "lstm of 32, 32 units"."""
  return f"{shape.cell} of {', '.join(map(str, shape.hidden))} units"


def _shown(shapes):
  return " and ".join(map(show, shapes))


def _checked(rnn, weights):
  """Weights [N, ...] as float32, of the right shapes and finite."""
  blank = jax.eval_shape(lambda: rnn.unflatten(jnp.zeros(rnn.size)))
  if jax.tree.structure(weights) != jax.tree.structure(blank):
    raise ValueError(
        f"expected the weights of a network of {show(rnn.spec)}, got"
        f" {len(getattr(weights, 'layers', ()))} layers in a"
        f" {type(weights).__name__}"
    )
  found = []
  leaves = tensors.named(weights)
  size = np.shape(weights.readout.b)[:1]
  for (name, leaf), expected in zip(leaves.items(), jax.tree.leaves(blank)):
    leaf = tensors.float32(name, leaf)
    if leaf.shape != (*size, *expected.shape):
      raise ValueError(
          f"{name} has shape {leaf.shape[1:]}, expected {expected.shape} of"
          f" {show(rnn.spec)} with {rnn.spec.inputs} inputs and"
          f" {rnn.spec.outputs} outputs"
      )
    if not np.isfinite(leaf).all():
      raise ValueError(f"{name} is not finite: a network that diverged?")
    found.append(jnp.asarray(leaf))
  return jax.tree.unflatten(jax.tree.structure(blank), found)
