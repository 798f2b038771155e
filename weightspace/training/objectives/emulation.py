"""Emulation as self-supervision (section 4.1): encoder and emulator together.

    min over phi, xi of  E_(theta, S)  D(f_theta(S), A_xi(S, E_phi(theta)))

The emulator is thrown away afterwards; the encoder is what is kept.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace import divergences, fields
from weightspace import emulator as emulator_lib
from weightspace.emulator import Emulator
from weightspace.keys import derive
from weightspace.training import encoding, objectives
from weightspace.training.objectives import Objective, Scope
from weightspace.types import Params
from weightspace.zoo.loader import Data

PARTS = {"emulator": emulator_lib.Config}


@dataclass(frozen=True)
class Config(objectives.Config):
  """How encoder and emulator are trained; the defaults are the paper's.

  Attributes:
    divergence: what training minimises: a name in `weightspace.divergences`,
      or several joined by "+". Total variation, the paper's, has hardly a
      gradient where an emulator is surely wrong, and needs many times the
      steps of "kl+total_variation".
    score: what validation measures and selects by, a name.
    sequences: rollouts of each network a step.
    mask_padding: whether steps after EOS are left out. The authors' release
      counts them, which makes for smaller losses.
    augment: for encoders that are not invariant: "permutation", "signed" or
      "none".
    validation_sequences: rollouts of each network to validate on.
  """

  divergence: str = "total_variation"
  score: str = "total_variation"
  sequences: int = 1
  mask_padding: bool = True
  augment: str = "permutation"
  validation_sequences: int = 4

  def __post_init__(self):
    super().__post_init__()
    divergences.load(self.divergence)
    divergences.load(self.score)
    encoding.check_augment(self.augment)
    fields.check_integers(self, "sequences", "validation_sequences")
    fields.check_bools(self, "mask_padding")


def make(
    config: Config, scope: Scope, emulator: emulator_lib.Config
) -> Objective:
  """Encoder and emulator minimise a divergence from the networks' outputs."""
  made = make_emulator(scope, emulator)
  emulate = make_emulate(scope, made)
  divergence = divergences.load(config.divergence)
  networks = config.batch * config.sequences

  def loss(params, batch, key):
    codes = scope.encode(params, batch, key, config.augment)

    def of_shape(codes, data):
      emulation, original, mask = emulate(params, codes, data)
      return jnp.sum(_means(divergence(original, emulation), mask, config))

    pairs = objectives.present(codes, batch)
    return sum(of_shape(*pair) for pair in pairs) / networks, {}

  measure = make_measure(config, scope, made, (config.score,))
  return Objective(
      init=lambda key: {"emulator": made.init(derive(key, "emulator"))},
      loss=loss,
      measure=lambda params, batch: {
          "loss": measure(params, batch)[config.score]
      },
      sequences=config.sequences,
      validation_sequences=config.validation_sequences,
  )


def make_emulator(scope: Scope, config: emulator_lib.Config) -> Emulator:
  """The emulator of networks of a scope; its params are those of "emulator"."""
  return emulator_lib.make(
      config,
      code=scope.code,
      inputs=scope.rnns[0].spec.inputs,
      outputs=scope.rnns[0].spec.outputs,
  )


def make_measure(
    config: Config,
    scope: Scope,
    emulator: Emulator,
    names: tuple[str, ...],
) -> Callable:
  """A function that measures emulation by several divergences.

  Args:
    config: whether padding is masked.
    scope: of the networks.
    emulator: of those networks.
    names: of the divergences.

  Returns:
    As `Objective.measure`: {name: mean over the sequences of each row, [B]}.
  """
  emulate = make_emulate(scope, emulator)

  def measure(params, batch):
    (pair,) = objectives.present(scope.encode(params, batch), batch)
    emulation, original, mask = emulate(params, *pair)
    losses = {n: divergences.load(n)(original, emulation) for n in names}
    return {
        name: jnp.mean(_means(loss, mask, config), axis=-1)
        for name, loss in losses.items()
    }

  return measure


def make_emulate(scope: Scope, emulator: Emulator) -> Callable:
  """A function that returns the emulator's outputs beside the networks' own.

  Args:
    scope: of the networks.
    emulator: of those networks.

  Returns:
    (params {"emulator", ...}, codes [B, Z], `Data` of B rows with k sequences
    each) -> emulation and original, log-probabilities [T, B, k, V], and the
    mask of what is not padding [T, B, k]; all float32.
  """
  family = scope.family

  def emulate(params: Params, codes: jax.Array, data: Data):
    inputs = jax.vmap(family.encode, out_axes=1)(data.task, data.sequences)
    original = jnp.moveaxis(data.log_probs.astype(jnp.float32), 2, 0)
    mask = jax.vmap(family.mask, out_axes=1)(data.sequences)
    steps, *batch, _ = inputs.shape
    emulation = emulator.apply(
        params["emulator"],
        jnp.repeat(codes, batch[1], axis=0),
        inputs.reshape(steps, -1, inputs.shape[-1]),
    )
    return emulation.reshape(steps, *batch, -1), original, mask

  return emulate


def _means(losses, mask, config):
  """Means over time, [T, ...] -> [...], of what the mask leaves."""
  if not config.mask_padding:
    mask = jnp.ones_like(mask)
  return jnp.sum(losses * mask, axis=0) / jnp.sum(mask, axis=0)
