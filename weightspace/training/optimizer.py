"""The optimiser of our own models, and one step of training with it.

AdamW with a schedule; the gradient of each module is clipped by its own norm.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.types import Key, Params

# (params, key, step, data) -> (scalar, dict of scalars)
Loss = Callable[
    [Params, Key, jax.Array, Any], tuple[jax.Array, dict[str, jax.Array]]
]


@dataclass(frozen=True)
class OptimizerConfig:
  """The defaults are the paper's.

  Attributes:
    learning_rate: the peak, if there is a warm-up or a decay.
    weight_decay: decoupled, on every parameter.
    clip: largest norm of the gradient of each module; 0 does not clip.
    warmup_steps: the learning rate rises linearly from 0 over so many steps.
    decay_steps: the step by which it has fallen to 0 along a cosine, warm-up
      included; 0 keeps it constant.
    emulator_ratio: learning rate of the emulator over that of the encoder;
      unused in training without an emulator.
  """

  learning_rate: float = 1e-4
  weight_decay: float = 0.01
  clip: float = 0.1
  warmup_steps: int = 0
  decay_steps: int = 0
  emulator_ratio: float = 1.0

  def __post_init__(self):
    fields.check_numbers(
        self, "learning_rate", "weight_decay", "clip", least=0
    )
    fields.check_numbers(self, "emulator_ratio", above=0)
    fields.check_integers(self, "warmup_steps", "decay_steps", least=0)
    if 0 < self.decay_steps <= self.warmup_steps:
      raise UserError(
          f"decay_steps={self.decay_steps} includes the warm-up, so it must"
          f" be larger than warmup_steps={self.warmup_steps}, or 0"
      )


@functools.lru_cache(maxsize=64)  # compiled programs are keyed by its identity
def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
  """AdamW with a schedule, after `clip_by_module`."""
  clip = clip_by_module(config.clip) if config.clip else optax.identity()
  adamw = optax.adamw(
      _schedule(config), weight_decay=config.weight_decay, mask=_is_learned
  )
  ratio = optax.identity()
  if config.emulator_ratio != 1:
    ratio = optax.masked(
        optax.scale(config.emulator_ratio),
        lambda params: {name: name == "emulator" for name in params},
    )
  return _with_standard_promotion(optax.chain(clip, adamw, ratio))


@functools.lru_cache(maxsize=64)
def with_rate_in_state(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """An optimiser of rate 1 whose learning rate is part of its state.

  A learning rate in the state can differ between the members of a vmap.
  AdamW's updates, weight decay included, are proportional to the peak rate.

  Returns:
    An optimiser with state (inner state, state of `inject_hyperparams`); set
    the rate by `set_rate`.
  """
  scale = optax.inject_hyperparams(optax.scale)(step_size=1.0)
  return _with_standard_promotion(optax.chain(inner, scale))


def set_rate(state: optax.OptState, rate: jax.Array) -> optax.OptState:
  """The state of `with_rate_in_state` with another learning rate, float32."""
  inner, scale = state
  return inner, scale._replace(hyperparams={"step_size": rate})


def clip_by_module(max_norm: float) -> optax.GradientTransformation:
  """Clips the gradient of each module to a norm of at most `max_norm`.

  A module is a top-level entry of the params, a dict such as
  `{"encoder": ..., "emulator": ...}`. One norm over all of them would let
  the module with the larger gradient slow the other one down.
  """
  clip = optax.clip_by_global_norm(max_norm)
  return optax.stateless(
      lambda updates, params: {
          name: clip.update(module, clip.init(module))[0]
          for name, module in updates.items()
      }
  )


def _is_learned(params):
  """False for leaves under "fixed", which have no gradient either."""

  def learned(path, leaf):
    del leaf
    return not any(getattr(key, "key", None) == "fixed" for key in path)

  return jax.tree_util.tree_map_with_path(learned, params)


def _with_standard_promotion(inner):
  """Lets optax mix its integer counts with floats where JAX is strict."""

  def update(updates, state, params=None):
    with jax.numpy_dtype_promotion("standard"):
      return inner.update(updates, state, params)

  return optax.GradientTransformation(inner.init, update)


def _schedule(config):
  rate, warmup = config.learning_rate, config.warmup_steps
  if config.decay_steps:
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup else rate, rate, warmup, config.decay_steps
    )
  return optax.linear_schedule(0.0, rate, warmup) if warmup else rate


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

  def copy(tree):
    # With a dtype: a weakly typed leaf would be traced twice
    return jax.tree.map(lambda x: jnp.array(x, jnp.asarray(x).dtype), tree)

  return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=copy(params),
      opt_state=copy(optimizer.init(params)),
      best_params=copy(params),
      best_score=jnp.full((), jnp.inf, jnp.float32),
      best_step=jnp.full((), -1, jnp.int32),
  )


def step_key(key: Key, step: jax.Array) -> Key:
  """The key of a step, from that of the run."""
  return derive(key, "train step", step)


def make_step(loss: Loss, optimizer: optax.GradientTransformation) -> Callable:
  """One step of gradient descent as a pure function.

  Args:
    loss: `(params, key, step, data) -> (scalar, metrics)`. The key is that of
      this step alone; all that the loss draws comes from it, but for batches
      that go through the data in epochs: they are a function of the step.
    optimizer: an optax transformation.

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
        state.params, step_key(key, state.step), state.step, data
    )
    grad_norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads)))
    finite = jnp.isfinite(value) & jnp.isfinite(grad_norm)

    def update(params, opt_state):
      updates, opt_state = optimizer.update(grads, opt_state, params)
      return optax.apply_updates(params, updates), opt_state

    # Not selected from both, for which XLA would copy all of the state first
    params, opt_state = jax.lax.cond(
        finite, update, lambda *old: old, state.params, state.opt_state
    )
    metrics |= {"loss": value, "grad_norm": grad_norm, "skipped": ~finite}
    metrics = {k: jnp.asarray(v, jnp.float32) for k, v in metrics.items()}
    return state._replace(
        step=state.step + 1, params=params, opt_state=opt_state
    ), metrics

  return step


def make_steps(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    constrain: Callable[[TrainState], TrainState] = lambda state: state,
) -> Callable:
  """Any number of steps as one pure function.

  Args:
    loss: as of `make_step`.
    optimizer: as of `make_step`.
    constrain: applied to each new state: a constraint of its sharding.

  Returns:
    `steps(state, sums, key, data, count) -> (state, sums)`. The count is a
    traced int32, at least 1, so that one compilation serves every count. Sums
    of metrics start with `zero_sums` and end with `means`; steps in between may
    be taken in parts, with other data in each, and no bit depends on it.
  """
  step = make_step(loss, optimizer)

  def steps(state, sums, key, data, count):
    def body(_, carry):
      state, sums = carry
      state, metrics = step(state, key, data)
      skipped = metrics["skipped"]
      taken = {k: jnp.where(skipped > 0, 0, v) for k, v in metrics.items()}
      taken["skipped"] = skipped
      return constrain(state), jax.tree.map(jnp.add, sums, taken)

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
  return {
      name: total if name == "skipped" else total / taken
      for name, total in sums.items()
  }


def select(state: TrainState, score: jax.Array) -> TrainState:
  """Keeps the params as the best ones if their score is lower; never NaN."""
  new = (state.params, jnp.asarray(score, jnp.float32), state.step)
  old = (state.best_params, state.best_score, state.best_step)
  params, score, step = jax.tree.map(
      lambda new, old: jnp.where(score < state.best_score, new, old), new, old
  )
  return state._replace(best_params=params, best_score=score, best_step=step)
