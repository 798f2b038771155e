"""Ensembles of heads of one property, whose disagreement is the uncertainty.

Each head starts from other initial params and sees its own bootstrap of the
training tasks. Where heads agree, the code determines the property.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import heads, properties
from weightspace.types import Params


class Prediction(NamedTuple):
  """The prediction of n numbers or classifications of one network.

  Attributes:
    name: of the property.
    labels: names of the n.
    value: [n], the heads' mean, or the likeliest class; of a direction, the
      degrees of the mean, n = 1.
    spread: [n]. Of a regression, the heads' standard deviation, widened to the
      size of their errors on validation tasks. Of a class, the standard
      deviation of its probability between heads.
    classes: what each of the C classes stands for, integers or strings; empty
      for a regression.
    probabilities: [n, C], the heads' mean; None for a regression.
  """

  name: str
  labels: tuple[str, ...]
  value: np.ndarray
  spread: np.ndarray
  classes: tuple[int | str, ...] = ()
  probabilities: np.ndarray | None = None


class Ensemble(NamedTuple):
  """Heads of one property.

  Attributes:
    property: its name, see `weightspace.properties.load`.
    config: of the heads.
    params: with a leading axis of M heads.
    centre: [M, n] float32, added to scaled outputs of regressions.
    scale: [M, n] float32, factor on the outputs. Both are [M, 0] for
      classifications.
    widening: [n] float32, factor on the heads' standard deviation; [0] for
      classifications.
    metrics: JSON values, {part of the split: {name: estimate}}.
  """

  property: str
  config: heads.Config
  params: Params
  centre: np.ndarray
  scale: np.ndarray
  widening: np.ndarray
  metrics: dict[str, Any] = {}  # noqa: RUF012 (never changed)

  @property
  def members(self) -> int:
    """How many heads, M."""
    return len(self.centre)

  def outputs(self, scope: properties.Scope, codes: jax.Array) -> np.ndarray:
    """The outputs of each head, [M, N, *shape of the property].

    Args:
      scope: of the zoo.
      codes: [N, Z].

    Returns:
      Numbers in their own units, or probabilities of classes.
    """
    property_ = properties.load(self.property, scope)
    head = heads.make(self.config, property_, scope, codes.shape[-1])
    outputs = jax.vmap(head.apply, (0, None))(self.params, codes)
    if property_.kind == "classification":
      return np.asarray(jax.nn.softmax(outputs))
    return heads.in_units(
        property_,
        np.asarray(outputs),
        self.centre[:, None],
        self.scale[:, None],
    )

  def predict(self, scope: properties.Scope, code: jax.Array) -> Prediction:
    """The heads' prediction from one network's code [Z]."""
    labels, classes = properties.labels(self.property, scope)
    outputs = self.outputs(scope, jnp.asarray(code)[None])[:, 0]
    mean, deviation = outputs.mean(axis=0), outputs.std(axis=0, ddof=1)
    if properties.load(self.property, scope).kind == "direction":
      name = self.property.removeprefix(properties.COLUMN).partition(":")[0]
      return Prediction(
          self.property,
          (f"{name}, degrees",),
          properties.degrees(mean[None]),
          _spread_in_degrees(mean, self.widening * deviation)[None],
      )
    if not classes:
      return Prediction(
          self.property, labels, mean, self.widening * deviation
      )
    likeliest = mean.argmax(axis=-1)
    return Prediction(
        self.property,
        labels,
        np.asarray(classes)[likeliest],
        np.take_along_axis(deviation, likeliest[:, None], axis=1)[:, 0],
        classes,
        mean,
    )


def _spread_in_degrees(mean, deviation):
  """The deviation [2] of a direction [2] across it, as an angle."""
  length = max(np.hypot(*mean), np.finfo(np.float32).tiny)
  across = np.hypot(mean[1] * deviation[0], mean[0] * deviation[1]) / length
  return np.rad2deg(np.arctan2(across, length))
