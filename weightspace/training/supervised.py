"""End-to-end supervised training: an encoder with heads, and no emulator.

The baselines of section 5: what the encoders learn where, instead of being
pretrained by emulation and frozen, they are trained on the properties
themselves.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from weightspace import (
    heads,
    parallel,
    plugins,
    precision,
    properties,
    tasks,
    zoo,
)
from weightspace.encoders import Encoder
from weightspace.io.checkpoints import PrimaryCheckpoints
from weightspace.keys import derive
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training import batches, encoding, workdir
from weightspace.training.fit import Program, Saving, Schedule, fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.training.progress import Progress
from weightspace.training.workdir import MetricsLog
from weightspace.types import Params
from weightspace.zoo import loader


@dataclass(frozen=True)
class Config:
  """How encoder and heads are trained together.

  Attributes:
    properties: names of modules in `weightspace.properties`.
    steps: of gradient descent.
    batch: networks a step.
    augment: for encoders that are not invariant: "permutation", "signed" or
      "none".
    hidden: units of each hidden layer of a head.
    layers: how many hidden layers; 0 is a linear head.
    validate_every: steps between two validations, which select the step.
    checkpoint_every: steps between two checkpoints.
    matmul_precision: of the matrix products of training, see
      `weightspace.precision`.
    seed: of the initialisation and of all that is drawn in training.
  """

  properties: tuple[str, ...] = ("task", "accuracy")
  steps: int = 20_000
  batch: int = 64
  augment: str = "permutation"
  hidden: int = 128
  layers: int = 2
  validate_every: int = 500
  checkpoint_every: int = 1000
  matmul_precision: str = "tensorfloat32"
  seed: int = 0

  def __post_init__(self):
    object.__setattr__(self, "properties", tuple(self.properties))
    encoding.check_augment(self.augment)
    precision.check(self.matmul_precision)
    for name in ("steps", "batch", "validate_every", "checkpoint_every"):
      if (value := getattr(self, name)) < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    if not self.properties:
      raise ValueError("properties must name at least one, got none")


class Trained(NamedTuple):
  """What supervised training leaves.

  Attributes:
    params: {"encoder": of the encoder, "heads": {property: of its head}},
      those of the best validation score.
    step: of that score.
    history: metrics of the run, a dict a line.
    outputs: {property: [R, *shape]} of all rows of the zoo, in the targets'
      units; weights that are not finite are read as 0.
  """

  params: Params
  step: int
  history: list[dict[str, Any]]
  outputs: dict[str, np.ndarray]


class _Shape(NamedTuple):
  """All rows of a zoo whose networks are of one shape, and their targets."""

  vectors: jax.Array  # [R, P] float32
  targets: dict[str, jax.Array]  # [R, n] each, standardised
  train: jax.Array  # [R] int32 places to train on: the first `count` of these
  count: jax.Array  # [] int32


class _Program(NamedTuple):
  """Functions that are compiled once for all rows and seeds."""

  encoder: Encoder  # of the first shape
  init: Callable  # (key) -> params
  loss: Callable  # see `fit`
  measure: Callable  # (params, _Shape, places [n], shape) -> outputs, losses


def train(
    source: zoo.Zoo,
    config: Mapping[str, Any],
    train_rows: np.ndarray,
    validation_rows: np.ndarray | None,
    *,
    folder: str | os.PathLike | None = None,
    progress: Progress,
    mesh: Mesh | None = None,
) -> Trained:
  """Trains an encoder with one head for each property, jointly; resumes.

  The loss is the sum of the heads' losses; regressions are standardised by the
  mean and deviation of the training rows. A zoo's networks may have several
  shapes where the encoder's params do not depend on them. The weights of all
  rows are held on the device.

  Args:
    source: the zoo.
    config: "encoder" with its "name" and fields, "optimizer" with fields of
      `OptimizerConfig`, "supervised" with those of `Config`. Other keys are
      left alone.
    train_rows: [n] row numbers, of networks that did not diverge.
    validation_rows: [m], which select the step; None to keep the last one.
    folder: of the run: its config, metrics and checkpoints; by default nothing
      is written. Of several processes, only process 0 reads and writes it.
    progress: where to show how far it is.
    mesh: to spread each batch over; by default one device does it all.

  Raises:
    FileExistsError: the folder belongs to a run of another config or rows.
    ValueError: a field that is not there, with the nearest name; a property
      that these networks do not have, or is not known of a row; no rows to
      train or validate on; an encoder that cannot encode networks of all of
      the zoo's shapes.
  """
  settings = plugins.configure(Config, config["supervised"], "supervised")
  optimizer = make_optimizer(
      plugins.configure(OptimizerConfig, config["optimizer"], "optimizer")
  )
  family = tasks.make(source.spec.family, source.spec.family_config)
  scope = properties.Scope(family.spec, tuple(source.spec.snapshot_steps))
  rows = {"train": train_rows}
  if validation_rows is not None:
    rows["validation"] = validation_rows
  rows = {part: _checked(source, chosen, part) for part, chosen in rows.items()}
  sizes = [len(p) for p in loader.by_shape(source, rows["train"])]
  program = _program(
      source.spec.rnns,
      scope,
      json.dumps(dict(config["encoder"]), sort_keys=True),
      dataclasses.replace(
          settings, seed=0, steps=1, validate_every=1, checkpoint_every=1
      ),
      tuple(batches.shares(sizes, settings.batch, mesh.size if mesh else 1)),
      mesh,
  )
  targets, scaling = _targets(source, settings, scope, rows)
  data = tuple(
      _place(source, of_shape, rows["train"], targets, mesh)
      for of_shape in loader.by_shape(source, np.arange(len(source)))
  )
  measure = functools.partial(_measure, program, source, settings.batch, mesh)

  def validate(params):
    _, losses = measure(params, data, rows["validation"])
    found = {name: float(np.mean(each)) for name, each in losses.items()}
    return {"loss": sum(found.values()), **found}

  def init(key):
    params = program.init(key)
    return params | {
        "encoder": encoding.start_from_inputs(
            program.encoder,
            params["encoder"],
            source,
            family,
            rows["train"],
            derive(key, "examples"),
        )
    }

  key = jax.random.key(settings.seed)
  with _files(source, config, rows, folder) as (checkpoints, metrics):
    result = fit(
        Program(program.loss, optimizer, mesh),
        init(derive(key, "init")),
        data,
        key=derive(key, "fit"),
        schedule=Schedule(
            settings.steps,
            min(100, settings.validate_every),
            settings.validate_every,
            settings.checkpoint_every,
        ),
        validate=validate if "validation" in rows else None,
        saving=Saving(checkpoints, metrics),
        progress=progress,
        name=f"supervise {config['encoder']['name']}",
    )
  outputs, _ = measure(
      result.state.best_params, data, np.arange(len(source))
  )
  return Trained(
      parallel.fetch(result.state.best_params),
      int(result.state.best_step),
      result.history,
      {
          name: heads.in_units(properties.load(name), o, *scaling[name])
          for name, o in outputs.items()
      },
  )


@functools.lru_cache(maxsize=16)
def _program(
    specs: tuple[RNNSpec, ...],
    scope: properties.Scope,
    encoder: str,
    config: Config,
    counts: tuple[int, ...],
    mesh: Mesh | None,
) -> _Program:
  """What is compiled once for runs that differ in rows, seed and steps.

  Args:
    specs: the shapes of networks.
    scope: of the zoo.
    encoder: its config as JSON, which can be hashed.
    config: how to train.
    counts: networks of each shape in a batch.
    mesh: where the batch is spread.
  """
  rnns = tuple(make_rnn(spec) for spec in specs)
  made = encoding.make_encoders(rnns, scope.tasks, json.loads(encoder))
  encode_batches = [
      encoding.make_encode_batch(rnn, of_shape, config.augment)
      for rnn, of_shape in zip(rnns, made)
  ]
  code = encoding.code_size(rnns[0], made[0])
  sizes = heads.Config("mlp", config.hidden, config.layers)
  of_property = {
      name: heads.make(sizes, properties.load(name), scope, code)
      for name in config.properties
  }

  @jax.jit
  def init(key):
    return {
        "encoder": made[0].init(derive(key, "encoder")),
        "heads": {
            name: head.init(derive(derive(key, "head"), name))
            for name, head in of_property.items()
        },
    }

  def judge(params, codes, targets):
    """Outputs and losses [B] of the head of each property."""
    outputs = {
        name: head.apply(params["heads"][name], codes)
        for name, head in of_property.items()
    }
    losses = {
        name: head.loss(outputs[name], targets[name])
        for name, head in of_property.items()
    }
    return outputs, losses

  def losses_of_shape(params, key, data, shape):
    count = counts[shape]
    places = jax.random.randint(derive(key, "rows"), (count,), 0, data.count)
    keys = jax.random.split(derive(key, "augmentation"), count)
    if mesh is not None:
      places, keys = (parallel.local_shard(a, mesh) for a in (places, keys))
    places = data.train[places]
    codes = encode_batches[shape](
        params["encoder"], keys, data.vectors[places]
    )
    targets = {name: t[places] for name, t in data.targets.items()}
    return sum(jnp.sum(a) for a in judge(params, codes, targets)[1].values())

  def mean(params, key, step, data):
    """A device's part of the mean over the batch."""
    del step  # rows are drawn by its key
    losses = sum(
        losses_of_shape(params, derive(key, "shape", i), of_shape, i)
        for i, of_shape in enumerate(data)
        if counts[i]
    )
    return losses / config.batch

  def loss(params, key, step, data):
    f = mean if mesh is None else parallel.psum_over_mesh(mean, mesh)
    with precision.products(config.matmul_precision):
      return f(params, key, step, data), {}

  def measure_rows(shape, shared, places):
    params, data = shared
    codes = jax.vmap(
        lambda v: made[shape].apply(params["encoder"], rnns[shape].unflatten(v))
    )(data.vectors[places])
    return judge(
        params, codes, {name: t[places] for name, t in data.targets.items()}
    )

  @functools.partial(jax.jit, static_argnames="shape")
  def measure(params, data, places, shape):
    f = functools.partial(measure_rows, shape)
    if mesh is not None:
      f = parallel.map_rows(f, mesh)
    return f((params, data), places)

  return _Program(made[0], init, loss, measure)


