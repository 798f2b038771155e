"""Recurrent networks of torch: `nn.LSTM`, `nn.GRU`, `nn.RNN`, and a `Linear`.

    rnn, weights = load(model)                 # an nn.Module
    rnn, weights = load(model.state_dict())    # or of NumPy arrays
    rnn, weights = load("model.safetensors")   # or "model.pt"
    arrays = to_state_dict(rnn, weights, recurrent="lstm", readout="head")
    model.load_state_dict({k: torch.from_numpy(a) for k, a in arrays.items()})

Every number comes through bit for bit, both ways, and outputs are torch's to
rounding. torch is imported only to read a pickle.

The cell is told from how many rows `weight_ih` has for each hidden unit: 4 are
an LSTM's, 3 a GRU's, 1 an `nn.RNN`'s. A state dict does not say whether the
last one's nonlinearity is tanh, which is what it is taken for; a module does,
and ReLU is refused.

Missing biases (`bias=False`) are read as zeros, which is what they are. On the
way out, biases are always written: load them into modules that have them, or
leave the zeros out.
"""

import itertools
import os
import re
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.interop import Network, _state_dicts, tensors
from weightspace.interop.tensors import listed
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.types import Layer, Linear, Weights

CELLS = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}  # ours, torch's
_TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_NAME = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<tensor>(?:weight|bias)_(?:ih|hh|hr))"
    r"_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?"
)
_CAUSAL = (
    "the networks here read a sequence once, from its beginning, and answer at"
    " every step"
)


def load(
    source: Any,
    *,
    recurrent: str | Sequence[str] | None = None,
    readout: str | None = None,
) -> Network:
  """A torch network as one of ours.

  Args:
    source: a module, a state dict (name -> tensor or array), or the path of a
      file of one: `.safetensors`, or a pickle (`.pt`, `.pth`, `.bin`), which
      `torch.load` reads with `weights_only=True`.
    recurrent: the name of the recurrent module, such as "model.lstm", or "" for
      the module itself. Several names are layers on one another. By default,
      the only one there is.
    readout: the name of the `Linear` that reads the last layer. By default, the
      only one of that width. What else there is, is ignored where both names
      are given, and refused where not.

  Returns:
    The `RNN` and its weights.

  Raises:
    ValueError: what is there cannot be one of our networks, or is ambiguous.
    OSError: the file cannot be read.
  """
  arrays, module, where = _state_dicts.read(source)
  groups = _groups(arrays)
  names = _recurrent_names(groups, recurrent, where)
  layers, cell = [], None
  for name in names:
    _check_module(module, name)
    found = _layers(name, groups[name])
    kind = _cell(name, found[0])
    if cell not in (None, kind):
      raise ValueError(
          f"{where}: {names[0] or 'it'} is {CELLS[cell]} and {name} is"
          f" {CELLS[kind]}; all layers of a network have the same cell here"
      )
    cell = kind
    layers += [_layer(name, k, leaves) for k, leaves in enumerate(found)]
  _check_chain(layers, where)
  hidden = tuple(layer.wh.shape[-1] for layer in layers)
  name = _readout_name(arrays, groups, hidden[-1], readout, where)
  if recurrent is None or readout is None:
    _check_nothing_else(arrays, groups, names, name, where)
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
  """The state dict of the same network in torch, as NumPy arrays.

  Args:
    rnn: the shape of the network.
    weights: of one network.
    recurrent: the name of the recurrent module; or as many names as there are
      layers, for a stack of modules of one layer each.
    readout: the name of the `Linear`.

  Raises:
    ValueError: torch has no such cell; or layers differ in width and are to
      be one module.
  """
  spec = rnn.spec
  if spec.cell not in CELLS:
    raise ValueError(
        f"torch has no module for the cell {spec.cell!r}, only for"
        f" {', '.join(CELLS)}"
    )
  depth = len(spec.hidden)
  if isinstance(recurrent, str):
    if len(set(spec.hidden)) > 1:
      raise ValueError(
          f"layers of one torch.nn.{CELLS[spec.cell]} have the same width, and"
          f" these have {spec.hidden}; give a name for each layer,"
          f' recurrent=("layers.0", ...), for {depth} modules'
      )
    places = [(recurrent, k) for k in range(depth)]
  else:
    places = [(name, 0) for name in recurrent]
    if len(set(recurrent)) != depth:
      raise ValueError(
          f"recurrent names {len(set(recurrent))} modules, {tuple(recurrent)},"
          f" for {depth} layers"
      )
  found = {}
  for (name, k), layer in zip(places, weights.layers):
    for tensor, leaf in zip(_TENSORS, layer):
      leaf = np.asarray(leaf)
      found[_join(name, f"{tensor}_l{k}")] = np.array(
          leaf.reshape(-1, *leaf.shape[2:]), np.float32
      )
  for tensor, leaf in zip(("weight", "bias"), weights.readout):
    found[_join(readout, tensor)] = np.array(leaf, np.float32)
  return found


