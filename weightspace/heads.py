"""Heads: predictors of a property from a code.

Linear heads can extrapolate to combinations of labels that no training network
has, where MLPs may memorise those of training. Hence several forms:

  mlp      an MLP with ReLU, as in the paper
  linear   a linear map to numbers or logits; for directions, linear maps to a
           point in the plane and to a concentration
  ordinal  for ordered classes: linear maps to the location and the precision
           of a Gaussian over class indices
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from weightspace import fields
from weightspace.errors import UserError
from weightspace.properties import Property, Scope
from weightspace.types import Params

FORMS = ("mlp", "linear", "ordinal")


@dataclass(frozen=True)
class Config:
  """The form and size of a head.

  Attributes:
    form: one of `FORMS`.
    hidden: units of each hidden layer of an MLP.
    layers: hidden layers of an MLP.
  """

  form: str = "mlp"
  hidden: int = 128
  layers: int = 2

  def __post_init__(self):
    check_form(self.form)
    fields.check_integers(self, "hidden")
    fields.check_integers(self, "layers", least=0)


class Head(NamedTuple):
  """Functions over codes.

  Attributes:
    init: (key) -> params.
    apply: (params, codes [..., Z]) -> outputs [..., *shape of the property].
    loss: (outputs [..., *shape], targets [..., n]) -> [...], summed over n:
      cross-entropy for classes and proportions, squared error for other
      numbers. For a direction, outputs are the natural parameters of a von
      Mises distribution and the loss is its negative log-likelihood; the
      outputs' length is the concentration, so unpredictable networks have
      small gradients.
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
  """Logits of ordered classes, from a Gaussian over class indices.

  The precision depends on the code too, so unpredictable networks, such as
  untrained ones, get a low precision and small gradients.
  """

  shape: tuple[int, int]

  @nn.compact
  def __call__(self, x):
    n, classes = self.shape
    location, precision = jnp.split(nn.Dense(2 * n)(x), 2, axis=-1)
    indices = jnp.arange(classes, dtype=x.dtype) - (classes - 1) / 2
    location = location[..., None]
    distance = jax.lax.broadcast_to_rank(indices, location.ndim) - location
    precision = jax.nn.softplus(precision)
    return -0.5 * precision[..., None] * distance**2


class _Direction(nn.Module):
  """Natural parameters of a von Mises distribution over directions.

  Linear maps give a point, whose direction is the mean, and a concentration.
  """

  @nn.compact
  def __call__(self, x):
    point, kappa = jnp.split(nn.Dense(3)(x), (2,), axis=-1)
    kappa = 4 * jax.nn.softplus(kappa)
    return kappa * point / _norm(point)[..., None]


def check_form(form: str) -> None:
  """Checks that a form is one of `FORMS`.

  Raises:
    ValueError: there is no such form.
  """
  if form not in FORMS:
    raise UserError(
        f"the form of a head must be one of {', '.join(FORMS)}, got {form!r}"
    )


def fits(form: str, property_: Property) -> bool:
  """Whether heads of that form can predict a property."""
  return form != "ordinal" or property_.ordered


def make(
    config: Config, property_: Property, scope: Scope, code: int
) -> Head:
  """A head that predicts a property from codes of size `code`.

  Raises:
    ValueError: an ordinal head of a property without ordered classes.
  """
  shape = property_.shape(scope)
  if not fits(config.form, property_):
    raise UserError("an ordinal head needs a property with ordered classes")
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
          outputs, jax.nn.one_hot(targets, shape[-1], dtype=jnp.float32)
      )
    elif property_.kind == "proportion":
      each = optax.sigmoid_binary_cross_entropy(outputs, targets)
    elif property_.kind == "direction":
      kappa = _norm(outputs)
      log_norm = jnp.log(jax.scipy.special.i0e(kappa)) + kappa
      return log_norm - jnp.sum(outputs * targets, axis=-1)
    else:
      each = (outputs - targets) ** 2
    return jnp.sum(each, axis=-1)

  def init(key):
    return module.init(key, jnp.zeros(code, jnp.float32))

  return Head(init, apply, loss)


def fold_standardisation(
    params: Params, centre: np.ndarray, scale: np.ndarray
) -> Params:
  """Folds the standardisation of codes into a head's first layer.

  Args:
    params: of a head of standardised codes, (codes - centre) / scale.
    centre: [Z] mean of the codes.
    scale: [Z] standard deviation of the codes.

  Returns:
    Params of an equal head of unstandardised codes.
  """
  first = params["params"]["Dense_0"]
  kernel = first["kernel"] / scale[:, None]
  bias = first["bias"] - centre @ kernel
  folded = {**params["params"], "Dense_0": {"kernel": kernel, "bias": bias}}
  return {**params, "params": folded}


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation, plus a small constant, of values [R, n]."""
  return values.mean(axis=0), values.std(axis=0) + np.float32(1e-6)


def scaling(
    property_: Property, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Parameters of `standardise`, from training targets [R, n].

  Returns:
    centre and scale [n]: `moments` for a regression, 0 and 1 for proportions
    and directions, empty for classifications.
  """
  if property_.kind == "regression":
    return moments(targets)
  n = 0 if property_.kind == "classification" else targets.shape[-1]
  return np.zeros(n, np.float32), np.ones(n, np.float32)


def standardise(
    property_: Property, targets: np.ndarray, centre: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
  """Standardises targets [R, n] of a regression; see `scaling`, `in_units`."""
  if property_.kind == "regression":
    return (targets - centre) / scale
  return targets


def in_units(
    property_: Property, outputs: np.ndarray, centre: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
  """Converts outputs to the units of the property's targets.

  Logits of classes are not changed.

  Args:
    property_: the property that the head predicts.
    outputs: [..., *shape of the property], of a head.
    centre: [n] mean of the training targets of a regression.
    scale: [n] their standard deviation.
  """
  if property_.kind == "regression":
    return outputs * scale + centre
  if property_.kind == "proportion":
    return np.asarray(jax.nn.sigmoid(outputs))
  if property_.kind == "direction":  # the mean of a von Mises distribution
    kappa = _norm(jnp.asarray(outputs))[..., None]
    ratio = jax.scipy.special.i1e(kappa) / jax.scipy.special.i0e(kappa)
    return np.asarray(outputs * ratio / kappa)
  return outputs


def _norm(vectors):
  return jnp.sqrt(jnp.sum(vectors**2, axis=-1) + 1e-12)
