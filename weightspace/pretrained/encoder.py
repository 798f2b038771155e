"""A pretrained encoder, applied to networks from anywhere."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells, encoders, properties, settings, tasks
from weightspace.encoders import Encoder, Transcript
from weightspace.errors import UserError
from weightspace.interop import leaves, tensors
from weightspace.pretrained.ensembles import Ensemble, Prediction
from weightspace.pretrained.reference import Neighbour, Reference
from weightspace.rnn import RNN, RNNSpec, describe, make_rnn
from weightspace.tasks import TaskSpec
from weightspace.types import Params, Weights
from weightspace.zoo import ZooSpec

_BATCH = 256  # networks that are encoded at the same time


class Examination(NamedTuple):
  """What an encoder computes about one network.

  Attributes:
    shape: of the network.
    code: [Z] float32.
    outside: a note where the network's cell, depth or widths are out of the
      range of the zoo's; else None.
    farther_than: share of the zoo's networks that are nearer to another
      network of the zoo than this one is to its nearest. It is close to 1 for
      a network unlike all of them, None without a reference table.
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
    config: of its training, JSON values; "encoder" holds its name and fields.
    params: of the encoder.
    zoo: the zoo it was trained on.
    tasks: the TaskSpec of that zoo.
    ensembles: heads of the properties that can be predicted.
    reference: networks of the zoo and their codes.
    about: JSON values: how it was made and its metrics.
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
      rnn: its shape; by default inferred from the weights.

    Raises:
      ValueError: it does not fit the encoder, naming the sizes; its weights
        are not what its shape says, or not finite.
    """
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], weights)
    return self.embed_batch(batch, rnn)[0]

  @settings.pinned()
  def embed_batch(
      self, weights: Weights, rnn: RNN | None = None
  ) -> np.ndarray:
    """Codes [N, Z] of networks of one shape.

    Args:
      weights: of the networks, every leaf with a leading axis N.
      rnn: their shape; by default inferred from the weights.

    Raises:
      ValueError: as of `embed`.
    """
    rnn = rnn or make_rnn(self.shape_of(weights))
    encode = self._functions(rnn.spec).apply
    return np.asarray(encode(self.params, _checked(rnn, weights)))

  @settings.pinned()
  def transcript(
      self, weights: Weights, rnn: RNN | None = None
  ) -> Transcript:
    """The probes that the encoder feeds a network, and its outputs.

    Args:
      weights: of one network.
      rnn: its shape; by default inferred from the weights.

    Raises:
      ValueError: the encoder does not interrogate; or as of `embed`.
    """
    rnn = rnn or make_rnn(self.shape_of(weights))
    transcribe = self._functions(rnn.spec).transcript
    if transcribe is None:
      raise UserError(
          f"encoder {self.config['encoder']['name']!r} reads weights and probes"
          " nothing: there is no transcript"
      )
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], weights)
    batch = _checked(rnn, batch)
    return transcribe(self.params, jax.tree.map(lambda leaf: leaf[0], batch))

  @settings.pinned()
  def examine(
      self, weights: Weights, rnn: RNN | None = None, *, neighbours: int = 5
  ) -> Examination:
    """Code, predictions and neighbours; arguments as of `embed`."""
    rnn = rnn or make_rnn(self.shape_of(weights))
    code = self.embed(weights, rnn)
    nearest = self.nearest(code, max(1, neighbours))
    farther = None
    if nearest and len(self._nearest_distances):
      farther = float(np.mean(self._nearest_distances < nearest[0].distance))
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
    heads = next((e for e in self.ensembles if e.property == "task"), None)
    if heads is None:
      return None, None
    prediction = heads.predict(self.scope, code)
    family = tasks.make(self.zoo.family, self.zoo.family_config)
    each = heads.outputs(self.scope, jnp.asarray(code)[None])[:, 0]
    likeliest = prediction.probabilities.argmax(axis=-1)[None, :, None]
    of_all = np.take_along_axis(each, likeliest, axis=-1).prod(axis=(1, 2))
    return family.describe(prediction.value), float(of_all.mean())

  @settings.pinned()
  def predict(self, code: Any) -> tuple[Prediction, ...]:
    """The properties of a network by its code [Z]."""
    code = np.asarray(code, np.float32)
    return tuple(
        ensemble.predict(self.scope, code) for ensemble in self.ensembles
    )

  @settings.pinned()
  def nearest(self, code: Any, count: int = 5) -> tuple[Neighbour, ...]:
    """The zoo's networks with the nearest codes; none without a table."""
    if self.reference is None:
      return ()
    return self.reference.nearest(code, self.zoo.rnns, count)

  @property
  def scope(self) -> properties.Scope:
    """The zoo's constants that properties depend on."""
    return properties.Scope(self.tasks, self.zoo.snapshot_steps)

  @settings.pinned()
  def outside(self, shape: RNNSpec) -> str | None:
    """A note where a shape is out of the range of the zoo's; else None.

    The range is of cells, of depths and of widths.

    Raises:
      ValueError: networks of that shape cannot be encoded.
    """
    self.encoder_of(shape)
    known = self.zoo.rnns
    depths = [len(one.hidden) for one in known]
    widths = [width for one in known for width in one.hidden]
    if (
        shape.cell in {one.cell for one in known}
        and min(depths) <= len(shape.hidden) <= max(depths)
        and min(widths) <= min(shape.hidden)
        and max(shape.hidden) <= max(widths)
    ):
      return None
    return (
        "outside of what it was trained on: this network is"
        f" {describe_shapes(shape)}, those of its zoo {describe_shapes(*known)}"
    )

  def encoder_of(self, shape: RNNSpec) -> Encoder:
    """The functions that encode networks of one shape.

    Raises:
      ValueError: its inputs or outputs are not the zoo's; or the encoder reads
        weights, and has params for the zoo's shapes only.
    """
    known = self.zoo.rnns
    if (shape.inputs, shape.outputs) != (known[0].inputs, known[0].outputs):
      raise UserError(
          f"the network has {shape.inputs} inputs and {shape.outputs} outputs,"
          f" the encoder is of networks with {known[0].inputs} inputs and"
          f" {known[0].outputs} outputs"
      )
    fields = dict(self.config["encoder"])
    name = fields.pop("name")
    encoder = encoders.make(name, fields, make_rnn(shape), self.tasks)
    if shape not in known and encoder.transcript is None:
      raise UserError(
          f"encoder {name!r} reads weights, and only those of networks of the"
          f" shape it was trained on: {describe_shapes(*known)}; this one is"
          f" {describe_shapes(shape)}"
      )
    return encoder

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
      raise UserError(
          "expected the weights of a network, a weightspace.types.Weights, got"
          f" {type(weights).__name__}"
      ) from error
    fit = [name for name in cells.names() if cells.load(name).gates == gates]
    fit = [r.cell for r in self.zoo.rnns if r.cell in fit] or fit
    if len(set(fit)) != 1:
      raise UserError(
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
  def _nearest_distances(self):
    return self.reference.nearest_distances()


def describe_shapes(*shapes: RNNSpec) -> str:
  """Shapes in words, see `weightspace.rnn.describe`."""
  return describe([(shape.cell, shape.hidden) for shape in shapes])


def _checked(rnn, weights):
  """Weights [N, ...] as float32, of the right shapes and finite."""
  size = np.shape(getattr(getattr(weights, "readout", None), "b", None))[:1]
  result = leaves.checked(rnn, weights, batch=size)
  for name, leaf in tensors.named(result).items():
    if not np.isfinite(leaf).all():
      raise UserError(f"{name} is not finite: a network that diverged?")
  return jax.tree.map(jnp.asarray, result)
