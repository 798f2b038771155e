"""Tensors of a state dict that are no part of the network that is read."""

import numpy as np

from weightspace.errors import UserError
from weightspace.interop import _state_dicts
from weightspace.interop._parts import Parts, Search
from weightspace.interop._state_dicts import join
from weightspace.interop.tensors import listed


def check(
    search: Search, parts: Parts, all_named: bool, verified: bool
) -> None:
  """Checks that no other tensors take part in the network.

  Args:
    search: the state dict.
    parts: as they were found.
    all_named: whether the user named these, so that others are ignored.
    verified: whether outputs are compared.

  Raises:
    ValueError: parts have tensors that are not understood; there are others
      that are not ignored; or they fit between the parts.
  """
  names = [parts.readout]
  if parts.embedding is not None:
    names.append(parts.embedding)
  rest = _state_dicts.unknown(search.arrays, search.recurrent, names)
  owned = [
      name
      for name in rest
      if any(
          _state_dicts.within(name, part) for part in search.recurrent + names
      )
  ]
  if owned:
    raise UserError(
        f"{search.where} has tensors in parts of the network that are not"
        f" understood: {listed(owned)}"
    )
  called = search.names
  if rest and not all_named:
    raise UserError(
        f"{search.where} has more than a recurrent module, its readout and one"
        f" Embedding or Linear before it: {listed(rest)}. If the outputs do not"
        f" depend on these, name both parts, {called.recurrent}= and"
        f" {called.readout}=, and the input layer if there is one,"
        f" {called.embedding}=. Several Linear layers in a row must be"
        " multiplied into one first"
    )
  if verified:
    return
  linear = _linear_between(search, parts, names)
  if linear:
    raise UserError(
        f"{listed(linear)} of {search.where} may stand between the parts that"
        " are named. Multiply Linear layers in a row into one; or, if the"
        " outputs do not depend on it, prove that with"
        f" {called.verify_with}="
    )
  stacked = _recurrent_beside(search, names)
  if stacked:
    raise UserError(
        f"{listed(stacked)} of {search.where} may be stacked with"
        f" {listed(search.recurrent)}: name all layers with"
        f" {called.recurrent}=, the first one first; or, if the outputs do not"
        f" depend on it, prove that with {called.verify_with}="
    )


def _linear_between(search, parts, names):
  """Layers that could read the last layer, or that the input layer reads."""
  blocks = search.blocks()
  reads = None
  if parts.form == "Linear":
    reads = blocks[parts.embedding][1]
  common = _state_dicts.common(search.recurrent + names)
  result = []
  for name, (rows, columns) in blocks.items():
    if name in names:
      continue
    square = rows == columns == search.hidden
    biased = join(name, "bias") in search.arrays
    below = search.place(name) != 1 and (
        rows == reads or (columns == reads and not biased)
    )
    if below or (square and _state_dicts.below(name, common)):
      result.append(name)
  return result


def _recurrent_beside(search, names):
  """Recurrent modules that fit below or above those that are read."""
  common = _state_dicts.common(search.recurrent + names)
  result = []
  for name, group in _state_dicts.recurrent_groups(search.arrays).items():
    if name in search.recurrent or not _state_dicts.below(name, common):
      continue
    ih, hh = (
        np.shape(group.get((tensor, 0, False)))
        for tensor in ("weight_ih", "weight_hh")
    )
    if len(ih) == len(hh) == 2 and (
        hh[1] == search.inputs or ih[1] == search.hidden
    ):
      result.append(name)
  return result
