"""A loop over time that leaves the gradient of its params for after the end.

Differentiated as it stands, a loop adds to the gradient of each matrix at each
step: a product over few rows, and a pass over a sum as large as the matrix.
Here it is one product over the rows of all steps. What the matrices read is
kept for it: as much as any gradient through time has to keep.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from weightspace.types import Params


def scan(
    step: Callable,
    maps: Mapping[str, Callable],
    params: Params,
    rest: Any,
    start: Any,
    xs: Any,
) -> tuple[Any, Any]:
  """`jax.lax.scan` of a step that reads `params` through linear maps alone.

  Args:
    step: (affine, rest, carry, x) -> (carry, y), where `affine(name, v)` is
      `maps[name](params, v)`, asked for once a step.
    maps: (params, v) -> array; each is linear in the params.
    params: what the maps read; may be batched with `rest` or not.
    rest: what else a step reads, such as weights; differentiated as usual.
    start: the first carry, constant.
    xs: what each step is given, constant.

  Returns:
    The last carry and the ys `[T, ...]`.
  """

  @jax.custom_jvp
  def loop(params, rest):
    walk = directly(step, maps)
    return jax.lax.scan(lambda *now: walk((params, rest), *now), start, xs)

  def with_slack(params, rest, slack):
    """The same with `slack` added to each map's result; and their inputs."""

    def body(carry, now):
      x, added = now
      inputs = {}

      def affine(name, v):
        inputs[name] = v
        y = maps[name](params, v)
        return y if added is None else y + added[name]

      carry, y = step(affine, rest, carry, x)
      return carry, (y, inputs)

    carry, (ys, inputs) = jax.lax.scan(body, start, (xs, slack))
    return (carry, ys), inputs

  def over_time(params, inputs):
    return {
        name: jax.vmap(maps[name], (None, 0))(params, v)
        for name, v in inputs.items()
    }

  @loop.defjvp
  def _(primals, tangents):
    # What a change of the params adds to each map's result is linear in it,
    # given what the map reads: transposed, that is the product over all steps.
    params, rest = primals
    dparams, drest = tangents
    _, inputs = jax.eval_shape(lambda: with_slack(params, rest, None))
    slack = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(over_time, params, inputs),
    )
    outputs, push, inputs = jax.linearize(
        lambda rest, slack: with_slack(params, rest, slack),
        rest,
        slack,
        has_aux=True,
    )
    return outputs, push(drest, over_time(dparams, inputs))

  return loop(params, rest)


def directly(step: Callable, maps: Mapping[str, Callable]) -> Callable:
  """`step` as ((params, rest), carry, x) -> (carry, y), with nothing deferred.

  For those who give it a gradient of their own, which JAX cannot take apart.
  """

  def walk(arguments, carry, x):
    params, rest = arguments
    return step(lambda name, v: maps[name](params, v), rest, carry, x)

  return walk
