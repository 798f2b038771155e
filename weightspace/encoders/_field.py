"""A matrix of channels in an equivariant layer, with its means.

By a kernel where there is one: what is added to a place is made and its means
are taken while the product is at hand, and not in passes of their own.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from weightspace import kernels, precision, products


class Means(NamedTuple):
  """Of a matrix of channels.

  Attributes:
    over_columns: `[n, C]`.
    over_rows: `[m, C]`.
  """

  over_columns: jax.Array
  over_rows: jax.Array


_FEW = 8  # channels of which XLA is as fast


def update(
    x: jax.Array, w: jax.Array, of_rows: jax.Array, of_columns: jax.Array
) -> tuple[jax.Array, Means]:
  """`relu(x w + of_rows + of_columns)`.

  Args:
    x: `[n, m, C]`.
    w: `[C, K]`, what maps each place's channels.
    of_rows: `[n, K]`, added to all of a row.
    of_columns: `[m, K]`, added to all of a column.

  Returns:
    `[n, m, K]` and its means.

  Raises:
    TypeError: the shapes do not fit.
  """
  args = x, w, of_rows, of_columns
  n, m, channels = x.shape
  fitting = (n, m, channels), (channels, k := w.shape[-1]), (n, k), (m, k)
  found = tuple(a.shape for a in args)
  if found != fitting:  # a kernel would read beyond the end
    raise TypeError(f"shapes {found} of x, w and what is added do not fit")
  if min(w.shape) < _FEW or not kernels.serve(*args):
    return _plain(*args)
  return _fused(precision.current(), *args)


def _plain(x, w, of_rows, of_columns):
  y = jax.nn.relu(_dot(x, w) + of_rows[:, None] + of_columns)
  return y, Means(jnp.mean(y, axis=1), jnp.mean(y, axis=0))


def _dot(x, w):
  return products.dot_general(x, w, (((2,), (0,)), ((), ())))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _fused(exactness, *args):
  """The same; `exactness` is that of `precision.current`."""

  def kernel(x, w, *added):
    n, m, _ = x.shape
    shapes = [(*lead, w.shape[1]) for lead in ((n, m), (n,), (m,))]
    y, *means = _call("FieldForward", exactness, shapes, x, w, *added)
    return y, Means(*means)

  return jax.lax.platform_dependent(*args, cpu=kernel, default=_plain)


def _forward(exactness, *args):
  y, means = _fused(exactness, *args)
  return (y, means), (args, y)


def _backward(exactness, residuals, gradients):
  def kernel(args, y, gradients):
    x, w, *_ = args
    dy, of_means = gradients
    shapes = [a.shape for a in args]
    return tuple(
        _call("FieldBackward", exactness, shapes, x, w, y, dy, *of_means)
    )

  return jax.lax.platform_dependent(
      *residuals,
      gradients,
      cpu=kernel,
      default=functools.partial(_backward_plain, exactness),
  )


def _backward_plain(exactness, args, y, gradients):
  x, w, *_ = args
  dy, of_means = gradients
  n, m, _ = y.shape
  dy += of_means.over_columns[:, None] / m + of_means.over_rows / n
  da = jnp.where(y > 0, dy, 0.0)
  with jax.default_matmul_precision(exactness):
    dx, dw = _dot(da, w.T), jnp.einsum("ijc,ijk->ck", x, da)
  return dx, dw, jnp.sum(da, axis=1), jnp.sum(da, axis=0)


_fused.defvjp(_forward, _backward)


def _call(name, exactness, shapes, *args):
  return kernels.call(
      name,
      [kernels.floats(*shape) for shape in shapes],
      *args,
      attributes={"halves": precision.halves(exactness)},
  )
