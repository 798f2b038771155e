"""The state of gradient training and one pure step of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from weightspace import keys
from weightspace.training.optimizer import global_norm
from weightspace.types import Key, Params

# (params, key, step, data) -> (scalar, dict of scalars)
Loss = Callable[
    [Params, Key, jax.Array, Any], tuple[jax.Array, dict[str, jax.Array]]
]


class TrainState(NamedTuple):
  """All that a resumed run needs; keys are derived from the step."""

  step: jax.Array  # [] int32, steps done, skipped ones included
  params: Params
  opt_state: optax.OptState
  best_params: Params  # those of the lowest validation score so far
  best_score: jax.Array  # [] float32, +inf before the first
  best_step: jax.Array  # [] int32, -1 before the first


def init_state(
    params: Params, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step; it shares no memory with `params`."""
  return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=_copy(params),
      opt_state=_copy(optimizer.init(params)),
      best_params=_copy(params),
      best_score=jnp.full((), jnp.inf, jnp.float32),
      best_step=jnp.full((), -1, jnp.int32),
  )


def step_key(key: Key, step: jax.Array) -> Key:
  """The key of a step, from that of the run."""
  return keys.derive(key, "train step", step)


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    keep: Callable[[TrainState], TrainState] = lambda state: state,
) -> Callable:
  """One step of gradient descent as a pure function.

  Args:
    loss: `(params, key, step, data) -> (scalar, metrics)`; the key is one of
      this step alone, and what the loss samples comes from it; the step is for
      loaders that go through the data in epochs.
    optimizer: an optax transformation.
    keep: applied to each new state: a constraint of where it lies.

  Returns:
    `step(state, key, data) -> (state, metrics)`. The key is that of the whole
    run. Metrics are float32 scalars: those of the loss and

      loss       the value that was differentiated
      grad_norm  norm of the whole gradient, before clipping
      skipped    1 where the loss or the gradient was not finite, else 0: then
                 params and optimiser stay as they were and only the step
                 counts on, so that the next one draws another batch
  """

  def step(state, key, data):
    (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(
        state.params,
        step_key(key, state.step),
        state.step,
        data,
    )
    grad_norm = global_norm(grads)
    finite = jnp.isfinite(value) & jnp.isfinite(grad_norm)

    def update(params, opt_state):
      updates, opt_state = optimizer.update(grads, opt_state, params)
      return optax.apply_updates(params, updates), opt_state

    # Not selected from both, for which XLA would copy all of the state first
    params, opt_state = jax.lax.cond(
        finite, update, lambda *old: old, state.params, state.opt_state
    )
    metrics = {
        **metrics,
        "loss": value,
        "grad_norm": grad_norm,
        "skipped": ~finite,
    }
    metrics = {k: jnp.asarray(v, jnp.float32) for k, v in metrics.items()}
    new = state._replace(
        step=state.step + 1, params=params, opt_state=opt_state
    )
    return keep(new), metrics

  return step


def make_steps(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    keep: Callable[[TrainState], TrainState] = lambda state: state,
) -> Callable:
  """Any number of steps as one pure function; arguments as of `make_step`.

  Returns:
    `steps(state, sums, key, data, count) -> (state, sums)`. The count is a
    traced int32, at least 1, so that one compilation serves every count. Sums
    of metrics start with `zero_sums` and end with `means`; steps in between may
    be taken in parts, with other data in each, and no bit depends on it.
  """
  step = make_step(loss, optimizer, keep)

  def steps(state, sums, key, data, count):
    def body(_, carry):
      state, sums = carry
      state, metrics = step(state, key, data)
      skipped = metrics["skipped"]
      taken = {k: jnp.where(skipped > 0, 0, v) for k, v in metrics.items()}
      taken["skipped"] = skipped
      return state, jax.tree.map(jnp.add, sums, taken)

    return jax.lax.fori_loop(0, count, body, (state, sums))

  return steps


def zero_sums(
    loss: Loss, optimizer: optax.GradientTransformation, state, key, data
) -> dict[str, jax.Array]:
  """Sums of no metrics; arguments are those of a step."""
  _, shapes = jax.eval_shape(make_step(loss, optimizer), state, key, data)
  return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)


def means(sums: dict[str, jax.Array], count: jax.Array) -> dict[str, jax.Array]:
  """Means over the steps that were not skipped (NaN if all were).

  `skipped` stays the number of those that were.
  """
  skipped = sums["skipped"]
  taken = count.astype(jnp.float32) - skipped
  found = {k: v / taken for k, v in sums.items() if k != "skipped"}
  return found | {"skipped": skipped}


def select(state: TrainState, score: jax.Array) -> TrainState:
  """Keeps the params as the best ones if their score is lower; never NaN."""
  better = score < state.best_score
  best = (state.params, jnp.asarray(score, jnp.float32), state.step)
  old = (state.best_params, state.best_score, state.best_step)
  params, score, step = jax.tree.map(
      lambda new, old: jnp.where(better, new, old), best, old
  )
  return state._replace(best_params=params, best_score=score, best_step=step)


def _copy(tree):
  # With a dtype, so that no leaf is weakly typed and nothing is traced twice.
  return jax.tree.map(lambda x: jnp.array(x, jnp.asarray(x).dtype), tree)
