"""Parts that several encoders are built of."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace import cells, fields
from weightspace.errors import UserError
from weightspace.recurrence import project
from weightspace.types import Key, Layer


class MLP(nn.Module):
  """Dense layers with ReLU between them; the last one is linear."""

  sizes: Sequence[int]

  @nn.compact
  def __call__(self, x):
    for size in self.sizes[:-1]:
      x = nn.relu(nn.Dense(size)(x))
    return nn.Dense(self.sizes[-1])(x)


def fit_examples(examples: jax.Array, count: int, length: int) -> jax.Array:
  """The first of several real sequences, cut to a length or held at the end.

  Args:
    examples: `[n, T, I]`.
    count: how many are needed, M.
    length: steps of each, L.

  Returns:
    `[L, M, I]`.

  Raises:
    ValueError: there are fewer than M.
  """
  n, steps, _ = examples.shape
  if n < count:
    raise UserError(
        "probes that start as inputs need as many real sequences as"
        f" parallel={count}, got {n}"
    )
  time = jnp.minimum(jnp.arange(length, dtype=jnp.int32), steps - 1)
  return jnp.swapaxes(examples[:count, time], 0, 1)


def sequence_length(config, inputs) -> int:
  """`config.length`, or, where that is 0, the length of the zoo's sequences.

  Raises:
    ValueError: both are 0.
  """
  length = config.length or inputs.length
  if not length:
    raise UserError("length is 0, and the task family defines no length")
  return length


def check_limits(config) -> None:
  """ValueError where `low`, of real probes, is not below `high`."""
  fields.check_numbers(config, "low", "high")
  if config.low >= config.high:
    raise UserError(f"low={config.low} must be below high={config.high}")


def squash(kind: str, x: jax.Array, low: float, high: float) -> jax.Array:
  """Any numbers `[..., I]` as inputs of networks.

  Args:
    kind: of the inputs: "token" for soft tokens, "real" for numbers.
    x: logits.
    low: smallest value of a number.
    high: largest value of a number.
  """
  if kind == "token":
    return jax.nn.softmax(x)
  return low + (high - low) * jax.nn.sigmoid(x)


def unit(x: jax.Array) -> jax.Array:
  """`x` scaled to length 1 along its last axis; differentiable at 0."""
  return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)


def init_core(key: Key, hidden: int, layers: int) -> tuple[Layer, ...]:
  """Weights of a recurrent core whose layers all read `hidden` numbers."""
  gates = cells.load("lstm").gates
  shapes = Layer(
      (gates, hidden, hidden),
      (gates, hidden, hidden),
      (gates, hidden),
      (gates, hidden),
  )
  bound = hidden**-0.5
  return tuple(
      Layer(*(
          jax.random.uniform(k, shape, jnp.float32, -bound, bound)
          for k, shape in zip(jax.random.split(layer_key, 4), shapes)
      ))
      for layer_key in jax.random.split(key, layers)
  )


def core_state(hidden: int, layers: int):
  """The state a core begins in."""
  cell = cells.load("lstm")
  start = cell.initial_state((hidden,), jnp.float32)
  return (start,) * layers


def core_maps(layers: int) -> dict[str, Callable]:
  """What `core_step` asks for: (core, x) -> pre-activations `[G, hidden]`."""
  maps = {}
  for i in range(layers):
    maps[f"x{i}"] = lambda core, x, i=i: project(core[i].wx, core[i].bx, x)
    maps[f"h{i}"] = lambda core, h, i=i: project(core[i].wh, core[i].bh, h)
  return maps


def core_step(
    affine: Callable,
    state,
    read: jax.Array,
    x: jax.Array,
):
  """One step of a stack of LSTMs with residual connections.

  Args:
    affine: (name, v) -> `core_maps(layers)[name](core, v)`, with the weights
      from `init_core` through `rnn.fold_embedding`.
    state: from `core_state` or the step before.
    read: `[I]`, what the first layer reads.
    x: `[hidden]`, the same embedded.

  Returns:
    The new state and the output `[hidden]`: x after all layers.
  """
  cell = cells.load("lstm")
  new = []
  for i, s in enumerate(state):
    u, v = affine(f"x{i}", x if i else read), affine(f"h{i}", cell.output(s))
    new.append(cell.step(s, u, v))
    x = x + cell.output(new[-1])
  return tuple(new), x
