"""Reading torch state dicts, and identifying modules by names in them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weightspace.errors import UserError
from weightspace.interop import tensors
from weightspace.interop.tensors import listed

TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_PICKLES = (".pt", ".pth", ".bin")
_NAME = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<tensor>(?:weight|bias)_(?:ih|hh|hr))"
    r"_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?"
)


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
  with path.open("rb"):  # raises OSError
    pass
  try:
    content = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # unpickling refused, or a damaged archive
    raise UserError(
        f"{path} is not a state dict that torch.load(weights_only=True)"
        f" reads ({type(error).__name__}: {str(error).splitlines()[0]})"
    ) from error
  if not isinstance(content, Mapping):
    raise UserError(
        f"{path} contains a {type(content).__name__}, not a state dict; save"
        " model.state_dict()"
    )
  if isinstance(content.get("state_dict"), Mapping):  # a training checkpoint
    content = content["state_dict"]
  return dict(content)


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
    groups: Mapping[str, dict], names: str | Sequence[str] | None, where: str
) -> list[str]:
  """The names of recurrent modules; by default of the only one.

  Raises:
    ValueError: there are no such modules, or names are repeated; or, by
      default, there is not exactly one.
  """
  if names is not None:
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
      if name not in groups:
        raise UserError(
            f"{where} has no recurrent module {name!r}; it has:"
            f" {listed(groups)}"
        )
    if not names or len(set(names)) < len(names):
      raise UserError(f"recurrent must be distinct names, got {names}")
    return names
  if len(groups) != 1:
    raise UserError(
        f"{where} has {len(groups)} recurrent modules ({listed(groups)}),"
        " expected one nn.LSTM, nn.GRU or nn.RNN, with tensors such as"
        " weight_ih_l0"
        + ("; name it, or several that are stacked" if groups else "")
    )
  return list(groups)


def readout_name(
    arrays: Mapping[str, Any], hidden: int, name: str | None, where: str
) -> str:
  """The name of the `Linear` readout; by default the only one of its width.

  Raises:
    ValueError: there is no such module; or, by default, not exactly one.
  """
  if name is not None:
    if join(name, "weight") not in arrays:
      raise UserError(
          f"{where} has no {join(name, 'weight')}; it has {listed(arrays)}"
      )
    return name
  names = [
      name[: -len("weight")].removesuffix(".")
      for name, array in arrays.items()
      if re.fullmatch(r"(.*\.)?weight", str(name))
      and np.ndim(array) == 2
      and np.shape(array)[1] == hidden
  ]
  if len(names) != 1:
    raise UserError(
        f"{where} has {len(names)} Linear readouts of {hidden} hidden units"
        f" ({listed(names)}), expected one, with a weight of [outputs,"
        f" {hidden}]" + ("; name it" if names else "")
    )
  return names[0]


def check_nothing_else(
    arrays: Mapping[str, Any], recurrent: Sequence[str], readout: str,
    where: str,
) -> None:
  """Checks that all tensors belong to the recurrent modules and the readout.

  Raises:
    ValueError: there are others, which the network's outputs may depend on.
  """
  known = {join(readout, "weight"), join(readout, "bias")}
  rest = [
      str(name)
      for name in arrays
      if name not in known
      and not (
          (match := _NAME.fullmatch(str(name)))
          and (match["prefix"] or "") in recurrent
      )
  ]
  if rest:
    raise UserError(
        f"{where} has more than a recurrent module and its readout:"
        f" {listed(rest)}. If the outputs do not depend on these, name both,"
        f" {recurrent} and {readout!r}"
    )


def join(prefix: str, name: str) -> str:
  """The name of a module's tensor."""
  return f"{prefix}.{name}" if prefix else name
