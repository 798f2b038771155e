"""Heads: from a code to a property.

A line can name a combination that no training network had, where an MLP
memorises those there were; so there are several forms of a head to choose from:

  mlp      dense layers with ReLU between them: the paper's
  linear   a linear map to numbers, to the logits of classes, or to a point in
           a direction, with another to how sure that is
  ordinal  of ordered classes: a linear map to a place on the line of classes,
           and another to a precision; classes near the place are likelier
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from weightspace.properties import Property, Scope
from weightspace.types import Params

FORMS = ("mlp", "linear", "ordinal")


@dataclass(frozen=True)
class Config:
  """A head.

  Attributes:
    form: one of `FORMS`.
    hidden: units of each hidden layer of an MLP.
    layers: how many hidden layers it has.
  """

  form: str = "mlp"
  hidden: int = 128
  layers: int = 2

  def __post_init__(self):
    check_form(self.form)


class Head(NamedTuple):
  """Functions over codes.

  Attributes:
    init: (key) -> params.
    apply: (params, codes [..., Z]) -> outputs [..., *shape of the property].
    loss: (outputs [..., *shape], targets [..., n]) -> [...]: cross-entropy of
      classes and of proportions, squared error of other numbers, summed over
      the n. Of a direction, outputs are the natural parameters of a von Mises
      distribution: their length says how sure the head is, and networks of
      which nothing can be told do not bend the map of the others.
  """

  init: Callable
  apply: Callable
  loss: Callable


class _Dense(nn.Module):
  sizes: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    for size in self.sizes[:-1]:
      x = nn.relu(nn.Dense(size)(x))
    return nn.Dense(self.sizes[-1])(x)


class _Ordinal(nn.Module):
  """Logits of ordered classes: a Gaussian around a place.

  Place and width are linear in the code, so that networks of which nothing can
  be told, such as untrained ones, get a wide one and do not bend the line.
  """

  shape: tuple[int, int]

  @nn.compact
  def __call__(self, x):
    n, classes = self.shape
    place, width = jnp.split(nn.Dense(2 * n)(x), 2, axis=-1)
    places = jnp.arange(classes, dtype=x.dtype) - (classes - 1) / 2
    place = place[..., None]
    distance = jax.lax.broadcast_to_rank(places, place.ndim) - place
    precision = jax.nn.softplus(width)
    return -0.5 * precision[..., None] * distance**2


class _Direction(nn.Module):
  """Natural parameters of a direction: linear are a point and a precision.

  The direction is that of the point, however far it is from the origin, so a
  line of codes need not be a circle.
  """

  @nn.compact
  def __call__(self, x):
    point, width = jnp.split(nn.Dense(3)(x), (2,), axis=-1)
    kappa = 4 * jax.nn.softplus(width)
    return kappa * point / _length(point)[..., None]


def check_form(form: str) -> None:
  """Refuses what is none of `FORMS`.

  Raises:
    ValueError: it is none.
  """
  if form not in FORMS:
    raise ValueError(f"a head is one of {', '.join(FORMS)}, got {form!r}")


def fits(form: str, property_: Property) -> bool:
  """Whether there are heads of that form for a property."""
  return form != "ordinal" or property_.ordered


def make(
    config: Config, property_: Property, scope: Scope, code: int
) -> Head:
  """A head that predicts a property from codes of size `code`.

  Raises:
    ValueError: an ordinal head of what has no ordered classes.
  """
  shape = property_.shape(scope)
  if not fits(config.form, property_):
    raise ValueError("an ordinal head needs a property with ordered classes")
  if config.form == "ordinal":
    module = _Ordinal(shape)
  elif config.form == "linear" and property_.kind == "direction":
    module = _Direction()
  else:
    layers = config.layers if config.form == "mlp" else 0
    module = _Dense((config.hidden,) * layers + (int(np.prod(shape)),))

  def apply(params, codes):
    return module.apply(params, codes).reshape(*codes.shape[:-1], *shape)

  def loss(outputs, targets):
    if property_.kind == "classification":
      each = optax.softmax_cross_entropy(
          outputs, jax.nn.one_hot(targets, shape[-1])
      )
    elif property_.kind == "proportion":
      each = optax.sigmoid_binary_cross_entropy(outputs, targets)
    elif property_.kind == "direction":
      kappa = _length(outputs)
      log_norm = jnp.log(jax.scipy.special.i0e(kappa)) + kappa
      return log_norm - jnp.sum(outputs * targets, axis=-1)
    else:
      each = (outputs - targets) ** 2
    return jnp.sum(each, axis=-1)

  return Head(lambda key: module.init(key, jnp.zeros(code)), apply, loss)


def read_standardised(
    params: Params, centre: np.ndarray, scale: np.ndarray
) -> Params:
  """Params that make of codes what `params` make of standardised ones.

  Args:
    params: of a head.
    centre: [Z], subtracted from codes.
    scale: [Z], by which they are divided then.
  """
  first = params["params"]["Dense_0"]
  kernel = first["kernel"] / scale[:, None]
  bias = first["bias"] - centre @ kernel
  changed = {**params["params"], "Dense_0": {"kernel": kernel, "bias": bias}}
  return {**params, "params": changed}


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and deviation [n] of rows [R, n], the latter never 0."""
  return values.mean(axis=0), values.std(axis=0) + np.float32(1e-6)


def scaling(
    property_: Property, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """What `standardise` needs of the training rows' targets, [R, n].

  Returns:
    centre and scale [n]: of a regression, moments; else 0 and 1, or empty for
    classifications.
  """
  if property_.kind == "regression":
    return moments(targets)
  n = 0 if property_.kind == "classification" else targets.shape[-1]
  return np.zeros(n, np.float32), np.ones(n, np.float32)


def standardise(
    property_: Property, targets: np.ndarray, centre: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
  """Targets [R, n] as heads are trained on them; see `scaling`, `in_units`."""
  if property_.kind == "regression":
    return (targets - centre) / scale
  return targets


def in_units(
    property_: Property, outputs: np.ndarray, centre: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
  """Outputs in the units of the property's targets; logits of classes stay.

  Args:
    property_: what heads predict.
    outputs: [..., *shape of the property], of heads.
    centre: [n], of the targets that a regression was trained on.
    scale: [n], of these.
  """
  if property_.kind == "regression":
    return outputs * scale + centre
  if property_.kind == "proportion":
    return np.asarray(jax.nn.sigmoid(outputs))
  if property_.kind == "direction":  # the mean of a von Mises distribution
    kappa = _length(jnp.asarray(outputs))[..., None]
    ratio = jax.scipy.special.i1e(kappa) / jax.scipy.special.i0e(kappa)
    return np.asarray(outputs * ratio / kappa)
  return outputs


def _length(vectors):
  return jnp.sqrt(jnp.sum(vectors**2, axis=-1) + 1e-12)
