"""A block of a transformer: attention, then an MLP.

By a kernel where numbers may be split in halves, else by Flax. The kernel takes
a network's tokens through the whole block, a few at a time, and once more for
the gradient: nothing but what the block reads is kept.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from weightspace import kernels
from weightspace.encoders import _modules
from weightspace.types import Params


class Sizes(NamedTuple):
  """Of a block.

  Attributes:
    heads: of attention.
    mlp: hidden units of the MLP.
    kept: the first tokens, those that are asked for; all of them attend.
  """

  heads: int
  mlp: int
  kept: int


class Block(nn.Module):
  """Pre-norm attention and MLP: `[*batch, T, D]` -> `[*batch, kept, D]`."""

  sizes: Sizes

  @nn.compact
  def __call__(self, tokens):
    heads, mlp, kept = self.sizes
    normed = nn.LayerNorm()(tokens)
    attend = _modules.Attention(heads)
    tokens = tokens[..., :kept, :] + attend(normed[..., :kept, :], normed)
    widths = mlp, tokens.shape[-1]
    return tokens + _modules.MLP(widths)(nn.LayerNorm()(tokens))


# The params of a block in the order of the kernels
_ATTENTION = "MultiHeadDotProductAttention_0"
_PATHS = (
    ("LayerNorm_0", "scale"), ("LayerNorm_0", "bias"),
    *((_ATTENTION, what, kind) for what in ("query", "key", "value", "out")
      for kind in ("kernel", "bias")),
    ("LayerNorm_1", "scale"), ("LayerNorm_1", "bias"),
    *(("MLP_0", dense, kind) for dense in ("Dense_0", "Dense_1")
      for kind in ("kernel", "bias")),
)  # fmt: skip
_UNIT = 16  # numbers in a row of the kernels' tiles


def apply(sizes: Sizes, params: Params, tokens: jax.Array) -> jax.Array:
  """`Block(sizes)` with those params.

  Args:
    sizes: of the block.
    params: from its `init`.
    tokens: `[*batch, T, D]`.
  """
  width = tokens.shape[-1]
  whole = all(n % _UNIT == 0 for n in (width // sizes.heads, sizes.mlp))
  if not whole or not kernels.serve_in_halves(params, tokens):
    return _plain(sizes, params, tokens)
  *batch, count, width = tokens.shape
  out = _fused(sizes, params, tokens.reshape(-1, count, width))
  return out.reshape(*batch, sizes.kept, width)


def _plain(sizes, params, tokens):
  return Block(sizes).apply({"params": params}, tokens)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(sizes, params, tokens):
  """The same; tokens `[B, T, D]`."""

  def kernel(params, tokens):
    batch, _, width = tokens.shape
    return kernels.call(
        "BlockForward",
        kernels.floats(batch, sizes.kept, width),
        tokens,
        *_leaves(params),
        attributes={"heads": np.int64(sizes.heads)},
    )

  return jax.lax.platform_dependent(
      params, tokens, cpu=kernel, default=functools.partial(_plain, sizes)
  )


def _forward(sizes, params, tokens):
  return _fused(sizes, params, tokens), (params, tokens)


def _backward(sizes, residuals, gradient):
  def kernel(params, tokens, gradient):
    leaves = _leaves(params)
    of_tokens, *of_params = kernels.call(
        "BlockBackward",
        [kernels.floats(*a.shape) for a in (tokens, *leaves)],
        tokens,
        gradient,
        *leaves,
        attributes={"heads": np.int64(sizes.heads)},
    )
    return _tree(of_params), of_tokens

  def plain(params, tokens, gradient):
    _, vjp = jax.vjp(functools.partial(_plain, sizes), params, tokens)
    return vjp(gradient)

  return jax.lax.platform_dependent(
      *residuals, gradient, cpu=kernel, default=plain
  )


_fused.defvjp(_forward, _backward)


def _leaves(params):
  return [functools.reduce(lambda tree, key: tree[key], path, params)
          for path in _PATHS]  # fmt: skip


def _tree(leaves):
  tree = {}
  for path, leaf in zip(_PATHS, leaves, strict=True):
    *folders, name = path
    branch = tree
    for folder in folders:
      branch = branch.setdefault(folder, {})
    branch[name] = leaf
  return tree
