"""Recurrent networks of torch: `nn.LSTM`, `nn.GRU`, `nn.RNN`, and a `Linear`.

    rnn, weights = load(model)                 # an nn.Module
    rnn, weights = load(model.state_dict())    # or of NumPy arrays
    rnn, weights = load("model.safetensors")   # or "model.pt"
    arrays = to_state_dict(rnn, weights, recurrent="lstm", readout="head")
    model.load_state_dict({k: torch.from_numpy(a) for k, a in arrays.items()})

Weights are converted exactly in both directions, and outputs equal torch's up
to rounding. torch is imported only to read a pickle.

The cell is inferred from the number of rows of `weight_ih` per hidden unit: 4
for an LSTM, 3 for a GRU, 1 for an `nn.RNN`. A state dict does not contain the
nonlinearity of the last one, which is assumed to be tanh; for a module, it is
checked.

Missing biases (`bias=False`) are read as zeros. `to_state_dict` always writes
biases; modules without them can ignore the zeros.
"""

import itertools
import os
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.interop import Network, _state_dicts, leaves, tensors
from weightspace.interop._state_dicts import TENSORS, join
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.types import Layer, Linear, Weights

CELLS = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}  # names in torch


def load(
    model: Any,
    *,
    recurrent: str | Sequence[str] | None = None,
    readout: str | None = None,
) -> Network:
  """Converts a torch network.

  Args:
    model: a module, a state dict (name -> tensor or array), or the path of a
      state dict: `.safetensors`, or a pickle (`.pt`, `.pth`, `.bin`), which
      `torch.load` reads with `weights_only=True`.
    recurrent: the name of the recurrent module, such as "model.lstm", or "" for
      the module itself; or the names of stacked modules, first layer first. By
      default, the only one.
    readout: the name of the `Linear` readout of the last layer. By default, the
      only one of that width. If both names are given, other tensors are
      ignored; otherwise they are an error.

  Returns:
    The `RNN` and its weights, float32.

  Raises:
    ValueError: the network is not supported, or ambiguous.
    OSError: the file cannot be read.
  """
  arrays, module, where = _state_dicts.read(model)
  groups = _state_dicts.recurrent_groups(arrays)
  names = _state_dicts.recurrent_names(groups, recurrent, where)
  layers, cell = [], None
  for name in names:
    _check_module(module, name)
    tensors_of_layers = _layers(name, groups[name])
    kind = _cell(name, tensors_of_layers[0])
    if cell not in (None, kind):
      raise UserError(
          f"{where}: {names[0] or 'it'} is {CELLS[cell]} and {name} is"
          f" {CELLS[kind]}; all layers must have the same cell"
      )
    cell = kind
    layers += [
        _layer(name, k, named) for k, named in enumerate(tensors_of_layers)
    ]
  _check_chain(layers, where)
  hidden = tuple(layer.wh.shape[-1] for layer in layers)
  name = _state_dicts.readout_name(arrays, hidden[-1], readout, where)
  if recurrent is None or readout is None:
    _state_dicts.check_nothing_else(arrays, names, name, where)
  linear = _readout(arrays, name, hidden[-1])
  spec = RNNSpec(cell, hidden, layers[0].wx.shape[-1], linear.w.shape[0])
  return Network(make_rnn(spec), Weights(tuple(layers), linear))


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


def _check_module(module, name):
  """Checks a module's nonlinearity, which its tensors do not determine."""
  if module is None:
    return
  try:
    part = module.get_submodule(name)
  except AttributeError:  # a wrapper that renames what it holds
    return
  mode = getattr(part, "mode", None)
  if mode == "RNN_RELU" or getattr(part, "nonlinearity", "tanh") != "tanh":
    raise UserError(
        f"{name or 'it'} is an nn.RNN with ReLU; only tanh is supported"
    )


