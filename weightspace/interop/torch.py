"""Recurrent networks of torch: `nn.LSTM`, `nn.GRU`, `nn.RNN`, and a `Linear`.

    rnn, weights = load(model)                 # an nn.Module
    rnn, weights = load(model.state_dict())    # or of NumPy arrays
    rnn, weights = load("model.safetensors")   # or "model.pt"
    arrays = to_state_dict(rnn, weights, recurrent="lstm", readout="head")
    model.load_state_dict({k: torch.from_numpy(a) for k, a in arrays.items()})

Weights are converted exactly in both directions, and outputs equal torch's up
to rounding. torch is imported for modules and to read a pickle.

An `nn.Embedding` or `nn.Linear` below the recurrent module is multiplied into
the first layer, which then reads one-hot tokens or the inputs of the `Linear`.

The cell is inferred from the number of rows of `weight_ih` per hidden unit: 4
for an LSTM, 3 for a GRU, 1 for an `nn.RNN`. A state dict contains neither the
nonlinearity of the last one, which is assumed to be tanh, nor modules without
weights, such as a ReLU or a LayerNorm without weights before the readout, nor
what `forward` computes. The types of a module's parts are checked; for a state
dict, `verify_with` compares outputs with those of the model.

Missing biases (`bias=False`) are read as zeros. `to_state_dict` always writes
biases; modules without them can ignore the zeros.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from weightspace.errors import UserError
from weightspace.interop import (
    NO_EMBEDDING,
    ArgumentNames,
    Network,
    _folding,
    _layers,
    _leftovers,
    _modules,
    _parts,
    _state_dicts,
    _verification,
    leaves,
    tensors,
)
from weightspace.interop._layers import CELLS
from weightspace.interop._state_dicts import TENSORS, join
from weightspace.interop.tensors import listed
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.types import Weights

_NAMES = ArgumentNames()


def load(
    model: Any,
    *,
    recurrent: str | Sequence[str] | None = None,
    readout: str | None = None,
    embedding: str | None = None,
    verify_with: tuple[Any, Any] | None = None,
    tolerance: float = _verification.TOLERANCE,
    names: ArgumentNames = _NAMES,
) -> Network:
  """Converts a torch network.

  Args:
    model: a module, a state dict (name -> tensor or array), or the path of a
      state dict: `.safetensors`, or a pickle (`.pt`, `.pth`, `.bin`,
      `.ckpt`), which `torch.load` reads with `weights_only=True`.
    recurrent: the name of the recurrent module, such as "model.lstm", or "" for
      the module itself; or the names of stacked modules, first layer first. By
      default, the only one.
    readout: the name of the `Linear` readout of the last layer. By default, the
      only one of that width. If `recurrent` is given too, other tensors are
      ignored; otherwise they are an error.
    embedding: the name of an `Embedding` or `Linear` whose outputs the first
      layer reads, or "none". It becomes a part of the first layer, which then
      reads one-hot tokens or the inputs of the `Linear`. By default, the only
      one that fits.
    verify_with: inputs and outputs of the model, with which the network is
      compared. Inputs are `[T, N, I]`, `[N, T, I]` or `[T, I]`, or integer
      tokens of one axis less; outputs are those of the readout at all steps or
      the last one, from states of zeros and in evaluation mode.
    tolerance: the largest difference from these outputs, in units of the
      largest of them, or of 1 if that is more.
    names: what error messages call these arguments.

  Returns:
    The `RNN` and its weights, float32.

  Raises:
    ValueError: the network is not supported, is ambiguous, or computes other
      outputs than those of `verify_with`.
    OSError: the file cannot be read.
  """
  arrays, module, where = _state_dicts.read(model)
  all_named = recurrent is not None and readout is not None
  named = None
  if all_named:
    named = [recurrent] if isinstance(recurrent, str) else list(recurrent)
    named += [name for name in (readout, embedding) if name is not None]
  _state_dicts.check_plain(arrays, named, where)
  groups = _state_dicts.recurrent_groups(arrays)
  modules = _state_dicts.recurrent_names(
      arrays, groups, recurrent, where, names.recurrent
  )
  kinds = {}
  if module is not None:
    kinds = _modules.kinds(module)
    _modules.check_parts(module, modules, (), verify_with is not None)
  cell, layers = _layers.stack(groups, modules, where)
  search = _parts.Search(
      _state_dicts.blocks(arrays, modules, module is not None), modules,
      _state_dicts.other_recurrent(groups, modules), layers[0].wx.shape[-1],
      layers[-1].wh.shape[-1], kinds, where, names,
  )  # fmt: skip
  for name, argument in (
      (readout, names.readout), (embedding, names.embedding)
  ):  # fmt: skip
    if (argument, name) == (names.embedding, NO_EMBEDDING) or name is None:
      continue
    if join(name, "weight") not in arrays:
      raise UserError(
          f"{argument}: {where} has no {join(name, 'weight')}; it has"
          f" {listed(arrays)}"
      )
  verified = verify_with is not None
  def build(parts):
    return _network(arrays, module, search, parts, cell, layers, all_named,
                    verified)  # fmt: skip

  return _verification.first(
      search, build, readout, embedding, all_named=all_named,
      verify_with=verify_with, tolerance=tolerance,
  )  # fmt: skip


def _network(
    arrays, module, search, parts, cell, layers, all_named, verified
):
  modules = search.recurrent
  others, not_understood = _state_dicts.others(arrays, modules, parts.linear)
  _leftovers.check(
      search, parts, others=others, not_understood=not_understood,
      all_named=all_named, verified=verified,
  )  # fmt: skip
  if module is not None:
    _check_module(module, parts, search, all_named, verified)
  hidden = tuple(layer.wh.shape[-1] for layer in layers)
  linear = _layers.readout(arrays, parts.readout, hidden[-1])
  if parts.embedding is not None:
    layers = _folding.fold(
        layers, *_layers.input_layer(arrays, parts.embedding, parts.form)
    )
  spec = RNNSpec(cell, hidden, layers[0].wx.shape[-1], linear.w.shape[0])
  return Network(make_rnn(spec), Weights(layers, linear))


def to_state_dict(
    rnn: RNN,
    weights: Weights,
    *,
    recurrent: str | Sequence[str] = "rnn",
    readout: str = "readout",
) -> dict[str, np.ndarray]:
  """Converts a network to a torch state dict.

  Args:
    rnn: the network's architecture.
    weights: of one network.
    recurrent: the name of the recurrent module; or one name per layer, for
      stacked modules of one layer each.
    readout: the name of the `Linear`.

  Returns:
    {name: NumPy array, float32}.

  Raises:
    ValueError: torch has no such cell, one module cannot have layers of
      different widths, or the weights are not those of one such network.
  """
  spec = rnn.spec
  if spec.cell not in CELLS:
    raise UserError(
        f"torch has no module for the cell {spec.cell!r}, only for"
        f" {', '.join(CELLS)}"
    )
  depth = len(spec.hidden)
  if isinstance(recurrent, str):
    if len(set(spec.hidden)) > 1:
      raise UserError(
          f"layers of one torch.nn.{CELLS[spec.cell]} have the same width, but"
          f" these have {spec.hidden}; give one name per layer,"
          f' recurrent=("layers.0", ...), for {depth} modules'
      )
    places = [(recurrent, k) for k in range(depth)]
  else:
    places = [(name, 0) for name in recurrent]
    if len(set(recurrent)) != depth:
      raise UserError(
          f"recurrent names {len(set(recurrent))} modules, {tuple(recurrent)},"
          f" for {depth} layers"
      )
  weights = leaves.checked(rnn, weights)
  arrays = {}
  for (name, k), layer in zip(places, weights.layers):
    for tensor, leaf in zip(TENSORS, layer):
      arrays[join(name, f"{tensor}_l{k}")] = leaf.reshape(-1, *leaf.shape[2:])
  for tensor, leaf in zip(("weight", "bias"), weights.readout):
    arrays[join(readout, tensor)] = leaf
  return arrays


def save(
    path: str | os.PathLike,
    rnn: RNN,
    weights: Weights,
    *,
    recurrent: str | Sequence[str] = "rnn",
    readout: str = "readout",
) -> None:
  """Saves a network's `to_state_dict` as a `.safetensors` file.

  Raises:
    ValueError: as of `to_state_dict`; no file is then written.
  """
  arrays = to_state_dict(rnn, weights, recurrent=recurrent, readout=readout)
  tensors.write(path, arrays)


def _check_module(module, parts, search, all_named, verified):
  linear = [(parts.readout, "Linear")]
  if parts.embedding is not None:
    linear.append((parts.embedding, parts.form))
  _modules.check_parts(module, search.recurrent, linear, verified)
  if not verified:
    used = [*search.recurrent, *parts.linear]
    _modules.check_nothing_between(module, used, all_named, search.names)