def _measure(program, source, batch, mesh, params, data, rows):
  """Outputs {property: [n, ...]} and losses {property: [n]} of rows."""
  devices = mesh.size if mesh is not None else 1
  batch = devices * max(1, batch // devices)
  number = np.zeros(len(source), np.int32)  # of each row in its shape
  for of_shape in loader.by_shape(source, np.arange(len(source))):
    number[of_shape] = np.arange(len(of_shape))
  found, order = [], []
  for shape, places in enumerate(loader.by_shape(source, rows)):
    # The last batch is filled up with rows from the beginning
    filled = np.resize(places, -(-len(places) // batch) * batch)
    for drawn in number[rows[filled]].reshape(-1, batch):
      if mesh is not None:
        drawn = parallel.place(drawn, parallel.sharded(mesh))
      # One after the other: no more than a batch is encoded at a time
      found.append(
          jax.device_get(program.measure(params, data[shape], drawn, shape))
      )
    order.append((filled, len(places)))
  joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)
  starts = np.cumsum([0, *(len(filled) for filled, _ in order)])
  kept = np.concatenate([
      start + np.arange(count) for start, (_, count) in zip(starts, order)
  ])
  back = np.argsort(np.concatenate([f[:count] for f, count in order]))
  return jax.tree.map(lambda leaf: leaf[kept][back], joined)


def _checked(source, rows, part):
  rows = np.asarray(rows)
  if not len(rows):
    raise ValueError(f"there are no {part} rows: supervised needs some")
  if rows.min() < 0 or rows.max() >= len(source):
    raise ValueError(
        f"{part} rows must be from 0 to {len(source) - 1}, got {rows.min()} to"
        f" {rows.max()}"
    )
  diverged = np.sum(~source.columns["finite"][rows])
  if diverged:
    raise ValueError(
        f"{diverged} of the {part} rows are of networks that diverged; leave"
        " them out, as splits.of_zoo does"
    )
  return rows


def _targets(source, settings, scope, rows):
  """Targets [R, n] of each property; its (mean, std)."""
  targets, scaling = {}, {}
  for name in settings.properties:
    property_ = properties.load(name)
    property_.shape(scope)  # refuses what these networks do not have
    target = property_.target(source.columns, scope)
    for part, chosen in rows.items():
      if not np.isfinite(target[chosen]).all():
        raise ValueError(
            f"property {name!r} is not known of all {part} rows: leave those"
            " out whose column is not finite"
        )
    scaling[name] = np.float32(0), np.float32(1)
    if property_.kind == "regression":
      known = target[rows["train"]]
      scaling[name] = known.mean(axis=0), known.std(axis=0) + np.float32(1e-6)
      target = (target - scaling[name][0]) / scaling[name][1]
    targets[name] = target
  return targets, scaling


def _place(source, of_shape, train_rows, targets, mesh):
  """A shape's rows on the device: the same sizes whichever are trained on."""
  places = np.flatnonzero(np.isin(of_shape, train_rows))
  # With their repetitions, in order of rows
  times = np.bincount(train_rows, minlength=len(source))[of_shape[places]]
  train = np.repeat(places, times)
  data = _Shape(
      np.nan_to_num(source.vectors(of_shape)),
      {name: target[of_shape] for name, target in targets.items()},
      np.resize(train, max(len(of_shape), len(train))).astype(np.int32),
      np.int32(len(train)),
  )
  if mesh is None:
    return jax.tree.map(jnp.asarray, data)
  return jax.tree.map(
      lambda leaf: parallel.place(leaf, parallel.replicated(mesh)), data
  )


@contextlib.contextmanager
def _files(source, config, rows, folder):
  """Checkpoints and metrics of a run's folder, or neither."""
  if folder is None:
    yield None, None
    return
  folder, first = Path(folder), jax.process_index() == 0
  claimed = {
      "zoo": source.spec.to_json(),
      **{name: config[name] for name in ("encoder", "optimizer", "supervised")},
      "rows": {
          part: hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
          for part, chosen in rows.items()
      },
  }
  parallel.check_same(json.dumps(claimed, sort_keys=True), "zoo or config")
  if first:
    workdir.claim(folder, claimed)
  with (
      PrimaryCheckpoints(folder / "checkpoints") as checkpoints,
      (
          MetricsLog(folder / "metrics.jsonl")
          if first
          else contextlib.nullcontext()
      ) as metrics,
  ):
    yield checkpoints, metrics
