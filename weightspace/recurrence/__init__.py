"""Recurrent layers over a whole sequence, the read-out, and their gradients.

Only what needs the step before stays in the loops over time. The products with
the inputs come before the loop; backward, the gradients of inputs and weights
come after it, each as one product over all steps.

There are two ways to compute it, the same but for rounding: loops of JAX, for
any cell, number and device, and kernels in C++ for the cells that have one, in
float32 on CPU, where loops spend their time on starting small operations.
"""

import functools

import jax

from weightspace import cells, kernels, precision
from weightspace.recurrence import _kernels, _loops
from weightspace.recurrence._loops import generate_by, project, step
from weightspace.types import Layer, Linear, Weights

__all__ = [
    "generate", "generate_by", "project", "read_out", "step",
    "unroll_layer",
]  # fmt: skip


def unroll_layer(
    cell: cells.Cell, time_unroll: int, layer: Layer, xs: jax.Array
) -> jax.Array:
  """One layer over a whole sequence, from the initial state.

  Args:
    cell: what the hidden units do.
    time_unroll: steps of time in one iteration of JAX's loops.
    layer: weights.
    xs: `[T, *batch, I]`.

  Returns:
    Outputs `[T, *batch, H]`. Reverse-mode differentiable only.
  """
  return _unroll_layer(cell, time_unroll, precision.current(), layer, xs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _unroll_layer(cell, time_unroll, exactness, layer, xs):
  return _forward(cell, time_unroll, exactness, layer, xs)[0]


def _forward(cell, time_unroll, exactness, layer, xs):
  del exactness  # it is that of the caller
  gates, states = _of_cell(cell, "forward", loop=(time_unroll,))(layer, xs)
  return cell.output(states), (layer, xs, gates, states)


def _backward(cell, time_unroll, exactness, residuals, dhs):
  layer, xs, gates, states = residuals
  with jax.default_matmul_precision(exactness):
    backward = _of_cell(cell, "backward", loop=(time_unroll,))
    das = backward(layer, gates, states, dhs)
    of_weights = _of_cell(cell, "weight_gradients")
    of_inputs = _of_cell(cell, "input_gradients")
    # Apart: what the first layer reads may need no gradient
    return (
        of_weights(layer, xs, cell.output(states), das),
        of_inputs(layer, das),
    )


_unroll_layer.defvjp(_forward, _backward)


def read_out(layer: Linear, hs: jax.Array) -> jax.Array:
  """A linear layer over many rows.

  Args:
    layer: weights.
    hs: `[..., H]`.

  Returns:
    `[..., V]`. Reverse-mode differentiable only.
  """
  return _read_out(precision.current(), layer, hs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _read_out(exactness, layer, hs):
  return _read_out_forward(exactness, layer, hs)[0]


def _read_out_forward(exactness, layer, hs):
  del exactness  # it is that of the caller
  ys = _on_cpu(_kernels.linear, _loops.linear)(layer, hs)
  return ys, (layer, hs)


def _read_out_backward(exactness, residuals, dys):
  with jax.default_matmul_precision(exactness):
    gradients = _on_cpu(_kernels.linear_gradients, _loops.linear_gradients)
    return gradients(*residuals, dys)


_read_out.defvjp(_read_out_forward, _read_out_backward)


def generate(
    cell: cells.Cell, weights: Weights, first: int, draws: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Lets a network write, from the initial state: it reads what it drew.

  Symbol v is drawn where the draw is at least the probability of all symbols
  before v and less than that with v; from what is not a number, symbol 0.

  Args:
    cell: what the hidden units do.
    weights: of one network.
    first: the token that all strings are begun with.
    draws: `[T, K]`, uniform in [0, 1), of the weights' type.

  Returns:
    tokens `[T, K]` int32, without the first one; log-probabilities of all
    `[T, K, V]`. Kernels have no derivative.

  Raises:
    ValueError: `first` or some output is none of the inputs.
  """
  inputs, outputs = weights.layers[0].wx.shape[-1], len(weights.readout.b)
  if not 0 <= first < inputs or outputs > inputs:
    raise ValueError(
        f"a network with {inputs} inputs and {outputs} outputs can't read all"
        f" that it writes after token {first}"
    )
  return _of_cell(cell, "generate", first)(weights, draws)


def _of_cell(cell, name, *both, loop=()):
  """A function of that name: a kernel's, if there are some of that cell.

  `both` are told what is static, and loops what is in `loop`.
  """
  looped = functools.partial(getattr(_loops, name), cell, *both, *loop)
  if not _kernels.know(cell):
    return looped
  kernel = functools.partial(getattr(_kernels, name), cell, *both)
  return _on_cpu(kernel, looped)


def _on_cpu(kernel, loop):
  """`kernel` on CPU where it serves, else `loop`."""

  def choose(*args):
    if not kernels.serve(args):
      return loop(*args)
    return jax.lax.platform_dependent(*args, cpu=kernel, default=loop)

  return choose
