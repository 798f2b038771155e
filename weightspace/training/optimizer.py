"""The optimiser of our own models: AdamW, clipped module by module."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


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
    emulator_ratio: learning rate of the emulator over that of the encoder; of
      no account in training without an emulator.
  """

  learning_rate: float = 1e-4
  weight_decay: float = 0.01
  clip: float = 0.1
  warmup_steps: int = 0
  decay_steps: int = 0
  emulator_ratio: float = 1.0

  def __post_init__(self):
    if self.emulator_ratio <= 0:
      raise ValueError(
          f"emulator_ratio must be positive, got {self.emulator_ratio}"
      )


class ScaledState(NamedTuple):
  """The state of an optimiser whose updates are multiplied by a number."""

  scale: jax.Array  # [] float32, 1 at first
  inner: optax.OptState


@functools.lru_cache(maxsize=64)  # so that what is compiled for it is kept
def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
  """AdamW with a schedule, after `clip_by_module`."""
  clip = clip_by_module(config.clip) if config.clip else optax.identity()
  adamw = optax.adamw(
      _schedule(config), weight_decay=config.weight_decay, mask=_is_learned
  )
  ratio = optax.identity()
  if config.emulator_ratio != 1:
    ratio = scale_module("emulator", config.emulator_ratio)
  return _with_standard_promotion(optax.chain(clip, adamw, ratio))


@functools.lru_cache(maxsize=64)
def scaled(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Multiplies updates by a number in the state, so that it may vary in vmap.

  AdamW's updates are proportional to the peak of its learning rate, the decay
  of weights included: one of rate 1 becomes that of any other rate.
  """

  def init(params):
    return ScaledState(jnp.ones((), jnp.float32), inner.init(params))

  def update(updates, state, params=None):
    updates, after = inner.update(updates, state.inner, params)
    updates = jax.tree.map(lambda u: u * state.scale.astype(u.dtype), updates)
    return updates, ScaledState(state.scale, after)

  return optax.GradientTransformation(init, update)


def clip_by_module(max_norm: float) -> optax.GradientTransformation:
  """Clips the gradient of each module to a norm of at most `max_norm`.

  A module is a top-level entry of the params, a dict such as
  `{"encoder": ..., "emulator": ...}`. One norm over all of them would let
  the module with the larger gradient slow the other one down.
  """

  def clip(tree):
    norm = global_norm(tree)
    scale = max_norm / jnp.maximum(norm, max_norm)
    return jax.tree.map(lambda g: g * scale.astype(g.dtype), tree)

  def update(updates, state, params=None):
    del params
    if not isinstance(updates, Mapping):
      raise TypeError(
          "params must be a dict of modules to be clipped one by one, got"
          f" {type(updates).__name__}"
      )
    return {name: clip(tree) for name, tree in updates.items()}, state

  return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def scale_module(name: str, ratio: float) -> optax.GradientTransformation:
  """Multiplies the updates of one module, as a learning rate of its own does.

  Args:
    name: of the module, a top-level entry of the params, where it is there.
    ratio: of its learning rate to that of the others.
  """

  def update(updates, state, params=None):
    del params
    if name not in updates:
      return updates, state
    scaled = jax.tree.map(lambda u: u * ratio, updates[name])
    return {**updates, name: scaled}, state

  return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def global_norm(tree) -> jax.Array:
  """L2 norm of all leaves together; optax's own has changed its name."""
  return jnp.sqrt(sum(jnp.vdot(x, x) for x in jax.tree.leaves(tree)))


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
  if config.decay_steps:
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if config.warmup_steps else config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=config.decay_steps,
    )
  if config.warmup_steps:
    return optax.linear_schedule(
        0.0, config.learning_rate, config.warmup_steps
    )
  return config.learning_rate
