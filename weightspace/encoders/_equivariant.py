"""Layers equivariant to the symmetry of an RNN, built from names of axes.

A layer is linear, then a nonlinearity. Its linear part adds to each tensor
what can be told from the others, pooled over the axes they do not share. That
goes by way of the axes: everything pooled down to an axis is gathered there,
mixed by one matrix and handed on to every tensor that has it. So the work
grows with the number of tensors, not with that of their pairs.

Two bases:

  paper    a matrix gives its own entries, its means over rows, over columns
           and over both; and receives the same.
  maximal  a matrix whose axes are the same, hidden to hidden, gives its
           transpose and its diagonal too, and receives on the diagonal apart.
           These are all 15 equivariant linear maps of an n x n matrix to
           another (Maron et al., 2019), and so for every pair of tensors.

Signs (`symmetry="signed"`). A change of sign of hidden units multiplies a
tensor, along each hidden axis, by the signs or by nothing: its parity there is
odd or even. Channels are kept apart by parity, one parity for each axis, and
are equivariant if every operation keeps parities right:

  - linear maps join equal parities only, and never pool over an odd axis,
    since what is invariant there and linear is 0;
  - pooling over an odd axis is a product with an odd vector of that axis,
    `mean_j x[i, j] v[j]`: twice odd is even;
  - odd channels are multiplied by gates made of absolute values, and even
    channels receive absolute values of the odd ones at the same place.

Together they see more than absolute values of the weights would: whether two
paths through the network agree in sign.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace import cells
from weightspace.encoders import _modules
from weightspace.rnn import GATE, RNN

BASES = ("paper", "maximal")
SYMMETRIES = ("permutation", "signed")
EVEN, ODD = 0, 1

# A field is the channels of one parity on one set of axes. Its key is a tuple
# of (name of the axis, parity there), its value an array [*axes, channels].
Fields = dict[tuple[tuple[str, int], ...], jax.Array]


def fields(rnn: RNN, weights, *, signed: bool) -> Fields:
  """Weights of one network as fields: gates, and tensors alike, are channels.

  Args:
    rnn: its shape.
    weights: its weights.
    signed: whether parities are told apart; otherwise all count as even.
  """
  cell = cells.load(rnn.spec.cell)
  found = {}

  def add(names, parities, array):
    key = tuple(zip(names, parities))
    found.setdefault(key, []).append(jnp.moveaxis(array, 0, -1))

  odd_gates = cell.odd_gates if signed else ()
  read_parity = ODD if odd_gates else EVEN
  even_gates = [g for g in range(cell.gates) if g not in odd_gates]
  leaves = jax.tree.leaves(weights)
  for axes, leaf in zip(_axes(rnn), leaves):
    gated = axes[0] == GATE
    names = axes[1:] if gated else axes
    read = [read_parity if _is_hidden(name) else EVEN for name in names]
    if gated:
      for parity, gates in ((EVEN, even_gates), (ODD, odd_gates)):
        if gates:
          add(names, [parity, *read[1:]], leaf[jnp.array(gates)])
    else:
      add(names, read, leaf[None])
  return {key: jnp.concatenate(parts, -1) for key, parts in found.items()}


def _axes(rnn):
  return jax.tree.leaves(rnn.axes, is_leaf=lambda x: isinstance(x[0], str))


def _is_hidden(name):
  return name.startswith("h")


class Lift(nn.Module):
  """Channels of the weights -> channels of the layers.

  Input and output units are no symmetry: what unit j of them is connected
  with is multiplied by a learned embedding of j, which tells it from others
  and keeps parities as they are. A tensor whose channels are all odd somewhere
  gets even ones, made of absolute values.
  """

  channels: int

  @nn.compact
  def __call__(self, fields: Fields) -> Fields:
    lifted = {}
    for key, x in fields.items():
      y = nn.Dense(self.channels, use_bias=False)(x)
      for place, (name, _) in enumerate(key):
        if not _is_hidden(name):
          embedding = self.param(
              f"{name}_{len(lifted)}",
              nn.initializers.normal(1.0),
              (x.shape[place], self.channels),
          )
          shape = [1] * y.ndim
          shape[place], shape[-1] = embedding.shape
          y = y * (1 + embedding.reshape(shape))
      lifted[key] = y
    for key in fields:
      even = tuple((name, EVEN) for name, _ in key)
      if even not in lifted:
        lifted[even] = _absolute(lifted, even, self.channels)
    return lifted


class Layer(nn.Module):
  """An equivariant layer; fields keep their keys and get `channels`."""

  channels: int
  basis: str

  @nn.compact
  def __call__(self, fields: Fields) -> Fields:
    linear = jax.lax.optimization_barrier(self._linear(fields))
    out = {key: self._activate(key, linear) for key in fields}
    return jax.lax.optimization_barrier(out)

  def _linear(self, fields):
    """Fields after the linear part of the layer."""
    maximal = self.basis == "maximal"
    pools, scalars = _pool(fields, maximal)
    self._contract(fields, pools)
    wanted = _wanted(fields, maximal)
    received = {}
    for axis, consumers in wanted.items():
      if axis in pools:
        x = jnp.concatenate(pools[axis], axis=-1)
        dense = nn.Dense(len(consumers) * self.channels, use_bias=False)
        parts = jnp.split(dense(x), len(consumers), axis=-1)
        received |= dict(zip(consumers, parts))
    even = [key for key in fields if _all_even(key)]
    diagonal = [
        key for key in fields if maximal and _is_square(key) and _is_even(key)
    ]
    told = nn.Dense((len(even) + len(diagonal)) * self.channels)(
        jnp.concatenate(scalars)
    )
    told = jnp.split(told, len(even) + len(diagonal))
    scalar = dict(zip(even, told))
    on_diagonal = dict(zip(diagonal, told[len(even) :]))
    return {
        key: self._receive(
            key, x, received, scalar.get(key), on_diagonal.get(key)
        )
        for key, x in fields.items()
    }

  def _receive(self, key, x, received, scalar, on_diagonal):
    """What the field `key` is after the linear part."""
    y = 0.0 if scalar is None else jax.lax.broadcast_to_rank(scalar, x.ndim)
    if len(key) == 1:
      return y + received[key, "own"]
    own = [x]
    if self.basis == "maximal" and key == key[::-1]:
      own.append(x.swapaxes(0, 1))
    y += nn.Dense(self.channels, use_bias=False)(jnp.concatenate(own, -1))
    if (key, "rows") in received:
      y += received[key, "rows"][:, None]
    if (key, "columns") in received:
      y += received[key, "columns"][None]
    if (key, "diagonal") in received:
      diagonal = received[key, "diagonal"]
      if on_diagonal is not None:
        diagonal += on_diagonal[None]
      y += jnp.eye(x.shape[0])[..., None] * diagonal[None]
    return y

  def _contract(self, fields, pools):
    """Pools matrices over odd axes, by products with odd vectors of these."""
    vectors = {}
    for axis, parts in list(pools.items()):
      if axis[1] == ODD:
        x = jnp.concatenate(parts, axis=-1)
        vectors[axis] = nn.Dense(self.channels, use_bias=False)(x)
    for key, x in fields.items():
      if len(key) == 2:
        for kept, pooled in (0, 1), (1, 0):
          if key[pooled] in vectors:
            v = jnp.expand_dims(vectors[key[pooled]], kept)
            pools.setdefault(key[kept], []).append(jnp.mean(x * v, pooled))

  def _activate(self, key, fields):
    x = fields[key]
    if not _all_even(key):
      return x * nn.sigmoid(nn.Dense(self.channels)(jnp.abs(x)))
    return nn.relu(x + _absolute(fields, key, self.channels))


def _absolute(fields, even, channels):
  """Even channels made of absolute values of all fields on the same axes.

  Called inside a module; 0 where there are no odd fields.
  """
  names = [name for name, _ in even]
  odd = [
      jnp.abs(x)
      for key, x in fields.items()
      if key != even and [name for name, _ in key] == names
  ]
  if not odd:
    return 0.0
  return nn.Dense(channels, use_bias=False)(jnp.concatenate(odd, axis=-1))


def _pool(fields, maximal):
  """What fields look like from an axis, and from nowhere.

  Args:
    fields: to look at.
    maximal: whether diagonals are looked at.

  Returns:
    {(axis, parity): [n, C] arrays} and a list of [C] arrays.
  """
  pools, scalars = {}, []

  def add(axis, x):
    pools.setdefault(axis, []).append(x)

  for key, x in fields.items():
    if len(key) == 1:
      add(key[0], x)
    else:
      row, column = key
      if column[1] == EVEN:
        add(row, jnp.mean(x, axis=1))
      if row[1] == EVEN:
        add(column, jnp.mean(x, axis=0))
      if maximal and _is_square(key):
        diagonal = jnp.diagonal(x).T
        add(_diagonal_axis(key), diagonal)
        if _is_even(key):
          scalars.append(jnp.mean(diagonal, axis=0))
    if _all_even(key):
      scalars.append(jnp.mean(x, axis=tuple(range(len(key)))))
  return pools, scalars


def _wanted(fields, maximal):
  """{(axis, parity): [(key of a field, how it receives), ...]}."""
  wanted = {}

  def add(axis, key, how):
    wanted.setdefault(axis, []).append((key, how))

  for key in fields:
    if len(key) == 1:
      add(key[0], key, "own")
      continue
    row, column = key
    if column[1] == EVEN:
      add(row, key, "rows")
    if row[1] == EVEN:
      add(column, key, "columns")
    if maximal and _is_square(key):
      add(_diagonal_axis(key), key, "diagonal")
  return wanted


def _all_even(key):
  return all(parity == EVEN for _, parity in key)


def _is_square(key):
  return len(key) == 2 and key[0][0] == key[1][0]


def _is_even(key):
  """Whether the signs of a square field cancel on its diagonal."""
  return sum(parity for _, parity in key) % 2 == 0


def _diagonal_axis(key):
  return key[0][0], EVEN if _is_even(key) else ODD


class Network(nn.Module):
  """Fields -> code: equivariant layers, means of what is even, an MLP.

  Attributes:
    channels: of each tensor and parity.
    layers: equivariant ones.
    hidden: units of the hidden layer of the MLP.
    basis: one of `BASES`.
    code: size of the code, Z.
  """

  channels: int
  layers: int
  hidden: int
  basis: str
  code: int

  @nn.compact
  def __call__(self, fields):
    fields = Lift(self.channels)(fields)
    for _ in range(self.layers):
      fields = Layer(self.channels, self.basis)(fields)
    even = {key: x for key, x in fields.items() if _all_even(key)}
    _, scalars = _pool(even, self.basis == "maximal")
    mlp = _modules.MLP((self.hidden, self.code))
    return mlp(jnp.concatenate(scalars))
