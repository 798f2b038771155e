"""Modules of torch, whose types state dicts do not contain."""

from collections.abc import Sequence
from typing import Any

from weightspace.errors import UserError
from weightspace.interop import ArgumentNames, _leftovers

RECURRENT = ("LSTM", "GRU", "RNN")
_KNOWN = (*RECURRENT, "Linear", "Embedding")
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
# Identities of a trained network; losses are no part of its outputs
_HARMLESS = (
    "Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d",
    "AlphaDropout", "FeatureAlphaDropout",
)  # fmt: skip


def kinds(module: Any) -> dict[str, str]:
  """{name: type} of all modules, "" where the type's computation is unknown."""
  return {name: _kind(part) for name, part in _named(module).items()}


def check_parts(
    module: Any,
    recurrent: Sequence[str],
    linear: Sequence[tuple[str, str]],
    verified: bool,
) -> None:
  """Checks the types of the parts of a network.

  Args:
    module: the network.
    recurrent: names of its recurrent modules.
    linear: (name, type) of its readout and its input layer.
    verified: whether its outputs are compared, so that unknown types may be
      read.

  Raises:
    ValueError: a part's outputs are not determined by its tensors.
  """
  modules = _named(module)
  expected = [(name, RECURRENT) for name in recurrent]
  expected += [(name, (kind,)) for name, kind in linear]
  for name, allowed in expected:
    if name not in modules:
      if verified:
        continue
      raise UserError(
          f"{name!r} is in the module's state_dict() but not one of its"
          " modules, so that its type is unknown; pass the state_dict()"
      )
    part = modules[name]
    shown = name or "it"
    mode = getattr(part, "mode", None)
    if mode == "RNN_RELU" or getattr(part, "nonlinearity", "tanh") != "tanh":
      raise UserError(
          f"{shown} is an nn.RNN with ReLU; only tanh is supported"
      )
    if getattr(part, "max_norm", None) is not None:
      raise UserError(
          f"{shown} is an Embedding with max_norm, which changes its weights"
          " whenever it is used; set max_norm=None"
      )
    if _kind(part) not in allowed and not verified:
      raise UserError(
          f"{shown} is a {type(part).__name__}, expected"
          f" {' or '.join(f'nn.{kind}' for kind in allowed)}, whose outputs are"
          " known"
      )


def check_nothing_between(
    module: Any, parts: Sequence[str], all_named: bool, names: ArgumentNames
) -> None:
  """Checks that no other module can change the outputs.

  Dropout is read as in evaluation. What a module's own `forward` computes
  cannot be seen.

  Args:
    module: the network.
    parts: names of its recurrent modules, readout and input layer.
    all_named: whether the user named these. Other layers of known types and
      modules outside of what the parts have in common are then ignored.
    names: what messages call the arguments.

  Raises:
    ValueError: naming the module.
  """
  common = _leftovers.common(parts) if all_named else ""
  for name, part in _named(module).items():
    if name in parts or any(p and name.startswith(f"{p}.") for p in parts):
      continue
    if not _leftovers.below(name, common):
      continue
    kind = _kind(part)
    if _is_harmless(part) or (not kind and _is_container(part)):
      continue
    if all_named and kind:
      continue
    raise UserError(
        f"{name or 'it'!r} is a {type(part).__name__}, which may change the"
        " network's outputs: only a recurrent module, its Linear readout and"
        " one Embedding or Linear before it are read. If the outputs do not"
        f" depend on it, name both parts with {names.recurrent}= and"
        f" {names.readout}= and prove it with {names.verify_with}=, or pass the"
        " state_dict()"
    )


def _named(module):
  """Modules by all of their names: some are used twice."""
  return dict(module.named_modules(remove_duplicate=False))


def _kind(part):
  import torch

  if isinstance(part, torch.jit.ScriptModule):
    name = getattr(part, "original_name", "")
    return name if name in _KNOWN else ""
  for name in _KNOWN:
    original = getattr(torch.nn, name)
    if isinstance(part, original) and type(part).forward is original.forward:
      return name
  return ""


def _is_harmless(part):
  import torch

  name = getattr(part, "original_name", type(part).__name__)
  return isinstance(part, torch.nn.modules.loss._Loss) or (
      name in _HARMLESS
      and type(part).__module__.startswith(("torch.nn.modules", "torch.jit"))
  )


def _is_container(part):
  """Whether all it computes, as far as can be seen, is what it contains."""
  if type(part).__name__ in _CONTAINERS:
    return True
  return any(True for _ in part.children()) and not type(
      part
  ).__module__.startswith("torch.nn.modules")
