"""Learns representations of recurrent networks from their weights.

Submodules are imported on first use:

    import weightspace
    zoo = weightspace.zoo.open("/path/to/zoo")
    encoder = weightspace.load_encoder("formal_languages")

`load_encoder` and `save_encoder` are defined in `weightspace.pretrained`.
"""

import importlib
import pkgutil

__version__ = "0.1.0"
_SUBMODULES = frozenset(m.name for m in pkgutil.iter_modules(__path__))
_FUNCTIONS = {"load_encoder": "pretrained", "save_encoder": "pretrained"}


def __getattr__(name: str):
  if name in _FUNCTIONS:
    module = importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}")
    return getattr(module, name)
  if name not in _SUBMODULES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  return importlib.import_module(f"{__name__}.{name}")


def __dir__():
  return sorted({*globals(), *_SUBMODULES, *_FUNCTIONS})
