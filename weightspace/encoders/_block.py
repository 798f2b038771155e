"""A block of a transformer: attention, then an MLP.

By a kernel where numbers may be in halves, else by Flax. The kernel takes a
network's tokens through the whole block, a few at a time, and once more for the
gradient: nothing is kept but what the block reads and what softmax knows of a
row.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace import kernels, precision
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
  rows = tokens.reshape(-1, count, width)
  out, _ = _fused(sizes, precision.current(), params, rows)
  return out.reshape(*batch, sizes.kept, width)


def _plain(sizes, params, tokens):
  return Block(sizes).apply({"params": params}, tokens)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _fused(sizes, exactness, params, tokens):
  """The same, and what softmax knows of rows `[B, kept, heads, 2]`.

  That is for the gradient, nobody else. Tokens `[B, T, D]`; `exactness` is
  that of `precision.current`.
  """
  batch, _, width = tokens.shape
  softmax = kernels.floats(batch, sizes.kept, sizes.heads, 2)

  def kernel(params, tokens):
    return tuple(kernels.call(
        "BlockForward",
        (kernels.floats(batch, sizes.kept, width), softmax),
        tokens,
        *_leaves(params),
        attributes=_attributes(sizes, exactness),
    ))  # fmt: skip

  def plain(params, tokens):
    with jax.default_matmul_precision(exactness):
      z = _plain(sizes, params, tokens)
    return z, jnp.zeros(softmax.shape, softmax.dtype)

  return jax.lax.platform_dependent(params, tokens, cpu=kernel, default=plain)


def _forward(sizes, exactness, params, tokens):
  z, softmax = _fused(sizes, exactness, params, tokens)
  return (z, softmax), (params, tokens, softmax)


def _backward(sizes, exactness, residuals, gradients):
  def kernel(params, tokens, softmax, gradient):
    leaves = _leaves(params)
    of_tokens, *of_params = kernels.call(
        "BlockBackward",
        [kernels.floats(*a.shape) for a in (tokens, *leaves)],
        tokens,
        softmax,
        gradient,
        *leaves,
        attributes=_attributes(sizes, exactness),
    )
    return _tree(of_params), of_tokens

  def plain(params, tokens, _, gradient):
    with jax.default_matmul_precision(exactness):
      _, vjp = jax.vjp(functools.partial(_plain, sizes), params, tokens)
      return vjp(gradient)

  return jax.lax.platform_dependent(
      *residuals, gradients[0], cpu=kernel, default=plain
  )


_fused.defvjp(_forward, _backward)


def _attributes(sizes, exactness):
  return {
      "halves": precision.halves(exactness),
      "heads": sizes.heads,
  }


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
