"""Emulation as self-supervision (section 4.1): encoder and emulator together.

    min over phi, xi of  E_(theta, S)  D(f_theta(S), A_xi(S, E_phi(theta)))

The emulator is thrown away afterwards; the encoder is what is kept.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from weightspace import (
    divergences,
    emulator,
    encoders,
    parallel,
    plugins,
    symmetry,
    tasks,
    zoo,
)
from weightspace.keys import derive
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily
from weightspace.training import workdir as workdir_lib
from weightspace.training.checkpoints import Checkpoints
from weightspace.training.fit import fit
from weightspace.training.metrics import MetricsLog
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.training.progress import Progress
from weightspace.types import Params
from weightspace.zoo import loader, splits
from weightspace.zoo.loader import Data


@dataclass(frozen=True)
class Config:
  """How encoder and emulator are trained; the defaults are the paper's.

  Attributes:
    divergence: a name in `weightspace.divergences`.
    steps: of gradient descent.
    batch: networks a step.
    sequences: rollouts of each network a step.
    mask_padding: whether steps after EOS are left out. The authors' release
      counts them, which makes for smaller losses.
    augment: for encoders that are not invariant: "permutation", "signed" or
      "none".
    validate_every: steps between two validations.
    validation_sequences: rollouts of each network to validate on.
    checkpoint_every: steps between two checkpoints.
    split_seed: of the split into training and validation tasks.
    seed: of the initialisation and of all that is drawn in training.
  """

  divergence: str = "total_variation"
  steps: int = 100_000
  batch: int = 64
  sequences: int = 1
  mask_padding: bool = True
  augment: str = "permutation"
  validate_every: int = 1000
  validation_sequences: int = 4
  checkpoint_every: int = 1000
  split_seed: int = 0
  seed: int = 0

  def __post_init__(self):
    divergences.load(self.divergence)
    if self.augment not in ("permutation", "signed", "none"):
      raise ValueError(
          "augment must be 'permutation', 'signed' or 'none', got"
          f" {self.augment!r}"
      )


class Model(NamedTuple):
  """An encoder with its emulator.

  Attributes:
    encoder: `weightspace.encoders.Encoder`.
    emulator: `weightspace.emulator.Emulator`.
    init: (key) -> params {"encoder", "emulator"}.
  """

  encoder: encoders.Encoder
  emulator: emulator.Emulator
  init: Callable


class Pretrained(NamedTuple):
  """What emulation leaves.

  Attributes:
    encoder: functions.
    emulator: functions.
    params: {"encoder", "emulator"}, those of the best validation score.
    step: of that score.
    history: metrics of the run, a dict a line.
  """

  encoder: encoders.Encoder
  emulator: emulator.Emulator
  params: Params
  step: int
  history: list[dict[str, Any]]


def make_model(
    rnn: RNN, family: TaskFamily, config: Mapping[str, Any]
) -> Model:
  """Encoder and emulator from a config.

  Args:
    rnn: the shape of the networks to encode.
    family: what they do.
    config: "encoder" with its "name" and fields, "emulator" with its fields.
  """
  fields = dict(config["encoder"])
  encoder = encoders.make(fields.pop("name"), fields, rnn, family.spec.kind)
  blank = jax.eval_shape(lambda: rnn.unflatten(jnp.zeros(rnn.size)))
  params = jax.eval_shape(encoder.init, jax.random.key(0))
  code = jax.eval_shape(encoder.apply, params, blank).shape[-1]
  speaker = emulator.make(
      plugins.configure(emulator.Config, config["emulator"], "emulator"),
      code=code,
      inputs=rnn.spec.inputs,
      outputs=rnn.spec.outputs,
  )

  def init(key):
    return {
        "encoder": encoder.init(derive(key, "encoder")),
        "emulator": speaker.init(derive(key, "emulator")),
    }

  return Model(encoder, speaker, init)


def emulate(model: Model, family: TaskFamily, params: Params, codes, data):
  """The emulator's answers beside the networks' own.

  Args:
    model: encoder and emulator.
    family: what the networks do.
    params: {"encoder", "emulator"}.
    codes: [B, Z].
    data: `Data` of B rows with k sequences each.

  Returns:
    emulation and original, log-probabilities [T, B, k, V], and the mask of
    what is not padding [T, B, k]; all float32.
  """
  inputs = jax.vmap(family.encode, out_axes=1)(data.task, data.sequences)
  batch = inputs.shape[1:3]
  codes = jnp.broadcast_to(codes[:, None], (*batch, codes.shape[-1]))
  emulation = model.emulator.apply(params["emulator"], codes, inputs)
  original = jnp.moveaxis(data.log_probs.astype(jnp.float32), 2, 0)
  mask = jax.vmap(family.mask, out_axes=1)(data.sequences)
  return emulation, original, mask


def sequence_means(losses: jax.Array, mask: jax.Array) -> jax.Array:
  """Means over time `[T, ...]` of what the mask `[T, ...]` leaves."""
  return jnp.sum(losses * mask, axis=0) / jnp.sum(mask, axis=0)


def make_loss(
    model: Model,
    rnn: RNN,
    family: TaskFamily,
    config: Config,
    mesh: Mesh | None = None,
) -> Callable:
  """The loss that `fit` differentiates.

  Args:
    model: encoder and emulator.
    rnn: the shape of the networks.
    family: what they do.
    config: how to train.
    mesh: where the batch is spread over its axis.

  Returns:
    (params, key, step, data) -> (loss, metrics); `data` is a whole split.
  """
  divergence = divergences.load(config.divergence)
  augmented = not model.encoder.invariant and config.augment != "none"

  def encode(params, key, vector):
    weights = rnn.unflatten(vector)
    if augmented:
      weights = symmetry.augment(
          key, rnn, weights, signed=config.augment == "signed"
      )
    return model.encoder.apply(params["encoder"], weights)

  def loss(params, key, step, data):
    size, kept = data.log_probs.shape[:2]
    rows = loader.batch_indices(
        jax.random.key(config.seed), step, size=size, batch=config.batch
    )
    if mesh is not None:
      rows = jax.lax.with_sharding_constraint(rows, parallel.split(mesh))
    shape = (config.batch, config.sequences)
    which = jax.random.randint(derive(key, "rollouts"), shape, 0, kept)
    batch = Data(
        vectors=data.vectors[rows],
        sequences=data.sequences[rows[:, None], which],
        log_probs=data.log_probs[rows[:, None], which],
        task=data.task[rows],
        columns={},
    )
    keys = jax.random.split(derive(key, "augmentation"), config.batch)
    codes = jax.vmap(encode, (None, 0, 0))(params, keys, batch.vectors)
    emulation, original, mask = emulate(model, family, params, codes, batch)
    losses = divergence(original, emulation)
    if not config.mask_padding:
      mask = jnp.ones_like(mask)
    return jnp.mean(sequence_means(losses, mask)), {}

  return loss


def make_validate(
    model: Model,
    rnn: RNN,
    family: TaskFamily,
    config: Config,
    data: Data,
    mesh: Mesh | None = None,
    names: tuple[str, ...] | None = None,
) -> Callable:
  """A function that measures emulation on all rows of a split.

  Args:
    model: encoder and emulator.
    rnn: the shape of the networks.
    family: what they do.
    config: how to train.
    data: the rows, with the sequences to measure on.
    mesh: where rows are spread over its axis.
    names: of the divergences to measure; by default the one of the config.

  Returns:
    (params) -> {"loss": mean over rows of the config's divergence, and the
    mean of each of `names`}, and under "rows" the config's, [R].
  """
  names = names or (config.divergence,)
  size = len(data.vectors)
  devices = mesh.size if mesh is not None else 1
  rows_at_once = devices * max(1, config.batch // devices)
  padded = -(-size // rows_at_once) * rows_at_once
  # In batches [batches, rows at once, ...]; the last one repeats rows
  order = np.arange(padded) % size

  def batched(leaf):
    leaf = leaf[order].reshape(-1, rows_at_once, *leaf.shape[1:])
    if mesh is None:
      return jnp.asarray(leaf)
    spec = PartitionSpec(None, mesh.axis_names[0])
    return jax.device_put(leaf, NamedSharding(mesh, spec))

  batches = jax.tree.map(batched, data._replace(columns={}))

  @jax.jit
  def measure(params, batches):
    def one(batch):
      codes = jax.vmap(
          lambda v: model.encoder.apply(params["encoder"], rnn.unflatten(v))
      )(batch.vectors)
      emulation, original, mask = emulate(model, family, params, codes, batch)
      if not config.mask_padding:
        mask = jnp.ones_like(mask)
      return {
          name: jnp.mean(
              sequence_means(
                  divergences.load(name)(original, emulation), mask
              ),
              axis=-1,
          )
          for name in {*names, config.divergence}
      }

    return jax.lax.map(one, batches)

  def validate(params):
    found = {
        name: np.asarray(values).reshape(-1)[:size]
        for name, values in measure(params, batches).items()
    }
    rows = found[config.divergence]
    means = {name: float(np.mean(found[name])) for name in names}
    return {"loss": float(np.mean(rows)), **means, "rows": rows}

  return validate


class Split(NamedTuple):
  """The rows of a zoo by what they are for; diverged networks are left out."""

  train: np.ndarray
  validation: np.ndarray
  ood: np.ndarray
  diverged: int  # rows left out


def split_rows(source: zoo.Zoo, family: TaskFamily, seed: int) -> Split:
  """Splits by distinct task; the most novel tasks are OOD."""
  task = source.columns["task"]
  novelty = np.asarray(jax.vmap(family.novelty)(jnp.asarray(task)))
  found = splits.by_task(task, novelty, seed=seed)
  finite = source.columns["finite"]
  kept = (rows[finite[rows]] for rows in found)
  return Split(*kept, diverged=int(np.sum(~finite)))


def pretrain(
    source: zoo.Zoo,
    config: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    progress: Progress,
    mesh: Mesh | None = None,
    tensorboard: bool = False,
) -> Pretrained:
  """Trains an encoder of a zoo's networks by emulation; resumes.

  Args:
    source: the zoo.
    config: "encoder", "emulator", "optimizer" and "emulation", see
      `experiments/configs/emulation.py`.
    folder: of the run: its config, metrics and checkpoints.
    progress: where to show how far it is.
    mesh: to spread each batch over; by default one device does it all.
    tensorboard: whether to write TensorBoard's files too.

  Raises:
    FileExistsError: the folder belongs to a run of another config.
    ValueError: a field that is not there, with the nearest name.
  """
  settings = plugins.configure(Config, config["emulation"], "emulation")
  optimizer = plugins.configure(
      OptimizerConfig, config["optimizer"], "optimizer"
  )
  family = tasks.make(source.spec.family, source.spec.family_config)
  model = make_model(source.rnn, family, config)
  folder = workdir_lib.claim(
      folder, {"zoo": source.spec.to_json(), **config}
  )
  split = split_rows(source, family, settings.split_seed)
  validation = loader.load(source, split.validation)
  kept = slice(0, settings.validation_sequences)
  validation = validation._replace(
      sequences=validation.sequences[:, kept],
      log_probs=validation.log_probs[:, kept],
  )
  validate = make_validate(
      model, source.rnn, family, settings, validation, mesh
  )
  key = jax.random.key(settings.seed)
  with (
      Checkpoints(folder / "checkpoints") as checkpoints,
      MetricsLog(
          folder / "metrics.jsonl", tensorboard=tensorboard
      ) as metrics,
  ):
    result = fit(
        make_loss(model, source.rnn, family, settings, mesh),
        make_optimizer(optimizer),
        jax.jit(model.init)(derive(key, "init")),
        loader.load(source, split.train)._replace(columns={}),
        key=derive(key, "fit"),
        steps=settings.steps,
        chunk=min(100, settings.validate_every),
        validate=lambda params: {"loss": validate(params)["loss"]},
        validate_every=settings.validate_every,
        checkpoints=checkpoints,
        checkpoint_every=settings.checkpoint_every,
        metrics=metrics,
        progress=progress,
        mesh=mesh,
        name=f"pretrain {config['encoder']['name']}",
    )
  return Pretrained(
      model.encoder,
      model.emulator,
      jax.device_get(result.state.best_params),
      int(result.state.best_step),
      result.history,
  )


def load(source: zoo.Zoo, folder: str | os.PathLike) -> tuple[Pretrained, dict]:
  """The encoder that `pretrain` left in a folder, and its config.

  Raises:
    FileNotFoundError: there is no finished run.
    ValueError: it was trained on networks of another shape.
  """
  folder = Path(folder)
  config = workdir_lib.read(folder)
  family = tasks.make(source.spec.family, source.spec.family_config)
  if config["zoo"]["rnn"] != source.spec.to_json()["rnn"]:
    raise ValueError(
        f"{folder} encodes networks of the shape {config['zoo']['rnn']}, those"
        f" of the zoo have {source.spec.to_json()['rnn']}"
    )
  from weightspace.training.state import init_state

  model = make_model(source.rnn, family, config)
  optimizer = make_optimizer(OptimizerConfig(**config["optimizer"]))
  template = jax.eval_shape(
      lambda key: init_state(model.init(key), optimizer), jax.random.key(0)
  )
  with Checkpoints(folder / "checkpoints") as checkpoints:
    restored = checkpoints.restore(template)
  if restored is None or restored[0] < config["emulation"]["steps"]:
    raise FileNotFoundError(
        f"{folder} holds no finished run; continue it with"
        f" python -m experiments.pretrain --workdir={folder}"
    )
  state = restored[1]
  from weightspace.training.metrics import read

  return (
      Pretrained(
          model.encoder,
          model.emulator,
          jax.device_get(state.best_params),
          int(state.best_step),
          read(folder / "metrics.jsonl"),
      ),
      config,
  )
