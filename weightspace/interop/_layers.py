"""Recurrent layers and a readout from tensors of torch."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.errors import UserError
from weightspace.interop import tensors
from weightspace.interop._state_dicts import TENSORS, join
from weightspace.types import Layer, Linear

CELLS = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}  # names in torch


def stack(
    groups: Mapping[str, dict], names: Sequence[str], where: str
) -> tuple[str, tuple[Layer, ...]]:
  """The cell and the layers of recurrent modules, first layer first.

  Args:
    groups: as of `_state_dicts.recurrent_groups`.
    names: of the modules.
    where: for error messages.

  Raises:
    ValueError: a module is not supported, or they cannot be stacked.
  """
  layers, cell = [], None
  for name in names:
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
  return cell, tuple(layers)


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


def readout(arrays: Mapping[str, Any], name: str, hidden: int) -> Linear:
  """The weights of the `Linear` of that name, which reads `hidden` units.

  Raises:
    ValueError: its shapes are others.
  """
  w = tensors.float32(join(name, "weight"), arrays[join(name, "weight")])
  if w.ndim != 2 or w.shape[1] != hidden or not len(w):
    raise UserError(
        f"{join(name, 'weight')} has shape {w.shape}, expected [outputs,"
        f" {hidden}]: the readout of the last layer"
    )
  return Linear(jnp.asarray(w), jnp.asarray(_bias(arrays, name, len(w))))


def input_layer(
    arrays: Mapping[str, Any], name: str, form: str
) -> tuple[np.ndarray, np.ndarray]:
  """W `[E, I]` and b `[E]` of an "Embedding" or a "Linear"."""
  w = tensors.float32(join(name, "weight"), arrays[join(name, "weight")])
  if form == "Embedding":
    w = w.T
  return w, _bias(arrays, name, len(w))


def _bias(arrays, name, size):
  if join(name, "bias") not in arrays:
    return np.zeros(size, np.float32)
  b = tensors.float32(join(name, "bias"), arrays[join(name, "bias")])
  if b.shape != (size,):
    raise UserError(
        f"{join(name, 'bias')} has shape {b.shape}, expected ({size},)"
    )
  return b
