"""Tensors of a network that are no part of what is read of it."""

from collections.abc import Sequence

from weightspace.errors import UserError
from weightspace.interop._parts import Parts, Search
from weightspace.interop.tensors import listed


def check(
    search: Search,
    parts: Parts,
    *,
    others: Sequence[str],
    not_understood: Sequence[str],
    all_named: bool,
    verified: bool,
) -> None:
  """Checks that no other tensors take part in the network.

  Args:
    search: the network.
    parts: the readout and the embedding, see `_parts.find`.
    others: names of other tensors.
    not_understood: those of them that are in the parts.
    all_named: whether the user named these, so that others are ignored.
    verified: whether outputs are compared.

  Raises:
    UserError: parts have tensors that are not understood; there are others
      that are not ignored; or they fit between the parts.
  """
  if not_understood:
    raise UserError(
        f"{search.where} has tensors in parts of the network that are not"
        f" understood: {listed(not_understood)}"
    )
  called = search.names
  if others and not all_named:
    raise UserError(
        f"{search.where} has more than a recurrent module, its readout and one"
        f" {' or '.join(search.words.values())} before it: {listed(others)}. If"
        " the outputs do not depend on these, name both parts,"
        f" {called.recurrent}= and {called.readout}=, and the input layer if"
        f" there is one, {called.embedding}=. Several Linear layers in a row"
        " must be multiplied into one first"
    )
  if verified:
    return
  linear = _linear_between(search, parts)
  if linear:
    raise UserError(
        f"{listed(linear)} of {search.where} may stand between the parts that"
        " are named. Multiply Linear layers in a row into one; or, if the"
        " outputs do not depend on it, prove that with"
        f" {called.verify_with}="
    )
  stacked = _recurrent_beside(search, parts)
  if stacked:
    raise UserError(
        f"{listed(stacked)} of {search.where} may be stacked with"
        f" {listed(search.recurrent)}: name all layers with"
        f" {called.recurrent}=, the first one first; or, if the outputs do not"
        f" depend on it, prove that with {called.verify_with}="
    )


def _linear_between(search, parts):
  """Layers that could read the last layer, or that the input layer reads."""
  reads = None
  if parts.form == "Linear":
    reads = search.blocks[parts.embedding].columns
  result = []
  for name, (rows, columns, biased, place) in search.blocks.items():
    if name in parts.linear:
      continue
    above = rows == columns == search.hidden and _is_beside(search, parts, name)
    below_it = rows == reads or (columns == reads and not biased)
    if above or (below_it and place != 1):
      result.append(name)
  return result


def _recurrent_beside(search, parts):
  """Recurrent modules that fit below or above those that are read."""
  return [
      name
      for name, (inputs, hidden) in search.others.items()
      if (hidden == search.inputs or inputs == search.hidden)
      and _is_beside(search, parts, name)
  ]


def _is_beside(search, parts, name):
  """Whether a module is in the smallest one that contains all parts."""
  module = common([*search.recurrent, *parts.linear], search.separator)
  return below(name, module, search.separator)


def common(names: Sequence[str], separator: str = ".") -> str:
  """The name of the smallest module that contains modules of these names."""
  first, *others = [name.split(separator)[:-1] for name in names]
  for other in others:
    while first != other[: len(first)]:
      first = first[:-1]
  return separator.join(first)


def below(name: str, module: str, separator: str = ".") -> bool:
  """Whether a module of that name is in another one; "" contains all."""
  return not module or name.startswith(f"{module}{separator}")
