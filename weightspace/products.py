"""Matrix products for dense layers and attention, by kernels where they serve.

`dot_general` stands in for that of `jax.lax`. In float32 on CPU it is a
primitive of its own, which batches and differentiates as that one does: the
gradient of weights that many networks share is one product over all of their
rows. A kernel computes it, of the factors as they lie in memory.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from weightspace import kernels
from weightspace import precision as precision_lib

# Rows, columns and depth of which XLA's own product is as fast
_FEW = 8


class _Labels(NamedTuple):
  """The axes of the factors and of the product, each axis by a number.

  An axis is in two of them at least: in both factors and not in the product,
  it is summed over; in all three, there is a product for each place on it.
  """

  left: tuple[int, ...]
  right: tuple[int, ...]
  out: tuple[int, ...]


def dot_general(
    lhs: jax.Array, rhs: jax.Array, dimension_numbers, precision=None, **options
) -> jax.Array:
  """`jax.lax.dot_general`, with the same arguments.

  Args:
    lhs: a factor.
    rhs: a factor.
    dimension_numbers: ((contracted axes of each), (batch axes of each)).
    precision: as there; by default that of `weightspace.precision`. Any other
      is left to JAX.
    **options: as there; a result of another type than the factors' is left to
      JAX.

  Raises:
    TypeError: the shapes do not fit, as there.
  """

  def by_jax(lhs, rhs):
    return jax.lax.dot_general(
        lhs, rhs, dimension_numbers, precision, **options
    )

  # A kernel would read beyond the end of what does not fit
  result = jax.eval_shape(by_jax, lhs, rhs)
  if precision is not None or not kernels.serve(lhs, rhs, result):
    return by_jax(lhs, rhs)
  (contracted, others), (batch, batches) = dimension_numbers
  left, right = list(range(lhs.ndim)), [None] * rhs.ndim
  for axis, other in zip((*contracted, *batch), (*others, *batches)):
    right[other] = left[axis]
  fresh = iter(range(lhs.ndim, lhs.ndim + rhs.ndim))
  right = [next(fresh) if axis is None else axis for axis in right]
  shared = [left[axis] for axis in batch]
  out = [*shared, *(a for a in left if a not in right)]
  out += [a for a in right if a not in left]
  labels = _Labels(tuple(left), tuple(right), tuple(out))
  return _product.bind(
      lhs, rhs, labels=labels, precision=precision_lib.current()
  )


_product = Primitive("matrix_product")


@_product.def_impl
def _(lhs, rhs, **how):
  return _compiled(**how)(lhs, rhs)


@functools.cache
def _compiled(**how):
  return jax.jit(functools.partial(_product.bind, **how))


@_product.def_abstract_eval
def _(lhs, rhs, *, labels, precision):
  del precision
  sizes = _sizes(labels, lhs, rhs)
  return jax.core.ShapedArray([sizes[a] for a in labels.out], lhs.dtype)


def _sizes(labels, lhs, rhs):
  return dict(zip(labels.left + labels.right, lhs.shape + rhs.shape))


# It is linear in each factor, and its transpose is such a product again.


def _to_left(ct, lhs, rhs, *, labels, precision):
  del lhs
  left, right, out = labels
  labels = _Labels(out, right, left)
  return _product.bind(ct, rhs, labels=labels, precision=precision)


def _to_right(ct, lhs, rhs, *, labels, precision):
  del rhs
  left, right, out = labels
  labels = _Labels(left, out, right)
  return _product.bind(lhs, ct, labels=labels, precision=precision)


ad.defbilinear(_product, _to_left, _to_right)


def _batch(args, axes, *, labels, precision):
  new = max(labels.left + labels.right) + 1

  def with_new(axes, place):
    if place is None:
      return axes
    return (*axes[:place], new, *axes[place:])

  more = _Labels(
      with_new(labels.left, axes[0]),
      with_new(labels.right, axes[1]),
      (new, *labels.out),
  )
  return _product.bind(*args, labels=more, precision=precision), 0


batching.primitive_batchers[_product] = _batch


def _by_xla(lhs, rhs, *, labels, precision):
  return jnp.einsum(
      lhs, labels.left, rhs, labels.right, labels.out, precision=precision
  )


def _by_kernel(lhs, rhs, *, labels, precision):
  """The factors as `[B, M, K]` and `[B, K, N]`, one of them turned or none."""
  left, right, out = labels
  sizes = _sizes(labels, lhs, rhs)
  groups = _groups(labels)
  batch, rows, columns, depth = groups
  extents = [math.prod(sizes[a] for a in group) for group in groups]
  if min(extents[1:]) < _FEW:
    return _by_xla(lhs, rhs, labels=labels, precision=precision)
  turned = "none"
  if left == batch + depth + rows:
    turned = "left"
  elif left != batch + rows + depth:
    lhs = _arrange(lhs, left, batch + rows + depth)
  if right == batch + columns + depth and turned == "none":
    turned = "right"
  elif right != batch + depth + columns:
    rhs = _arrange(rhs, right, batch + depth + columns)
  count, m, n, k = extents
  lhs = lhs.reshape(count, *((k, m) if turned == "left" else (m, k)))
  rhs = rhs.reshape(count, *((n, k) if turned == "right" else (k, n)))
  product = kernels.call(
      "MatrixProduct",
      kernels.floats(count, m, n),
      lhs,
      rhs,
      attributes={
          "turned": turned,
          "halves": precision_lib.halves(precision),
      },
  )
  made = batch + rows + columns
  product = product.reshape([sizes[a] for a in made])
  return _arrange(product, made, out)


def _groups(labels):
  """Axes of batch, rows, columns and depth, in the order that suits most."""
  left, right, out = labels
  return (
      tuple(a for a in out if a in left and a in right),
      tuple(a for a in out if a not in right),
      tuple(a for a in out if a not in left),
      tuple(a for a in left if a not in out),
  )


def _arrange(a, axes, order):
  return jnp.transpose(a, [axes.index(label) for label in order])


mlir.register_lowering(
    _product, mlir.lower_fun(_by_xla, multiple_results=False)
)
mlir.register_lowering(
    _product, mlir.lower_fun(_by_kernel, multiple_results=False), platform="cpu"
)
