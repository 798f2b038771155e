"""Which modules of a network are its readout and its input layer.

A state dict has names and shapes, but neither the modules' types nor their
order of computation. What several readings fit is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from weightspace.errors import UserError
from weightspace.interop import NO_EMBEDDING, ArgumentNames
from weightspace.interop.tensors import listed

FORMS = ("Embedding", "Linear")


class Parts(NamedTuple):
  """Names of modules."""

  readout: str
  embedding: str | None = None  # the input layer
  form: str | None = None  # of the input layer: one of FORMS

  @property
  def linear(self) -> list[str]:
    """The names of the readout and of the input layer, if there is one."""
    return [name for name in self[:2] if name is not None]


class Block(NamedTuple):
  """A module with one matrix: [outputs, inputs], of embeddings [I, E]."""

  rows: int
  columns: int
  biased: bool
  place: int | None = None  # -1 below the recurrent modules, 1 above, or None


@dataclass(frozen=True)
class Search:
  """What is known before the parts are.

  Attributes:
    blocks: {module name: `Block`}.
    recurrent: names of the recurrent modules.
    others: {name: (inputs, hidden units)} of other recurrent modules.
    inputs: size of the inputs that the first layer reads, E.
    hidden: units of the last layer, H.
    kinds: {module name: type} as far as known: one of FORMS, or others.
    where: for error messages.
    names: what messages call the arguments.
    words: what messages call the forms.
    separator: of the names of a module and of what contains it.
  """

  blocks: Mapping[str, Block]
  recurrent: Sequence[str]
  others: Mapping[str, tuple[int, int]]
  inputs: int
  hidden: int
  kinds: Mapping[str, str]
  where: str
  names: ArgumentNames
  words: Mapping[str, str] = field(
      default_factory=lambda: {form: form for form in FORMS}
  )
  separator: str = "."

  def is_readout(self, name: str) -> bool:
    """Whether a module may be the readout."""
    return (
        self.blocks[name].columns == self.hidden
        and self.kinds.get(name, "Linear") == "Linear"
    )

  def forms(self, name: str) -> list[str]:
    """The forms that a module may have as input layer."""
    block = self.blocks[name]
    fits = {
        "Embedding": block.columns == self.inputs and not block.biased,
        "Linear": block.rows == self.inputs,
    }
    return [f for f in FORMS if fits[f] and self.kinds.get(name, f) == f]

  def inferred(self, readout: str) -> list[tuple[str, str]]:
    """(name, form) of modules that are an input layer beyond doubt of order."""
    result = []
    for name, block in self.blocks.items():
      forms = self.forms(name) if name != readout else []
      if name not in self.kinds and block.place == 1:
        forms = []
      if forms == ["Linear"] and block.place != -1:
        forms = []
      result += [(name, form) for form in forms]
    return result

  def called(self, form: str) -> str:
    """What messages call a form, with its article."""
    word = self.words[form]
    return f"an {word}" if word[0] in "AEIOU" else f"a {word}"


def find(
    search: Search,
    readout: str | None,
    embedding: str | None,
    *,
    all_named: bool,
    several: bool,
) -> list[Parts]:
  """Finds the readout and, where there is one, the input layer.

  Args:
    search: the state dict.
    readout: its name; by default the only module that fits.
    embedding: the name of the input layer, or `NO_EMBEDDING`; by default the
      only module that fits.
    all_named: whether the recurrent modules and the readout are named, so that
      other tensors may be ignored.
    several: whether there may be several readings, of which outputs tell the
      right one.

  Returns:
    One reading or, if allowed, more.

  Raises:
    UserError: there are no such modules, or too many readings.
  """
  blocks = search.blocks
  given = []
  if embedding not in (None, NO_EMBEDDING):
    given = [(embedding, f) for f in _forms(search, embedding, several)]
  if all_named:
    if embedding is None:
      given = _beside_named(search, readout, several)
    return [Parts(readout, *option) for option in given or [()]]
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
  if len(readings) == 1 or (readings and several):
    return readings
  if readings:
    raise UserError(
        f"{search.where} can be read in {len(readings)} ways:"
        f" {'; '.join(_described(search, each) for each in readings)}. Name"
        f" {search.names.readout}= and {search.names.embedding}=, or let"
        f" outputs decide, with {search.names.verify_with}="
    )
  if len(readouts) != 1:
    hint = (
        f"; name it with {search.names.readout}=. Linear layers in a row,"
        " without a nonlinearity, must be multiplied into one first"
    ) if readouts else (
        f"; it has {listed(blocks)}. The readout must be saved with the"
        " network"
    )
    raise UserError(
        f"{search.where} has {len(readouts)} {search.words['Linear']} readouts"
        f" of {search.hidden} hidden units ({listed(readouts)}), expected one,"
        f" with a weight of [outputs, {search.hidden}]{hint}"
    )
  return [Parts(readouts[0], *option) for option in given or [()]]


def _forms(search, name, several):
  if name not in search.blocks:
    raise UserError(
        f"{search.where} has no {' or '.join(search.words.values())}"
        f" {name!r}; it has {listed(search.blocks)}"
    )
  forms = search.forms(name)
  if not forms:
    rows, columns, *_ = search.blocks[name]
    raise UserError(
        f"{name!r} has a weight of {rows, columns}, expected"
        f" [{search.inputs}, inputs] of {search.called('Linear')} or [inputs,"
        f" {search.inputs}] of {search.called('Embedding')} without a bias: the"
        f" first layer reads {search.inputs} inputs"
    )
  if len(forms) > 1 and not several:
    raise UserError(
        f"{name!r} can be {search.called('Embedding')} or"
        f" {search.called('Linear')} without bias; let outputs decide, with"
        f" {search.names.verify_with}="
    )
  return forms


def _beside_named(search, readout, several):
  """(name, form) of input layers where the other parts are named."""
  possible, options = [], []
  for name in search.blocks:
    forms = search.forms(name) if name != readout else []
    if search.blocks[name].place == 1:
      forms = [form for form in forms if form == "Embedding"]
    if forms:
      possible.append(name)
      options += [(name, form) for form in forms]
  inferred = search.inferred(readout)
  complete = set(search.blocks) <= {readout, *possible}
  if not possible:
    return []
  if complete and len(possible) == len(inferred) == 1:
    return inferred
  if several:
    return [*options, ()]
  called = search.names
  raise UserError(
      f"the first layer of {search.where} may read the outputs of"
      f" {listed(possible)}: name that module with {called.embedding}=, or, if"
      f" the layer reads the inputs, {called.embedding}={NO_EMBEDDING!r}; or"
      f" let outputs decide, with {called.verify_with}="
  )


def _check_no_doubt(search, readings, embedding):
  """Refuses a readout that may just as well be an input layer."""
  for reading in readings:
    name = reading.readout
    forms = search.forms(name)
    place = search.blocks[name].place
    if place == 1 or not forms or reading.embedding is not None:
      continue
    if embedding == NO_EMBEDDING:
      continue
    if place is None and "Embedding" not in forms:
      continue
    raise UserError(
        f"{search.where}: {name!r} may be the readout, or"
        f" {' or '.join(search.called(form) for form in forms)} that the first"
        f" layer reads, in which case there is no readout. If it is the"
        f" readout, name it with {search.names.readout}={name!r}"
    )


def _described(search, reading):
  text = f"readout {reading.readout!r}"
  if reading.embedding is not None:
    text += f" with {reading.embedding!r}, {search.called(reading.form)}, below"
  return text
