"""Layer-wise statistics: a summary of each gate of each weight tensor.

After Unterthiner et al. (2020), as the paper's mechanistic baseline: mean,
standard deviation and the quantiles 0, 1/4, 1/2, 3/4, 1, read by an MLP.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.encoders import Encoder, Inputs, _modules, _sorting
from weightspace.rnn import GATE, RNN, tree_map_axes
from weightspace.types import Weights

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    hidden: units of each hidden layer of the MLP.
    layers: how many of them.
    code: size of the code, Z.
    symmetry: which symmetry the features respect. "permutation": statistics
      of the weights, as in the paper; a change of a unit's sign changes them.
      "signed": statistics of their absolute values.
  """

  hidden: int = 768
  layers: int = 3
  code: int = 16
  symmetry: str = "permutation"

  def __post_init__(self):
    fields.check_integers(self, "hidden", "layers", "code")
    fields.check_choice("symmetry", self.symmetry, ("permutation", "signed"))


def features(rnn: RNN, weights: Weights, symmetry: str) -> jax.Array:
  """Seven statistics of each gate of each weight tensor.

  Args:
    rnn: the shape of the network.
    weights: of one network.
    symmetry: see `Config`.

  Returns:
    [7 x gates and tensors] float32: for each, mean, standard deviation and
    quantiles.
  """

  def gates_apart(axes, leaf):
    rows = leaf.reshape(leaf.shape[0] if axes[0] == GATE else 1, -1)
    return jnp.abs(rows) if symmetry == "signed" else rows

  tensors = jax.tree.leaves(tree_map_axes(gates_apart, rnn.axes, weights))
  return jnp.concatenate([
      jnp.concatenate([_summary(rows), quantiles], axis=1).ravel()
      for rows, quantiles in zip(tensors, _quantiles(tensors))
  ])


def _summary(rows):
  # The root's derivative is infinite at 0: a constant row must not give NaN
  deviation = jnp.sqrt(jnp.var(rows, axis=1) + 1e-12)
  return jnp.stack([jnp.mean(rows, axis=1), deviation], axis=1)


def _quantiles(tensors):
  """Quantiles of the rows of each tensor; rows of one length at once."""
  by_tensor = [None] * len(tensors)
  lengths = [rows.shape[1] for rows in tensors]
  for length in set(lengths):
    places = [i for i, other in enumerate(lengths) if other == length]
    parts = [tensors[i] for i in places]
    ordered = _sorting.sort(jnp.concatenate(parts))
    quantiles = jnp.stack(
        [_quantile(ordered, length, q) for q in QUANTILES], axis=1
    )
    ends = np.cumsum([len(part) for part in parts])[:-1]
    for i, part in zip(places, jnp.split(quantiles, ends)):
      by_tensor[i] = part
  return by_tensor


def _quantile(ordered, length, q):
  """Between two values it is interpolated, as NumPy does."""
  place = q * (length - 1)
  low, high = math.floor(place), math.ceil(place)
  share = np.float32(place - low)
  return (1 - share) * ordered[:, low] + share * ordered[:, high]


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Features, then an MLP."""
  del inputs  # the weights are read, the network is never run
  mlp = _modules.MLP((config.hidden,) * config.layers + (config.code,))

  def init(key):
    blank = rnn.unflatten(jnp.zeros(rnn.size, jnp.float32))
    return mlp.init(key, features(rnn, blank, config.symmetry))

  def apply(params, weights, key=None):
    del key
    x = features(rnn, weights, config.symmetry)
    return _modules.unit(mlp.apply(params, x))

  return Encoder(
      init=init,
      apply=apply,
      invariant=config.symmetry == "signed",
  )
