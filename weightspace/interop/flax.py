"""Recurrent networks of Flax Linen: `nn.RNN`s of a cell, and a `Dense`.

    model = nn.Sequential([nn.RNN(nn.GRUCell(32)), nn.Dense(6)])
    rnn, weights = load(model.init(key, xs))
    params = to_params(rnn, weights)  # for the same model

Layers are the parameters of cells: `LSTMCell`, `OptimizedLSTMCell`, `GRUCell`
and `SimpleCell` (with tanh, their default, which parameters do not tell).
Flax's kernels are torch's weights transposed, with a matrix for each gate, and
its biases are fewer:

  LSTM        one for each gate, beside `h`: becomes `bh`, with `bx` = 0
  GRU r, z    one for each gate, beside `i`: becomes `bx`, with `bh` = 0
  GRU n       two, as in torch: r multiplies what `hn` says, its bias included
  SimpleCell  one, beside `i`: becomes `bx`, with `bh` = 0

So from Flax and back is bit for bit. The other way, `bx` and `bh` become their
sum: the network computes the same, and only its weights read another way.

Flax itself is not imported.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from weightspace.interop import Network, tensors
from weightspace.interop.tensors import listed
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.types import Layer, Linear, Weights

# Of each cell: its gates in our order, and which parts of each have a bias
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
_MGU = frozenset(("if", "in", "hf", "hn"))


def load(
    params: Mapping[str, Any],
    *,
    layers: str | Sequence[str] | None = None,
    readout: str | None = None,
) -> Network:
  """A Flax network as one of ours.

  Args:
    params: variables, `{"params": ...}`, or parameters, nested.
    layers: paths of the cells' parameters, first layer first, such as
      "layers_0/cell". By default all there are, in the order of the one number
      by which their paths differ.
    readout: the path of the `Dense` that reads the last layer. By default, the
      only one of that width. What else there is, is ignored where both are
      given, and refused where not.

  Returns:
    The `RNN` and its weights.

  Raises:
    ValueError: what is there cannot be one of our networks, or is ambiguous.
  """
  if not isinstance(params, Mapping):
    raise ValueError(
        f"expected nested parameters, got {type(params).__name__}"
    )
  nodes = dict(_nodes(params.get("params", params)))
  found = {path: _KINDS[k] for path, k in _kinds(nodes).items() if k in _KINDS}
  paths = _ordered(found, nodes, layers)
  kinds = {found[path] for path in paths}
  if len(kinds) > 1:
    raise ValueError(
        f"the layers {listed(paths)} are {', '.join(sorted(kinds))}: all layers"
        " of a network have the same cell here"
    )
  (cell,) = kinds
  stack = [_layer(path, nodes[path], cell) for path in paths]
  hidden = tuple(layer.wh.shape[-1] for layer in stack)
  for path, layer, below in zip(paths[1:], stack[1:], hidden):
    if layer.wx.shape[-1] != below:
      raise ValueError(
          f"{path} reads {layer.wx.shape[-1]} numbers, and the layer below it"
          f" puts out {below}"
      )
  name = _readout_path(nodes, paths, hidden[-1], readout)
  if layers is None or readout is None:
    _check_nothing_else(nodes, paths, name)
  linear = _dense(name, nodes[name])
  if linear.w.shape[1] != hidden[-1]:
    raise ValueError(
        f"{name} reads {linear.w.shape[1]} numbers, and the last layer puts"
        f" out {hidden[-1]}"
    )
  spec = RNNSpec(cell, hidden, stack[0].wx.shape[-1], linear.w.shape[0])
  return Network(make_rnn(spec), Weights(tuple(stack), linear))


def to_params(
    rnn: RNN,
    weights: Weights,
    *,
    layers: Sequence[str] | None = None,
    readout: str | None = None,
) -> dict[str, Any]:
  """`{"params": ...}` of the same network in Flax, as NumPy arrays.

  Args:
    rnn: the shape of the network.
    weights: of one network.
    layers: the path of each layer's cell. By default those of an
      `nn.Sequential` of `nn.RNN`s and a `Dense`: "layers_0/cell", ...
    readout: the path of the `Dense`; by default "layers_1" after one layer.

  Raises:
    ValueError: Flax has no such cell, or there are not as many paths as
      layers.
  """
  depth = len(rnn.spec.hidden)
  if rnn.spec.cell not in _GATES:
    raise ValueError(
        f"Flax has no cell {rnn.spec.cell!r}, only {', '.join(_GATES)}"
    )
  if layers is None:
    layers = [f"layers_{k}/cell" for k in range(depth)]
  if isinstance(layers, str) or len(set(layers)) != depth:
    raise ValueError(f"layers names {layers!r}, for {depth} layers")
  params: dict[str, Any] = {}
  for path, layer in zip(layers, weights.layers):
    _put(params, path, _cell_params(layer, rnn.spec.cell))
  if readout is None:
    readout = f"layers_{depth}"
  w, b = map(_float32, weights.readout)
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
        raise ValueError(
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
  wx, wh, bx, bh = map(_float32, layer)
  node: dict[str, Any] = {}
  for g, gate in enumerate(_GATES[cell]):
    apart = _has_bias(cell, "i", gate) and _has_bias(cell, "h", gate)
    for part, w, own, other in (("i", wx, bx, bh), ("h", wh, bh, bx)):
      node[part + gate] = {"kernel": w[g].T.copy()}
      if _has_bias(cell, part, gate):
        # What is added to 0 keeps its bits, -0.0 its sign
        total = np.where(other[g] == 0, own[g], own[g] + other[g])
        node[part + gate]["bias"] = own[g].copy() if apart else total
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
    raise ValueError(f"{path}/bias has shape {bias.shape}, expected {(size,)}")
  return bias


def _leaf(path, node, name, ndim):
  if not isinstance(node, Mapping) or name not in node:
    raise ValueError(f"{path} has no {name}")
  array = tensors.float32(f"{path}/{name}", node[name])
  if array.ndim != ndim:
    raise ValueError(
        f"{path}/{name} has shape {array.shape}, expected {ndim} axes"
    )
  return array


def _nodes(tree, path=""):
  """Every mapping in a tree, by its path."""
  yield path, tree
  for name, child in tree.items():
    if isinstance(child, Mapping):
      yield from _nodes(child, f"{path}/{name}" if path else str(name))


def _kinds(nodes):
  return {path: frozenset(map(str, node)) for path, node in nodes.items()}


def _ordered(found, nodes, wanted):
  if wanted is not None:
    paths = [wanted] if isinstance(wanted, str) else list(wanted)
    for path in paths:
      if path not in found:
        raise ValueError(
            f"{path!r} is no cell; there are: {listed(found)}"
        )
    if not paths or len(set(paths)) < len(paths):
      raise ValueError(f"layers must be different paths, got {paths}")
    return paths
  if not found:
    other = [path for path, kind in _kinds(nodes).items() if kind == _MGU]
    hint = "".join(f"; {path!r} is an MGUCell, unknown here" for path in other)
    raise ValueError(
        "there are no parameters of an LSTMCell, OptimizedLSTMCell, GRUCell or"
        f" SimpleCell{hint}"
    )
  # Paths that differ by one number alone are in its order
  parts = [re.split(r"(\d+)", path) for path in found]
  differ = {
      i for part in parts for i, (a, b) in enumerate(zip(part, parts[0]))
      if a != b
  }
  if len({len(part) for part in parts}) > 1 or (
      len(found) > 1 and (len(differ) != 1 or not min(differ) % 2)
  ):
    raise ValueError(
        f"the order of the layers {listed(found)} cannot be told: name them,"
        " first layer first"
    )
  place = min(differ, default=0)
  order = sorted(
      zip(parts, found), key=lambda p: int(p[0][place]) if differ else 0
  )
  return [path for _, path in order]


def _is_dense(node):
  return "kernel" in node and np.ndim(node["kernel"]) == 2


def _outside(path, paths):
  return not any(path == p or path.startswith(f"{p}/" if p else "")
                 for p in paths)


def _readout_path(nodes, paths, hidden, wanted):
  dense = {
      path: np.shape(node["kernel"])[0]
      for path, node in nodes.items()
      if _is_dense(node) and _outside(path, paths)
  }
  if wanted is not None:
    if wanted not in dense:
      raise ValueError(
          f"{wanted!r} is no Dense; there are: {listed(dense)}"
      )
    return wanted
  found = [path for path, inputs in dense.items() if inputs == hidden]
  if len(found) != 1:
    raise ValueError(
        f"there are {len(found)} Dense read-outs of {hidden} hidden units"
        f" ({listed(found)}), expected one" + "; name it" * bool(found)
    )
  return found[0]


def _check_nothing_else(nodes, paths, readout):
  rest = [
      f"{path}/{name}".strip("/")
      for path, node in nodes.items()
      if _outside(path, [*paths, readout])
      for name, child in node.items()
      if not isinstance(child, Mapping)
  ]
  if rest:
    raise ValueError(
        f"there is more than layers and a read-out: {listed(rest)}. If the"
        " network is nevertheless what they make, name both, layers="
        f"{paths} and readout={readout!r}"
    )


def _put(tree, path, node):
  *parents, name = path.split("/")
  for parent in parents:
    tree = tree.setdefault(parent, {})
  if name in tree:
    raise ValueError(f"two parts of the network would be {path!r}")
  tree[name] = node


def _float32(leaf):
  return np.array(leaf, np.float32)