def save(
    path: str | os.PathLike,
    rnn: RNN,
    weights: Weights,
    *,
    recurrent: str | Sequence[str] = "rnn",
    readout: str = "readout",
) -> None:
  """Writes `to_state_dict` as a `.safetensors` file, which torch can load."""
  arrays = to_state_dict(rnn, weights, recurrent=recurrent, readout=readout)
  tensors.write(path, arrays)


def _groups(arrays):
  """{name of a recurrent module: {(tensor, layer, reverse): array}}."""
  groups: dict[str, dict] = {}
  for name, array in arrays.items():
    match = _NAME.fullmatch(str(name))
    if match:
      key = match["tensor"], int(match["layer"]), bool(match["reverse"])
      groups.setdefault(match["prefix"] or "", {})[key] = array
  return groups


def _recurrent_names(groups, wanted, where):
  if wanted is not None:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
      if name not in groups:
        raise ValueError(
            f"{where} has no recurrent module {name!r}; there are:"
            f" {listed(groups)}"
        )
    if not names or len(set(names)) < len(names):
      raise ValueError(f"recurrent must be different names, got {names}")
    return names
  if len(groups) != 1:
    raise ValueError(
        f"{where} has {len(groups)} recurrent modules ({listed(groups)}),"
        " expected one nn.LSTM, nn.GRU or nn.RNN, with tensors such as"
        " weight_ih_l0"
        + ("; name it, or several that are one another's inputs"
           if groups else "")
    )
  return list(groups)


def _check_module(module, name):
  """What a module knows of itself and its tensors do not."""
  if module is None:
    return
  try:
    part = module.get_submodule(name)
  except AttributeError:  # a wrapper that renames what it holds
    return
  mode = getattr(part, "mode", None)
  if mode == "RNN_RELU" or getattr(part, "nonlinearity", "tanh") != "tanh":
    raise ValueError(
        f"{name or 'it'} is an nn.RNN with ReLU, a cell that there is not here;"
        " only tanh is"
    )


def _layers(name, group):
  """Tensors of each layer by name, first layer first."""
  if any(reverse for _, _, reverse in group):
    raise ValueError(
        f"{name or 'it'} is bidirectional: {_CAUSAL}, so its second direction"
        " cannot be told"
    )
  if any(tensor == "weight_hr" for tensor, _, _ in group):
    raise ValueError(
        f"{name or 'it'} has projections (proj_size): what a unit is and what"
        " it says are not the same size there, and there is no such cell here"
    )
  depth = 1 + max(k for _, k, _ in group)
  if depth > len(group):  # a layer has a tensor at least
    raise ValueError(f"{name or 'it'} has {depth} layers, not all of them here")
  layers = [
      {t: group[t, k, False] for t in _TENSORS if (t, k, False) in group}
      for k in range(depth)
  ]
  names = {tuple(layer) for layer in layers}
  if len(names) > 1 or names.pop() not in (_TENSORS, _TENSORS[:2]):
    raise ValueError(
        f"{name or 'it'} has in its layers"
        f" {'; '.join(', '.join(layer) or 'nothing' for layer in layers)};"
        f" expected {', '.join(_TENSORS)} in each, or none of the biases"
    )
  return layers


def _cell(name, leaves):
  shapes = {t: tuple(np.shape(leaf)) for t, leaf in leaves.items()}
  for cell in CELLS:
    gates = cells.load(cell).gates
    hh = shapes["weight_hh"]
    if len(hh) == 2 and hh[1] > 0 and hh[0] == gates * hh[1]:
      return cell
  raise ValueError(
      f"{_join(name, 'weight_hh_l0')} has shape {shapes['weight_hh']}, expected"
      " [4 H, H] of an LSTM, [3 H, H] of a GRU or [H, H] of an RNN"
  )