def _layers(name, group):
  """The tensors of each layer by name, first layer first."""
  if any(reverse for _, _, reverse in group):
    raise UserError(
        f"{name or 'it'} is bidirectional; only causal networks are supported"
    )
  if any(tensor == "weight_hr" for tensor, _, _ in group):
    raise UserError(
        f"{name or 'it'} has projections (proj_size), which are not supported"
    )
  depth = 1 + max(k for _, k, _ in group)
  if depth > len(group):  # each layer has at least one tensor
    raise UserError(f"{name or 'it'} lacks some of its {depth} layers")
  layers = [
      {t: group[t, k, False] for t in TENSORS if (t, k, False) in group}
      for k in range(depth)
  ]
  names = {tuple(layer) for layer in layers}
  if len(names) > 1 or names.pop() not in (TENSORS, TENSORS[:2]):
    raise UserError(
        f"the layers of {name or 'it'} have"
        f" {'; '.join(', '.join(layer) or 'nothing' for layer in layers)};"
        f" expected {', '.join(TENSORS)} in each, or none of the biases"
    )
  return layers


def _cell(name, leaves):
  shapes = {t: tuple(np.shape(leaf)) for t, leaf in leaves.items()}
  for cell in CELLS:
    gates = cells.load(cell).gates
    hh = shapes["weight_hh"]
    if len(hh) == 2 and hh[1] > 0 and hh[0] == gates * hh[1]:
      return cell
  raise UserError(
      f"{join(name, 'weight_hh_l0')} has shape {shapes['weight_hh']}, expected"
      " [4 H, H] of an LSTM, [3 H, H] of a GRU or [H, H] of an RNN"
  )


def _layer(name, k, leaves):
  arrays = {
      tensor: tensors.float32(join(name, f"{tensor}_l{k}"), leaf)
      for tensor, leaf in leaves.items()
  }
  rows, hidden = (*arrays["weight_hh"].shape, 0)[:2]
  wx = arrays["weight_ih"]
  expected = {
      "weight_ih": (rows, *wx.shape[1:2]),
      "weight_hh": (rows, hidden),
      "bias_ih": (rows,),
      "bias_hh": (rows,),
  }
  for tensor, array in arrays.items():
    if array.shape != expected[tensor]:
      raise UserError(
          f"{join(name, f'{tensor}_l{k}')} has shape {array.shape}, expected"
          f" {expected[tensor]} with weight_hh of {rows, hidden}"
      )
  if wx.ndim != 2 or not hidden or not wx.size or rows % hidden:
    raise UserError(
        f"{join(name, f'weight_ih_l{k}')} has shape {wx.shape} and"
        f" weight_hh {rows, hidden}: not those of a recurrent layer"
    )
  zeros = np.zeros(rows, np.float32)
  leaves = [arrays.get(tensor, zeros) for tensor in TENSORS]
  return Layer(*(
      jnp.asarray(leaf.reshape(-1, hidden, *leaf.shape[1:])) for leaf in leaves
  ))


def _check_chain(layers, where):
  gates = layers[0].wh.shape[0]
  for k, (below, above) in enumerate(itertools.pairwise(layers)):
    hidden, read = below.wh.shape[-1], above.wx.shape[-1]
    if above.wh.shape[0] != gates or hidden != read:
      raise UserError(
          f"{where}: layer {k + 1} has {read} inputs and"
          f" {above.wh.shape[0]} gates, but layer {k} has {hidden} outputs and"
          f" {gates} gates: they cannot be stacked"
      )


def _readout(arrays, name, hidden):
  w = tensors.float32(join(name, "weight"), arrays[join(name, "weight")])
  if w.ndim != 2 or w.shape[1] != hidden or not len(w):
    raise UserError(
        f"{join(name, 'weight')} has shape {w.shape}, expected [outputs,"
        f" {hidden}]: the readout of the last layer"
    )
  b = np.zeros(len(w), np.float32)
  if join(name, "bias") in arrays:
    b = tensors.float32(join(name, "bias"), arrays[join(name, "bias")])
  if b.shape != (len(w),):
    raise UserError(
        f"{join(name, 'bias')} has shape {b.shape}, expected ({len(w)},)"
    )
  return Linear(jnp.asarray(w), jnp.asarray(b))
