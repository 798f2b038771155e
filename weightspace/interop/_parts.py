"""Which modules of a state dict are the readout and the input layer.

A state dict has names and shapes, but neither the modules' types nor their
order of computation. What several readings fit is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.interop import NO_EMBEDDING, ArgumentNames, _state_dicts
from weightspace.interop._state_dicts import join
from weightspace.interop.tensors import listed

FORMS = ("Embedding", "Linear")


class Parts(NamedTuple):
  """Names of modules."""

  readout: str
  embedding: str | None = None  # the input layer
  form: str | None = None  # of the input layer: one of FORMS


@dataclass(frozen=True)
class Search:
  """What is known before the parts are.

  Attributes:
    arrays: the state dict.
    recurrent: names of the recurrent modules.
    inputs: size of the inputs that the first layer reads, E.
    hidden: units of the last layer, H.
    kinds: {module name: type}, empty without a module.
    where: for error messages.
    names: what messages call the arguments.
  """

  arrays: Mapping[str, Any]
  recurrent: list[str]
  inputs: int
  hidden: int
  kinds: Mapping[str, str]
  where: str
  names: ArgumentNames

  def blocks(self) -> dict[str, tuple[int, int]]:
    """{module name: shape of its weight}, of weights with two axes."""
    return {
        str(name)[: -len("weight")].removesuffix("."): np.shape(array)
        for name, array in self.arrays.items()
        if re.fullmatch(r"(.*\.)?weight", str(name)) and np.ndim(array) == 2
    }

  def is_readout(self, name: str) -> bool:
    """Whether a module may be the readout."""
    return (
        self.blocks()[name][1] == self.hidden
        and self.kinds.get(name, "Linear") == "Linear"
    )

  def forms(self, name: str) -> list[str]:
    """The forms that a module may have as input layer."""
    rows, columns = self.blocks()[name]
    biased = join(name, "bias") in self.arrays
    fits = {
        "Embedding": columns == self.inputs and not biased,
        "Linear": rows == self.inputs,
    }
    return [f for f in FORMS if fits[f] and self.kinds.get(name, f) == f]

  def place(self, name: str) -> int | None:
    """-1 where a module is registered before the recurrent ones, else 1.

    None where the order of tensors says nothing: it is that of their names.
    """
    order = [str(key) for key in self.arrays]
    if not self.kinds and order == sorted(order):
      return None
    first = next(
        i
        for i, key in enumerate(order)
        if not _state_dicts.recurrent_groups({key: 0}).keys().isdisjoint(
            self.recurrent
        )
    )
    return -1 if order.index(join(name, "weight")) < first else 1

  def inferred(self, readout: str) -> list[tuple[str, str]]:
    """(name, form) of modules that are an input layer beyond doubt of order."""
    result = []
    for name in self.blocks():
      forms = self.forms(name) if name != readout else []
      place = self.place(name)
      if name not in self.kinds and place == 1:
        forms = []
      if forms == ["Linear"] and place != -1:
        forms = []
      result += [(name, form) for form in forms]
    return result


def find(
    search: Search, readout: str | None, embedding: str | None, all_named: bool
) -> Parts:
  """Finds the readout and, where there is one, the input layer.

  Args:
    search: the state dict.
    readout: its name; by default the only module that fits.
    embedding: the name of the input layer, or `NO_EMBEDDING`; by default the
      only module that fits.
    all_named: whether the recurrent modules and the readout are named, so that
      other tensors may be ignored.

  Raises:
    ValueError: there are no such modules, or several readings.
  """
  blocks = search.blocks()
  for name, argument in ((readout, None), (embedding, NO_EMBEDDING)):
    weight = join(name or "", "weight")
    if name not in (None, argument) and weight not in search.arrays:
      raise UserError(
          f"{search.where} has no {weight}; it has {listed(search.arrays)}"
      )
  if embedding not in (None, NO_EMBEDDING):
    given = [(embedding, _form(search, embedding))]
  else:
    given = []
  if all_named:
    if embedding is None:
      given = _beside_named(search, readout)
    return Parts(readout, *(given[0] if given else ()))
  readouts = [readout] if readout is not None else [
      name for name in blocks if search.is_readout(name) and name != embedding
  ]  # fmt: skip
  readings = []
  for name in readouts:
    options = given
    if embedding is None:
      options = search.inferred(name)
    readings += [
        Parts(name, *option)
        for option in options
        if set(blocks) == {name, option[0]}
    ]
    if set(blocks) <= {name} and not given:
      readings.append(Parts(name))
  if readout is None:
    _check_no_doubt(search, readings, embedding)
  if len(readings) == 1:
    return readings[0]
  if readings:
    raise UserError(
        f"{search.where} can be read in {len(readings)} ways:"
        f" {'; '.join(map(_described, readings))}. Name"
        f" {search.names.readout}= and {search.names.embedding}=, or load"
        " the module itself, which shows the types of its parts, and save the"
        " result"
    )
  if len(readouts) != 1:
    hint = (
        f"; name it with {search.names.readout}=. Linear layers in a row,"
        " without a nonlinearity, must be multiplied into one first"
    ) * bool(readouts)
    raise UserError(
        f"{search.where} has {len(readouts)} Linear readouts of"
        f" {search.hidden} hidden units ({listed(readouts)}), expected one,"
        f" with a weight of [outputs, {search.hidden}]{hint}"
    )
  return Parts(readouts[0], *(given[0] if given else ()))


def _form(search, name):
  forms = search.forms(name) if name in search.blocks() else []
  weight = join(name, "weight")
  shape = np.shape(search.arrays[weight])
  if not forms:
    raise UserError(
        f"{weight} has shape {shape}, expected [{search.inputs}, inputs] of a"
        f" Linear or [inputs, {search.inputs}] of an Embedding, which has no"
        f" bias: the first layer reads {search.inputs} inputs"
    )
  if len(forms) > 1:
    raise UserError(
        f"{weight} of {shape} can be that of an Embedding or of a Linear"
        " without bias; load the module itself, which shows its type, and save"
        " the result"
    )
  return forms[0]


def _beside_named(search, readout):
  """The input layer where the other parts are named; none or one."""
  possible = []
  for name in search.blocks():
    forms = search.forms(name) if name != readout else []
    if search.place(name) == 1 and name not in search.kinds:
      forms = [form for form in forms if form == "Embedding"]
    if search.place(name) == 1 and forms == ["Linear"]:
      forms = []
    if forms:
      possible.append(name)
  inferred = search.inferred(readout)
  complete = set(search.blocks()) <= {readout, *possible}
  if not possible:
    return []
  if complete and len(possible) == len(inferred) == 1:
    return inferred
  called = search.names
  raise UserError(
      f"the first layer of {search.where} may read the outputs of"
      f" {listed(possible)}: name that module with {called.embedding}=, or, if"
      f" the layer reads the inputs, {called.embedding}={NO_EMBEDDING!r}"
  )


def _check_no_doubt(search, readings, embedding):
  """Refuses a readout that may just as well be an input layer."""
  for reading in readings:
    name = reading.readout
    forms = search.forms(name)
    place = search.place(name)
    if place == 1 or not forms or reading.embedding is not None:
      continue
    if embedding == NO_EMBEDDING:
      continue
    if place is None and "Embedding" not in forms:
      continue
    raise UserError(
        f"{search.where}: {name!r} may be the readout, or"
        f" {' or '.join(form_name(form) for form in forms)} that the first"
        f" layer reads, in which case there is no readout. If it is the"
        f" readout, name it with {search.names.readout}={name!r}"
    )


def form_name(form: str) -> str:
  """With its article."""
  return f"an {form}" if form == "Embedding" else f"a {form}"


def _described(reading):
  text = f"readout {reading.readout!r}"
  if reading.embedding is not None:
    text += f" with {reading.embedding!r} as {form_name(reading.form)} below"
  return text
