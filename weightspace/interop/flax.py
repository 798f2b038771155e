"""Recurrent networks of Flax Linen: stacked `nn.RNN`s and a `Dense`.

    model = nn.Sequential([nn.RNN(nn.GRUCell(32)), nn.Dense(6)])
    rnn, weights = load(model.init(key, xs))
    params = to_params(rnn, weights)  # for the same model

Supported cells: `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` and `SimpleCell`
(with tanh, the default; parameters do not contain the nonlinearity). Flax has
one kernel per gate, the transpose of torch's weights, and fewer biases:

  LSTM        one per gate, in `h`: becomes `bh`, with `bx` = 0
  GRU r, z    one per gate, in `i`: becomes `bx`, with `bh` = 0
  GRU n       two, as in torch: r multiplies the output of `hn` with its bias
  SimpleCell  one, in `i`: becomes `bx`, with `bh` = 0

`load` followed by `to_params` is exact. `to_params` adds `bx` and `bh` where
Flax has one bias, which preserves the network's outputs.

An `nn.Embed` or `nn.Dense` below the first layer is multiplied into it.
Parameters do not show modules without parameters, such as a ReLU before the
readout; `verify_with` compares outputs with those of the model.

This module does not import Flax.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from weightspace.errors import UserError
from weightspace.interop import (
    ArgumentNames,
    Network,
    _folding,
    _leftovers,
    _trees,
    _verification,
    leaves,
    tensors,
)
from weightspace.interop.tensors import listed
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.types import Layer, Linear, Weights

# Each cell's gates in our order, and the parts ("i" or "h") that have biases
_GATES = {"lstm": "ifgo", "gru": "rzn", "elman": ("",)}
_BIASED = {
    "lstm": {"h"},
    "gru": {"i"},
    "elman": {"i"},
}
_ALWAYS_BIASED = {"hn"}
_KINDS = {
    frozenset(part + gate for part in "ih" for gate in gates): cell
    for cell, gates in _GATES.items()
}
_NAMES = ArgumentNames(recurrent="layers")
_MGU = frozenset(("if", "in", "hf", "hn"))


def load(
    params: Mapping[str, Any],
    *,
    layers: str | Sequence[str] | None = None,
    readout: str | None = None,
    embedding: str | None = None,
    verify_with: tuple[Any, Any] | None = None,
    tolerance: float = _verification.TOLERANCE,
) -> Network:
  """Converts a Flax network.

  Args:
    params: variables, `{"params": ...}`, or nested parameters.
    layers: paths of the cells' parameters, first layer first, such as
      "layers_0/cell". By default all cells, in the order of the one number in
      which their paths differ.
    readout: path of the `Dense` readout of the last layer. By default, the
      only one of that width. If `layers` is given too, other parameters are
      ignored; otherwise they are an error.
    embedding: path of an `Embed` or `Dense` whose outputs the first layer
      reads, or "none". It becomes a part of the first layer, which then reads
      one-hot tokens or the inputs of the `Dense`. By default, the only `Embed`
      of that size, or `Dense` with a smaller number in its path.
    verify_with: inputs and outputs of the model, with which the network is
      compared, as of `interop.torch.load`.
    tolerance: the largest difference from these outputs, in units of the
      largest of them, or of 1 if that is more.

  Returns:
    The `RNN` and its weights, float32.

  Raises:
    UserError: the network is not supported, is ambiguous, or computes other
      outputs than those of `verify_with`.
  """
  if not isinstance(params, Mapping):
    raise UserError(
        f"expected nested parameters, got {type(params).__name__}"
    )
  nodes = dict(_trees.nodes(params.get("params", params)))
  cells = _trees.cells(nodes, _KINDS)
  paths = _ordered(cells, nodes, layers)
  kinds = {cells[path] for path in paths}
  if len(kinds) > 1:
    raise UserError(
        f"the layers {listed(paths)} are {', '.join(sorted(kinds))}; all layers"
        " must have the same cell"
    )
  (cell,) = kinds
  stack = tuple(_layer(path, nodes[path], cell) for path in paths)
  hidden = tuple(layer.wh.shape[-1] for layer in stack)
  for path, layer, below in zip(paths[1:], stack[1:], hidden):
    if layer.wx.shape[-1] != below:
      raise UserError(
          f"{path} has {layer.wx.shape[-1]} inputs, but the layer below it has"
          f" {below} outputs"
      )
  all_named = layers is not None and readout is not None
  search = _trees.search(
      nodes, cells, paths, stack[0].wx.shape[-1], hidden[-1], _NAMES
  )
  _trees.check_dense(search, readout)
  verified = verify_with is not None
  def build(parts):
    return _network(nodes, params, search, parts, cell, stack, all_named,
                    verified)  # fmt: skip

  return _verification.first(
      search, build, readout, embedding, all_named=all_named,
      verify_with=verify_with, tolerance=tolerance,
  )  # fmt: skip


def _network(
    nodes, variables, search, parts, cell, stack, all_named, verified
):
  others, not_understood = _trees.others(
      nodes, variables, search.recurrent, parts
  )
  _leftovers.check(
      search, parts, others=others, not_understood=not_understood,
      all_named=all_named, verified=verified,
  )  # fmt: skip
  hidden = tuple(layer.wh.shape[-1] for layer in stack)
  linear = _dense(parts.readout, nodes[parts.readout])
  if linear.w.shape[1] != hidden[-1]:
    raise UserError(
        f"{parts.readout} has {linear.w.shape[1]} inputs, but the last layer"
        f" has {hidden[-1]} outputs"
    )
  if parts.form == "Embedding":
    table = _leaf(parts.embedding, nodes[parts.embedding], "embedding", 2)
    stack = _folding.fold(stack, table.T)
  elif parts.form == "Linear":
    stack = _folding.fold(
        stack, *_dense(parts.embedding, nodes[parts.embedding])
    )
  spec = RNNSpec(cell, hidden, stack[0].wx.shape[-1], linear.w.shape[0])
  return Network(make_rnn(spec), Weights(stack, linear))


def to_params(
    rnn: RNN,
    weights: Weights,
    *,
    layers: Sequence[str] | None = None,
    readout: str | None = None,
) -> dict[str, Any]:
  """Converts a network to variables of Flax.

  Args:
    rnn: the network's architecture.
    weights: of one network.
    layers: the path of each layer's cell. By default those of an
      `nn.Sequential` of `nn.RNN`s and a `Dense`: "layers_0/cell", ...
    readout: the path of the `Dense`; by default "layers_1" after one layer.

  Returns:
    `{"params": ...}` of NumPy arrays, float32.

  Raises:
    ValueError: Flax has no such cell, the number of paths is not that of
      layers, or the weights are not those of one such network.
  """
  depth = len(rnn.spec.hidden)
  if rnn.spec.cell not in _GATES:
    raise UserError(
        f"Flax has no cell {rnn.spec.cell!r}, only {', '.join(_GATES)}"
    )
  if layers is None:
    layers = [f"layers_{k}/cell" for k in range(depth)]
  if isinstance(layers, str) or len(set(layers)) != depth:
    raise UserError(
        f"layers must be {depth} distinct paths, one per layer, got {layers!r}"
    )
  weights = leaves.checked(rnn, weights)
  params: dict[str, Any] = {}
  for path, layer in zip(layers, weights.layers):
    _put(params, path, _cell_params(layer, rnn.spec.cell))
  if readout is None:
    readout = f"layers_{depth}"
  w, b = weights.readout
  _put(params, readout, {"kernel": w.T.copy(), "bias": b})
  return {"params": params}


def _has_bias(cell, part, gate):
  return part in _BIASED[cell] or part + gate in _ALWAYS_BIASED


def _layer(path, node, cell):
  gates = _GATES[cell]
  kernels = {
      part: [_leaf(f"{path}/{part}{g}", node[part + g], "kernel", 2)
             for g in gates]
      for part in "ih"
  }
  inputs, hidden = kernels["i"][0].shape
  for part, rows in (("i", inputs), ("h", hidden)):
    for gate, kernel in zip(gates, kernels[part]):
      if kernel.shape != (rows, hidden) or not kernel.size:
        raise UserError(
            f"{path}/{part}{gate}/kernel has shape {kernel.shape}, expected"
            f" {(rows, hidden)}"
        )
  biases = {
      part: np.stack([
          _bias(f"{path}/{part}{gate}", node[part + gate], hidden)
          for gate in gates
      ])
      for part in "ih"
  }
  return Layer(
      wx=jnp.asarray(np.stack([kernel.T for kernel in kernels["i"]])),
      wh=jnp.asarray(np.stack([kernel.T for kernel in kernels["h"]])),
      bx=jnp.asarray(biases["i"]),
      bh=jnp.asarray(biases["h"]),
  )


def _cell_params(layer, cell):
  wx, wh, bx, bh = layer
  node: dict[str, Any] = {}
  for g, gate in enumerate(_GATES[cell]):
    both = _has_bias(cell, "i", gate) and _has_bias(cell, "h", gate)
    for part, w, bias, other in (("i", wx, bx, bh), ("h", wh, bh, bx)):
      node[part + gate] = {"kernel": w[g].T.copy()}
      if _has_bias(cell, part, gate):
        # `where` preserves the sign of -0.0
        total = np.where(other[g] == 0, bias[g], bias[g] + other[g])
        node[part + gate]["bias"] = bias[g].copy() if both else total
  return node


def _dense(path, node):
  kernel = _leaf(path, node, "kernel", 2)
  bias = _bias(path, node, kernel.shape[1])
  return Linear(jnp.asarray(kernel.T), jnp.asarray(bias))


def _bias(path, node, size):
  if "bias" not in node:
    return np.zeros(size, np.float32)
  bias = _leaf(path, node, "bias", 1)
  if bias.shape != (size,):
    raise UserError(f"{path}/bias has shape {bias.shape}, expected {(size,)}")
  return bias


def _leaf(path, node, name, ndim):
  if not isinstance(node, Mapping) or name not in node:
    raise UserError(f"{path} has no {name}")
  array = tensors.float32(f"{path}/{name}", node[name])
  if array.ndim != ndim:
    raise UserError(
        f"{path}/{name} has shape {array.shape}, expected {ndim} axes"
    )
  return array


def _ordered(cells, nodes, layers):
  """Paths of the layers, first layer first: `layers`, or all cells' paths."""
  if layers is not None:
    paths = [layers] if isinstance(layers, str) else list(layers)
    for path in paths:
      if path not in cells:
        raise UserError(f"{path!r} is not a cell; cells: {listed(cells)}")
    if not paths or len(set(paths)) < len(paths):
      raise UserError(f"layers must be distinct paths, got {paths}")
    return paths
  if not cells:
    mgu = _trees.cells(nodes, {_MGU: "mgu"})
    hint = "".join(f"; {p!r} is an MGUCell, which is unsupported" for p in mgu)
    raise UserError(
        "there are no parameters of an LSTMCell, OptimizedLSTMCell, GRUCell or"
        f" SimpleCell{hint}"
    )
  # Odd parts are numbers: paths that differ in one of them are in its order
  parts = [re.split(r"(\d+)", path) for path in cells]
  differ = {
      i for part in parts for i, (a, b) in enumerate(zip(part, parts[0]))
      if a != b
  }
  if len({len(part) for part in parts}) > 1 or (
      len(cells) > 1 and (len(differ) != 1 or not min(differ) % 2)
  ):
    raise UserError(
        f"the order of the layers {listed(cells)} is ambiguous: name them,"
        " first layer first"
    )
  if not differ:
    return list(cells)
  (place,) = differ
  order = sorted(zip(parts, cells), key=lambda pair: int(pair[0][place]))
  return [path for _, path in order]


def _put(tree, path, node):
  *parents, name = path.split("/")
  for parent in parents:
    tree = tree.setdefault(parent, {})
  if name in tree:
    raise UserError(f"two parts of the network have the path {path!r}")
  tree[name] = node
