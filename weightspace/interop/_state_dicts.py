"""Reading torch state dicts, and identifying modules by names in them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.interop import tensors
from weightspace.interop._parts import Block
from weightspace.interop.tensors import listed

TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")
_NAME = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<tensor>(?:weight|bias)_(?:ih|hh|hr))"
    r"_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?"
)
_PLAIN = ("weight", "bias")
# Weights that hooks or parametrisations compute, and what from
_COMPUTED = re.compile(
    r"(?:(?P<owner>.*)\.)?(?:parametrizations\.[^.]+\..+"
    r"|(?:weight|bias)(?:_(?:ih|hh|hr)_l\d{1,4}(?:_reverse)?)?"
    r"_(?:orig|mask|g|v|u))"
)
_NOT_ALLOWED = re.compile(r"Unsupported global: GLOBAL ([\w.]+?)\.? ")


class StateDict(NamedTuple):
  """A state dict and its origin."""

  arrays: dict[str, Any]  # tensors or arrays by name
  module: Any  # the module, or None
  where: str  # for error messages


def read(model: Any) -> StateDict:
  """Reads the state dict of a module, a mapping, or a file.

  Raises:
    ValueError: `model` is none of these, or the file contains no state dict.
    OSError: the file cannot be read.
  """
  if isinstance(model, str | os.PathLike):
    path = Path(model)
    if path.suffix == ".safetensors":
      return StateDict(tensors.read(path), None, str(path))
    if path.suffix not in _PICKLES:
      raise UserError(
          f"{path} has the suffix {path.suffix!r}, expected a state dict as"
          f" .safetensors or, read with torch, {', '.join(_PICKLES)}"
      )
    return StateDict(_unpickled(path), None, str(path))
  if isinstance(model, Mapping):
    return StateDict(dict(model), None, "the state dict")
  if hasattr(model, "state_dict") and hasattr(model, "named_modules"):
    return StateDict(model.state_dict(), model, "the module")
  raise UserError(
      "expected a module, a state dict or the path of a file, got"
      f" {type(model).__name__}"
  )


def _unpickled(path):
  try:
    import torch
  except ImportError as error:
    raise UserError(
        f"{path} is a pickle, which needs torch to read, and torch is not"
        " installed; save it as .safetensors"
    ) from error
  with path.open("rb") as file:  # raises OSError
    if not file.read(1):
      raise UserError(f"{path} is empty; save it again")
  try:
    content = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # unpickling refused, or a damaged archive
    raise UserError(f"{path} {_refused(error)}") from error
  if not isinstance(content, Mapping):
    raise UserError(
        f"{path} contains a {type(content).__name__}, not a state dict; save"
        " model.state_dict()"
    )
  return _within_checkpoint(content, path)


def _refused(error):
  """Why torch did not read a file; its own words are about unpickling it."""
  named = _NOT_ALLOWED.search(str(error))
  if named:
    return (
        f"holds a pickled {named[1]}, but only tensors are read; save"
        " model.state_dict()"
    )
  return (
      "is damaged or not what torch.save writes, as torch.load(weights_only="
      f"True) says ({type(error).__name__}); save model.state_dict() again"
  )


def _within_checkpoint(content, path):
  """The one state dict in a checkpoint of training, or all there is."""
  if recurrent_groups(content):
    return dict(content)
  fitting = [
      name for name, value in content.items()
      if isinstance(value, Mapping) and recurrent_groups(value)
  ]  # fmt: skip
  if len(fitting) > 1:
    raise UserError(
        f"{path} holds several state dicts with recurrent modules,"
        f" {listed(fitting)}; save the one that is meant"
    )
  return dict(content[fitting[0]] if fitting else content)


def recurrent_groups(arrays: Mapping[str, Any]) -> dict[str, dict]:
  """Groups tensors of recurrent layers by the name of their module.

  Returns:
    {module name: {(tensor, layer, whether reverse): array}}.
  """
  groups: dict[str, dict] = {}
  for name, array in arrays.items():
    match = _NAME.fullmatch(str(name))
    if match:
      key = match["tensor"], int(match["layer"]), bool(match["reverse"])
      groups.setdefault(match["prefix"] or "", {})[key] = array
  return groups


def recurrent_names(
    arrays: Mapping[str, Any],
    groups: Mapping[str, dict],
    names: str | Sequence[str] | None,
    where: str,
    argument: str,
) -> list[str]:
  """The names of recurrent modules; by default of the only one.

  Args:
    arrays: the state dict.
    groups: its recurrent modules, as of `recurrent_groups`.
    names: of modules, or None.
    where: for error messages.
    argument: what messages call the names.

  Raises:
    ValueError: there are no such modules, or names are repeated; or, by
      default, there is not exactly one.
  """
  if names is not None:
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
      if name not in groups:
        raise UserError(
            f"{argument}: {where} has no recurrent module {name!r}; it has:"
            f" {listed(groups)}"
        )
    if not names or len(set(names)) < len(names):
      raise UserError(f"{argument} must be distinct names, got {names}")
    return names
  if len(groups) != 1:
    raise UserError(
        f"{where} has {len(groups)} recurrent modules ({listed(groups)}),"
        " expected one nn.LSTM, nn.GRU or nn.RNN, with tensors such as"
        " weight_ih_l0"
        + (
            f"; name it with {argument}=, or several that are stacked"
            if groups
            else f"; it holds {listed(arrays)}"
        )
    )
  return list(groups)


def check_plain(
    arrays: Mapping[str, Any], within: Sequence[str] | None, where: str
) -> None:
  """Checks that no weight is stored as others that it is computed from.

  Pruning, parametrisations and normalisation of weights do that.

  Args:
    arrays: the state dict.
    within: names of modules; by default all are checked.
    where: for error messages.

  Raises:
    ValueError: naming these tensors and what makes them plain weights.
  """
  computed, advice = [], ""
  for name in map(str, arrays):
    match = _COMPUTED.fullmatch(name)
    if match and (within is None or (match["owner"] or "") in within):
      computed.append(name)
      advice = advice or _advice(name, arrays)
  if computed:
    raise UserError(
        f"{where} has weights that are computed from others:"
        f" {listed(computed)}. Make them plain weights first, with {advice}"
    )


def _advice(name, arrays):
  match = re.search(r"(?:^|\.)parametrizations\.([^.]+)\.", name)
  if match:
    return (
        "torch.nn.utils.parametrize.remove_parametrizations(module,"
        f" {match[1]!r})"
    )
  base = name.rpartition("_")[0]
  tensor = base.rpartition(".")[2]
  if f"{base}_g" in arrays:
    return f"torch.nn.utils.remove_weight_norm(module, {tensor!r})"
  if f"{base}_u" in arrays:
    return f"torch.nn.utils.remove_spectral_norm(module, {tensor!r})"
  return f"torch.nn.utils.prune.remove(module, {tensor!r})"


def blocks(
    arrays: Mapping[str, Any], recurrent: Sequence[str], in_order: bool
) -> dict[str, Block]:
  """Modules whose weight has two axes.

  Args:
    arrays: the state dict.
    recurrent: names of recurrent modules.
    in_order: whether the order of tensors is that of the modules for sure;
      otherwise it is unless they are in the order of their names.
  """
  order = [str(key) for key in arrays]
  first = None
  if in_order or order != sorted(order):
    first = next(
        i
        for i, key in enumerate(order)
        if not recurrent_groups({key: 0}).keys().isdisjoint(recurrent)
    )
  result = {}
  for i, (name, array) in enumerate(arrays.items()):
    if re.fullmatch(r"(.*\.)?weight", str(name)) and np.ndim(array) == 2:
      module = str(name)[: -len("weight")].removesuffix(".")
      place = None if first is None else -1 if i < first else 1
      result[module] = Block(
          *np.shape(array), join(module, "bias") in arrays, place
      )
  return result


def other_recurrent(
    groups: Mapping[str, dict], names: Sequence[str]
) -> dict[str, tuple[int, int]]:
  """{name: (inputs, hidden units)} of recurrent modules that are not named."""
  result = {}
  for name, group in groups.items():
    ih, hh = (
        np.shape(group.get((tensor, 0, False)))
        for tensor in ("weight_ih", "weight_hh")
    )
    if name not in names and len(ih) == len(hh) == 2:
      result[name] = ih[1], hh[1]
  return result


def others(
    arrays: Mapping[str, Any], recurrent: Sequence[str], parts: Sequence[str]
) -> tuple[list[str], list[str]]:
  """The names of tensors of neither the recurrent modules nor the parts.

  Args:
    arrays: the state dict.
    recurrent: names of recurrent modules.
    parts: names of modules with a weight and perhaps a bias.

  Returns:
    All such names, and those of them that belong to these modules.
  """
  known = {join(part, tensor) for part in parts for tensor in _PLAIN}
  names = [
      str(name)
      for name in arrays
      if name not in known
      and not (
          (match := _NAME.fullmatch(str(name)))
          and (match["prefix"] or "") in recurrent
      )
  ]
  owned = [
      name
      for name in names
      if any(_within(name, part) for part in [*recurrent, *parts])
  ]
  return names, owned


def _within(name, part):
  # Of a module without a name, only its own tensors belong to it
  return name.startswith(f"{part}.") if part else "." not in name


def join(prefix: str, name: str) -> str:
  """The name of a module's tensor."""
  return f"{prefix}.{name}" if prefix else name
