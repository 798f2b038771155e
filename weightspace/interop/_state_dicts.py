"""Where state dicts of torch are found: modules, mappings, files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from weightspace.interop import tensors

_PICKLES = (".pt", ".pth", ".bin")


class Source(NamedTuple):
  """A state dict and where it is from."""

  arrays: dict[str, Any]  # tensors or arrays by name
  module: Any  # the module, where there is one
  where: str  # for error messages


def read(source: Any) -> Source:
  """The state dict of a module, a mapping, or a file.

  Raises:
    ValueError: it is none of these, or holds none.
    OSError: the file cannot be read.
  """
  if isinstance(source, str | os.PathLike):
    path = Path(source)
    if path.suffix == ".safetensors":
      return Source(tensors.read(path), None, str(path))
    if path.suffix not in _PICKLES:
      raise ValueError(
          f"{path} has the suffix {path.suffix!r}, expected a state dict as"
          f" .safetensors or, read with torch, {', '.join(_PICKLES)}"
      )
    return Source(_unpickled(path), None, str(path))
  if isinstance(source, Mapping):
    return Source(dict(source), None, "the state dict")
  if hasattr(source, "state_dict") and hasattr(source, "named_modules"):
    return Source(source.state_dict(), source, "the module")
  raise ValueError(
      "expected a module, a state dict or the path of a file, got"
      f" {type(source).__name__}"
  )


def _unpickled(path):
  try:
    import torch
  except ImportError as error:
    raise ValueError(
        f"{path} is a pickle, which only torch reads, and torch is not"
        " installed; save it as .safetensors"
    ) from error
  with path.open("rb"):
    pass
  try:
    found = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # unpickling refused, or a damaged archive
    raise ValueError(
        f"{path} is not a state dict that torch.load(weights_only=True)"
        f" reads ({type(error).__name__}: {str(error).splitlines()[0]})"
    ) from error
  if not isinstance(found, Mapping):
    raise ValueError(
        f"{path} holds no state dict but {type(found).__name__}; save"
        " model.state_dict()"
    )
  if isinstance(found.get("state_dict"), Mapping):  # a checkpoint of training
    found = found["state_dict"]
  return dict(found)
