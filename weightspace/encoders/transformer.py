"""Parameter transformer: attention among the rows of the weight matrices.

A token for each hidden unit and gate, made of all that this gate of the unit
reads: its row of the input matrix, its row of the recurrent matrix and its two
biases; and a token for each output unit, its row of the read-out and its bias.
Learned positions tell tokens apart. A learned read-out token attends to them
all and becomes the code.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.encoders import Encoder, Inputs, _modules
from weightspace.errors import UserError
from weightspace.rnn import RNN
from weightspace.types import Weights


@dataclass(frozen=True)
class Config:
  """Sizes; the defaults are the paper's.

  Attributes:
    width: numbers in a token.
    layers: of attention and MLP.
    heads: of attention.
    mlp: hidden units of the MLP that follows attention, in widths.
    code: size of the code, Z.
  """

  width: int = 128
  layers: int = 6
  heads: int = 2
  mlp: int = 4
  code: int = 16

  def __post_init__(self):
    fields.check_integers(self, "width", "layers", "heads", "mlp", "code")
    if self.width % self.heads:
      raise UserError(
          f"width must be a multiple of heads, got width={self.width} and"
          f" heads={self.heads}"
      )


def rows(weights: Weights) -> list[jnp.ndarray]:
  """The rows that become tokens, by the matrix they come from.

  Args:
    weights: of one network.

  Returns:
    For each layer `[G * H, I + H + 2]`, and for the read-out `[V, H + 1]`.
  """
  rows = []
  for layer in weights.layers:
    biases = jnp.stack([layer.bx, layer.bh], axis=-1)
    joined = jnp.concatenate([layer.wx, layer.wh, biases], axis=-1)
    rows.append(joined.reshape(-1, joined.shape[-1]))
  readout = weights.readout
  return [*rows, jnp.concatenate([readout.w, readout.b[:, None]], axis=-1)]


def _attend(query, key, value, *args, **kwargs):
  """Attention without mask or dropout, `[T, heads, D]` each.

  Softmax is normalised after the product with the values: the sums of T
  numbers divide D of them, not T, and less is kept for the gradient.
  """
  del args, kwargs
  query = query / np.float32(np.sqrt(query.shape[-1]))
  scores = jnp.einsum("qhd,khd->hqk", query, key)
  largest = jnp.max(scores, axis=-1, keepdims=True)
  shares = jnp.exp(scores - jax.lax.stop_gradient(largest))
  sums = jnp.sum(shares, axis=-1).T[..., None]
  return jnp.einsum("hqk,khd->qhd", shares, value) / sums


class _Block(nn.Module):
  """Pre-norm attention and MLP: `[T, D]` -> `[kept, D]`.

  Attributes:
    heads: of attention.
    mlp: hidden units of the MLP.
    kept: tokens to return, the first ones; they attend to all.
  """

  heads: int
  mlp: int
  kept: int

  @nn.compact
  def __call__(self, tokens):
    normed = nn.LayerNorm()(tokens)
    attention = nn.MultiHeadDotProductAttention(
        self.heads, attention_fn=_attend
    )
    tokens = tokens[: self.kept] + attention(normed[: self.kept], normed)
    widths = self.mlp, tokens.shape[-1]
    return tokens + _modules.MLP(widths)(nn.LayerNorm()(tokens))


class _Transformer(nn.Module):
  """Pre-norm attention; the read-out token comes first.

  Rows, a list of `[R, C]` -> code `[Z]`.
  """

  config: Config

  @nn.compact
  def __call__(self, rows):
    config = self.config
    tokens = jnp.concatenate([nn.Dense(config.width)(r) for r in rows])
    count, width = tokens.shape
    position = nn.initializers.normal(0.02)
    tokens += self.param("positions", position, (count, width))
    readout = self.param("readout", position, (1, width))
    tokens = jnp.concatenate([readout, tokens])
    for layer in range(config.layers):
      # Nothing reads what the others would become in the last layer
      kept = 1 if layer == config.layers - 1 else count + 1
      tokens = _Block(
          config.heads, config.mlp * width, kept, name=f"block_{layer}"
      )(tokens)
    return nn.Dense(config.code)(nn.LayerNorm()(tokens[0]))


def make(config: Config, rnn: RNN, inputs: Inputs) -> Encoder:
  """Tokens, attention, code."""
  del inputs  # the weights are read, the network is never run
  transformer = _Transformer(config)

  def init(key):
    blank = rnn.unflatten(jnp.zeros(rnn.size, jnp.float32))
    return transformer.init(key, rows(blank))

  return Encoder(
      init=init,
      apply=lambda params, weights, key=None: _modules.unit(
          transformer.apply(params, rows(weights))
      ),
      invariant=False,
  )
