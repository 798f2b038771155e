"""The weights of an RNN as fields: arrays whose axes have a name and a parity.

A field is the channels of one parity on one set of axes. Its key is a tuple of
(name of the axis, parity there), its value an array `[*axes, channels]`. A
parity is `ODD` where a change of a hidden unit's sign changes the sign of the
array, else `EVEN`; see `_equivariant`.
"""

import jax
import jax.numpy as jnp

from weightspace import cells
from weightspace.rnn import GATE, RNN

EVEN, ODD = 0, 1
Fields = dict[tuple[tuple[str, int], ...], jax.Array]


def fields(rnn: RNN, weights, *, signed: bool) -> Fields:
  """Weights of one network as fields: gates, and tensors alike, are channels.

  Args:
    rnn: its shape.
    weights: its weights.
    signed: whether parities are distinguished; otherwise all are even.
  """
  cell = cells.load(rnn.spec.cell)
  parts = {}

  def add(names, parities, array):
    key = tuple(zip(names, parities))
    parts.setdefault(key, []).append(jnp.moveaxis(array, 0, -1))

  odd_gates = cell.odd_gates if signed else ()
  read_parity = ODD if odd_gates else EVEN
  even_gates = [g for g in range(cell.gates) if g not in odd_gates]
  leaves = jax.tree.leaves(weights)
  for axes, leaf in zip(_axes(rnn), leaves):
    gated = axes[0] == GATE
    names = axes[1:] if gated else axes
    read = [read_parity if is_hidden(name) else EVEN for name in names]
    if gated:
      for parity, gates in ((EVEN, even_gates), (ODD, odd_gates)):
        if gates:
          add(names, [parity, *read[1:]], leaf[jnp.array(gates)])
    else:
      add(names, read, leaf[None])
  return {key: jnp.concatenate(arrays, -1) for key, arrays in parts.items()}


def _axes(rnn):
  return jax.tree.leaves(rnn.axes, is_leaf=lambda x: isinstance(x[0], str))


def is_hidden(name):
  """Whether an axis is one of hidden units."""
  return name.startswith("h")


def pool(fields, maximal):
  """Means of fields over all axes but one, and over all axes.

  Args:
    fields: to pool.
    maximal: whether diagonals are pooled too.

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
      if maximal and is_square(key):
        diagonal = jnp.diagonal(x).T
        add(diagonal_axis(key), diagonal)
        if is_even(key):
          scalars.append(jnp.mean(diagonal, axis=0))
    if all_even(key):
      scalars.append(jnp.mean(x, axis=tuple(range(len(key)))))
  return pools, scalars


def receivers(fields, maximal):
  """Which fields receive something from each axis, and how.

  Returns:
    {(axis, parity): [(key of a field, "own", "rows", "columns" or
    "diagonal"), ...]}.
  """
  receivers = {}

  def add(axis, key, how):
    receivers.setdefault(axis, []).append((key, how))

  for key in fields:
    if len(key) == 1:
      add(key[0], key, "own")
      continue
    row, column = key
    if column[1] == EVEN:
      add(row, key, "rows")
    if row[1] == EVEN:
      add(column, key, "columns")
    if maximal and is_square(key):
      add(diagonal_axis(key), key, "diagonal")
  return receivers


def all_even(key):
  """Whether all axes of a field are even."""
  return all(parity == EVEN for _, parity in key)


def is_square(key):
  """Whether a field is a matrix from an axis to itself."""
  return len(key) == 2 and key[0][0] == key[1][0]


def is_even(key):
  """Whether the signs of a square field cancel on its diagonal."""
  return sum(parity for _, parity in key) % 2 == 0


def diagonal_axis(key):
  """The axis and parity of a square field's diagonal."""
  return key[0][0], EVEN if is_even(key) else ODD
