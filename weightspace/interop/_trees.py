"""Finding modules in the nested parameters of Flax."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from weightspace.errors import UserError
from weightspace.interop import ArgumentNames
from weightspace.interop._parts import Block, Parts, Search
from weightspace.interop.tensors import listed

_WORDS = {"Embedding": "Embed", "Linear": "Dense"}
_LEAVES = {"kernel", "bias"}  # of a Dense, and of each gate of a cell

_STATISTICS = "batch_stats"  # of BatchNorm and SpectralNorm


def nodes(
    tree: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """Yields (path, node) of every mapping in a tree."""
  yield path, tree
  for name, child in tree.items():
    if isinstance(child, Mapping):
      yield from nodes(child, f"{path}/{name}" if path else str(name))


def cells(
    tree: Mapping[str, Mapping[str, Any]], kinds: Mapping[frozenset, str]
) -> dict[str, str]:
  """{path: kind} of nodes whose children have the names of that kind."""
  names = {path: frozenset(map(str, node)) for path, node in tree.items()}
  return {path: kinds[name] for path, name in names.items() if name in kinds}


def search(
    tree: Mapping[str, Mapping[str, Any]],
    known_cells: Mapping[str, str],
    paths: Sequence[str],
    inputs: int,
    hidden: int,
    names: ArgumentNames,
) -> Search:
  """What is known of a network's parts.

  Args:
    tree: nodes by path.
    known_cells: cells by path.
    paths: of the cells that are read.
    inputs: of the first layer.
    hidden: units of the last layer.
    names: what messages call the arguments.
  """
  blocks, kinds = {}, {}
  for path, node in tree.items():
    if not _outside(path, known_cells):
      continue
    for leaf, kind in (("kernel", "Linear"), ("embedding", "Embedding")):
      shape = np.shape(node.get(leaf))
      if not isinstance(node.get(leaf), Mapping) and len(shape) == 2:
        rows, columns = shape[::-1] if leaf == "kernel" else shape
        place = _place(path, paths[0])
        blocks[path] = Block(rows, columns, "bias" in node, place)
        kinds[path] = kind
  return Search(
      blocks, paths, _sizes(tree, known_cells, paths), inputs, hidden, kinds,
      "the network", names, _WORDS, "/",
  )  # fmt: skip


def check_dense(known: Search, readout: str | None) -> None:
  """Checks that there is a `Dense` of that path."""
  dense = [path for path, kind in known.kinds.items() if kind == "Linear"]
  if readout is not None and readout not in dense:
    raise UserError(f"{readout!r} is not a Dense; Denses: {listed(dense)}")


def others(
    tree: Mapping[str, Mapping[str, Any]],
    variables: Mapping[str, Any],
    paths: Sequence[str],
    parts: Parts,
) -> tuple[list[str], list[str]]:
  """The paths of leaves that are no part of the network.

  Args:
    tree: nodes by path.
    variables: which may contain statistics of a normalisation.
    paths: of the cells that are read.
    parts: the others that are.

  Returns:
    All such paths, and those of them that belong to these parts.
  """
  gates = {
      f"{path}/{gate}".strip("/") for path in paths for gate in tree[path]
  }
  known = {f"{gate}/{leaf}" for gate in gates for leaf in _LEAVES}
  for part in parts.linear:
    embed = part == parts.embedding and parts.form == "Embedding"
    leaves = {"embedding"} if embed else _LEAVES
    known |= {f"{part}/{leaf}".strip("/") for leaf in leaves}
  names = [
      f"{path}/{name}".strip("/")
      for path, node in tree.items()
      for name, child in node.items()
      if not isinstance(child, Mapping)
  ]
  if "params" in variables:
    names += [
        f"{path}/{name}"
        for path, node in nodes(variables.get(_STATISTICS, {}), _STATISTICS)
        for name, child in node.items()
        if not isinstance(child, Mapping)
    ]
  names = [name for name in names if name not in known]
  owned = [
      name
      for name in names
      if not _outside(name, [part for part in [*paths, *parts.linear] if part])
      or _is_normalisation(name, [*gates, *parts.linear])
  ]
  return names, owned


def _is_normalisation(name, parts):
  """Whether it is of `WeightNorm` or `SpectralNorm` around one of the parts.

  They name their numbers by the weight: "WeightNorm_0/Dense_0/kernel/scale".
  """
  match = re.fullmatch(r"(?:.*/)?([^/]+)/kernel/(?:scale|u|sigma)", name)
  return bool(match) and any(
      part.rpartition("/")[2] == match[1] for part in parts
  )


def _outside(path, parts):
  return not any(
      path == part or path.startswith(f"{part}/" if part else "")
      for part in parts
  )


def _place(path, first):
  """-1 or 1 by the first numbers in which two paths differ, or None."""
  parts = [re.split(r"(\d+)", each) for each in (path, first)]
  for i, (a, b) in enumerate(zip(*parts)):
    if a != b:
      return (-1 if int(a) < int(b) else 1) if i % 2 else None
  return None


def _sizes(tree, known_cells, paths):
  """(inputs, hidden units) of the cells that are not read."""
  sizes = {}
  for path in known_cells:
    kernels = [
        np.shape(node.get("kernel"))
        for gate, node in tree[path].items()
        if isinstance(node, Mapping) and str(gate).startswith("i")
    ]
    if path not in paths and kernels and len(kernels[0]) == 2:
      sizes[path] = kernels[0]
  return sizes
