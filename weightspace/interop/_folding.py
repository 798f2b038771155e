"""Input layers without a nonlinearity, folded into the layer above them."""

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.rnn import fold_embedding
from weightspace.types import Layer, Linear


def fold(
    layers: tuple[Layer, ...], w: np.ndarray, b: np.ndarray | None = None
) -> tuple[Layer, ...]:
  """Folds an input layer into the first recurrent layer.

  Args:
    layers: of a network with inputs of size E.
    w: `[E, I]`: of a `Linear`, or the transpose of an `Embedding`.
    b: `[E]`; by default zeros.

  Returns:
    The layers, float32, of a network with inputs of size I. Where the input
    layer is an embedding, these are one-hot tokens.
  """
  if b is None:
    b = np.zeros(len(w), np.float32)
  with jax.default_matmul_precision("highest"):
    return fold_embedding(layers, Linear(jnp.asarray(w), jnp.asarray(b)))