def _layer(name, k, leaves):
  arrays = {
      tensor: tensors.float32(_join(name, f"{tensor}_l{k}"), leaf)
      for tensor, leaf in leaves.items()
  }
  rows, hidden = (*arrays["weight_hh"].shape, 0)[:2]
  wx = arrays["weight_ih"]
  wanted = {
      "weight_ih": (rows, *wx.shape[1:2]),
      "weight_hh": (rows, hidden),
      "bias_ih": (rows,),
      "bias_hh": (rows,),
  }
  for tensor, array in arrays.items():
    if array.shape != wanted[tensor] or array.ndim != len(wanted[tensor]):
      raise ValueError(
          f"{_join(name, f'{tensor}_l{k}')} has shape {array.shape}, expected"
          f" {wanted[tensor]} beside weight_hh of {rows, hidden}"
      )
  if wx.ndim != 2 or not hidden or not wx.size or rows % hidden:
    raise ValueError(
        f"{_join(name, f'weight_ih_l{k}')} has shape {wx.shape}, beside"
        f" weight_hh of {rows, hidden}: no weights of a recurrent layer"
    )
  zeros = np.zeros(rows, np.float32)
  leaves = [arrays.get(tensor, zeros) for tensor in _TENSORS]
  return Layer(*(
      jnp.asarray(leaf.reshape(-1, hidden, *leaf.shape[1:])) for leaf in leaves
  ))


def _check_chain(layers, where):
  gates = layers[0].wh.shape[0]
  for k, (below, above) in enumerate(itertools.pairwise(layers)):
    hidden, read = below.wh.shape[-1], above.wx.shape[-1]
    if above.wh.shape[0] != gates or hidden != read:
      raise ValueError(
          f"{where}: layer {k + 1} reads {read} numbers and has"
          f" {above.wh.shape[0]} gates, layer {k} puts out {hidden} and has"
          f" {gates}: they are not one another's input"
      )


def _readout_name(arrays, groups, hidden, wanted, where):
  if wanted is not None:
    if _join(wanted, "weight") not in arrays:
      raise ValueError(
          f"{where} has no {_join(wanted, 'weight')}; it has {listed(arrays)}"
      )
    return wanted
  found = [
      name[: -len("weight")].removesuffix(".")
      for name, array in arrays.items()
      if re.fullmatch(r"(.*\.)?weight", str(name))
      and np.ndim(array) == 2
      and np.shape(array)[1] == hidden
  ]
  if len(found) != 1:
    raise ValueError(
        f"{where} has {len(found)} Linear read-outs of {hidden} hidden units"
        f" ({listed(found)}), expected one, with a weight of [outputs,"
        f" {hidden}]" + ("; name it" if found else "")
    )
  return found[0]


def _check_nothing_else(arrays, groups, names, readout, where):
  taken = {_join(readout, "weight"), _join(readout, "bias")}
  rest = [
      str(name)
      for name in arrays
      if name not in taken
      and not (
          (match := _NAME.fullmatch(str(name)))
          and (match["prefix"] or "") in names
      )
  ]
  if rest:
    raise ValueError(
        f"{where} holds more than a recurrent module and its read-out:"
        f" {listed(rest)}. If the network is nevertheless what they make, name"
        f" both, {names} and {readout!r}"
    )


def _readout(arrays, name, hidden):
  w = tensors.float32(_join(name, "weight"), arrays[_join(name, "weight")])
  if w.ndim != 2 or w.shape[1] != hidden or not len(w):
    raise ValueError(
        f"{_join(name, 'weight')} has shape {w.shape}, expected [outputs,"
        f" {hidden}]: a Linear that reads the last layer"
    )
  b = np.zeros(len(w), np.float32)
  if _join(name, "bias") in arrays:
    b = tensors.float32(_join(name, "bias"), arrays[_join(name, "bias")])
  if b.shape != (len(w),):
    raise ValueError(
        f"{_join(name, 'bias')} has shape {b.shape}, expected ({len(w)},)"
    )
  return Linear(jnp.asarray(w), jnp.asarray(b))


def _join(prefix, name):
  return f"{prefix}.{name}" if prefix else name
