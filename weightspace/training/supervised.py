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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from weightspace import heads, parallel, plugins, properties, settings, tasks
from weightspace.errors import UserError
from weightspace.io import locks, workdir
from weightspace.io.checkpoints import PrimaryCheckpoints
from weightspace.keys import derive, make_key
from weightspace.progress import Progress
from weightspace.training import batches, encoding
from weightspace.training.config import complete
from weightspace.training.end_to_end import Config, Shape, make_program
from weightspace.training.fit import Program, Saving, fit
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.types import Params
from weightspace.zoo import Zoo, loader


class RunConfig(NamedTuple):
  """What is trained end to end, and how."""

  encoder: encoding.EncoderConfig
  optimizer: OptimizerConfig
  supervised: Config

  def to_json(self) -> dict[str, Any]:
    """The values that `parse` takes, with all defaults."""
    return {
        "encoder": self.encoder.to_json(),
        "optimizer": dataclasses.asdict(self.optimizer),
        "supervised": dataclasses.asdict(self.supervised),
    }


def parse(config: Mapping[str, Any]) -> RunConfig:
  """A config from plain values.

  Args:
    config: "encoder" with its "name" and fields, "optimizer" with fields of
      `OptimizerConfig`, "supervised" with those of `Config`. Other keys are
      left alone.

  Raises:
    ValueError: a field that does not exist, with the nearest name.
  """
  return RunConfig(
      encoding.parse(config["encoder"]),
      plugins.configure(OptimizerConfig, config["optimizer"], "optimizer"),
      plugins.configure(Config, config["supervised"], "supervised"),
  )


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


@settings.pinned()
def train(
    zoo: Zoo,
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
    zoo: of the networks.
    config: plain values, see `parse`.
    train_rows: [n] row numbers, of networks that did not diverge.
    validation_rows: [m], which select the step; None to keep the last one.
    folder: of the run: its config, metrics and checkpoints; by default nothing
      is written. Of several processes, only process 0 reads and writes it.
    progress: where to show it.
    mesh: to spread each batch over; by default one device does it all.

  Raises:
    FileExistsError: the folder belongs to a run of another config or rows.
    ValueError: a field that does not exist, with the nearest name; a property
      that these networks do not have, or is not known of a row; no rows to
      train or validate on; an encoder that cannot encode networks of all of
      the zoo's shapes.
  """
  config = parse(config)
  family = tasks.make(zoo.spec.family, zoo.spec.family_config)
  scope = properties.Scope(family.spec, tuple(zoo.spec.snapshot_steps))
  rows = {"train": _check_rows(zoo, train_rows, "train")}
  if validation_rows is not None:
    rows["validation"] = _check_rows(zoo, validation_rows, "validation")
  targets, scaling = _make_targets(zoo, config.supervised, scope, rows)
  key = make_key(config.supervised.seed)
  data = _load(zoo, rows["train"], targets, derive(key, "order"), mesh)
  program = make_program(
      zoo.spec.rnns, scope, config.encoder, config.supervised.shared,
      batches.shares(
          [len(places) for places in loader.by_shape(zoo, rows["train"])],
          config.supervised.batch, mesh.size if mesh else 1,
      ),
      mesh,
  )  # fmt: skip

  def measure(params, rows):
    """Outputs {property: [n, ...]} and losses {property: [n]} of rows."""
    f = functools.partial(program.measure, params, data)
    return _measure_rows(f, zoo, rows, config.supervised.batch, mesh)

  def validate(params):
    _, losses = measure(params, rows["validation"])
    means = {name: float(np.mean(loss)) for name, loss in losses.items()}
    return {"loss": sum(means.values()), **means}

  params = program.init(derive(key, "init"))
  params["encoder"] = encoding.start_from_inputs(
      program.encoder, params["encoder"], zoo, family, rows["train"],
      derive(derive(key, "init"), "examples"),
  )  # fmt: skip
  with _open(zoo, config, rows, folder) as saving:
    result = fit(
        Program(program.loss, make_optimizer(config.optimizer), mesh),
        params,
        data,
        key=derive(key, "fit"),
        schedule=config.supervised.schedule,
        validate=validate if "validation" in rows else None,
        saving=saving,
        progress=progress,
        name=f"supervise {config.encoder.name}",
    )
  best = result.state.best_params
  outputs, _ = measure(best, np.arange(len(zoo)))
  outputs = {
      name: heads.in_units(
          properties.load(name, scope), of_all, *scaling[name]
      )
      for name, of_all in outputs.items()
  }
  step = int(result.state.best_step)
  return Trained(parallel.fetch(best), step, result.history, outputs)


def _measure_rows(measure, zoo, rows, batch, mesh):
  """`measure` of rows of all shapes, a batch at a time, in their order."""
  devices = mesh.size if mesh is not None else 1
  batch = devices * max(1, batch // devices)
  of_shapes = loader.by_shape(zoo, np.arange(len(zoo)))
  order, parts = [], []
  for shape, places in enumerate(loader.by_shape(zoo, rows)):
    if not len(places):
      continue
    numbers = np.searchsorted(of_shapes[shape], rows[places]).astype(np.int32)

    def of_batch(chosen, shape=shape, numbers=numbers):
      chosen = numbers[chosen]
      if mesh is not None:
        chosen = parallel.place(chosen, parallel.sharded(mesh))
      return measure(chosen, shape)

    parts.append(batches.map_batches(of_batch, len(places), batch))
    order.append(places)
  back = np.argsort(np.concatenate(order))
  return jax.tree.map(lambda *leaves: np.concatenate(leaves)[back], *parts)


def _check_rows(zoo, rows, part):
  rows = np.asarray(rows)
  if not len(rows):
    raise UserError(f"there are no {part} rows: supervised needs some")
  if rows.min() < 0 or rows.max() >= len(zoo):
    raise UserError(
        f"{part} rows must be from 0 to {len(zoo) - 1}, got {rows.min()} to"
        f" {rows.max()}"
    )
  diverged = np.sum(~zoo.columns["finite"][rows])
  if diverged:
    raise UserError(
        f"{diverged} of the {part} rows are of networks that diverged; leave"
        " them out, as splits.of_zoo does"
    )
  return rows


def _make_targets(zoo, config, scope, rows):
  """Standardised targets [R, n] of each property; its (centre, scale)."""
  targets, scaling = {}, {}
  columns = properties.columns(zoo, config.properties)
  for name in config.properties:
    property_ = properties.load(name, scope)
    property_.shape(scope)  # refuses what these networks do not have
    target = property_.target(columns, scope)
    for part, chosen in rows.items():
      unknown = np.sum(~properties.known(target[chosen]))
      if unknown:
        raise UserError(
            f"property {name!r} is not known of {unknown} of the"
            f" {len(chosen)} {part} rows: leave those out"
        )
    scaling[name] = heads.scaling(property_, target[rows["train"]])
    targets[name] = heads.standardise(property_, target, *scaling[name])
  return targets, scaling


def _load(zoo, train_rows, targets, order, mesh) -> tuple[Shape, ...]:
  """All rows on the device: of the same sizes whichever are trained on."""

  def of_shape(shape, rows):
    # Places of the training rows, which may repeat, in order of rows
    chosen = np.sort(train_rows[np.isin(train_rows, rows)])
    places = np.searchsorted(rows, chosen)
    if not len(places):
      places = np.zeros(1, int)  # none of them is ever drawn
    return Shape(
        np.nan_to_num(zoo.vectors(rows)),
        {name: target[rows] for name, target in targets.items()},
        batches.Rows.of(
            derive(order, "shape", shape), places, max(len(rows), len(places))
        ),
    )

  data = tuple(
      of_shape(shape, rows)
      for shape, rows in enumerate(loader.by_shape(zoo, np.arange(len(zoo))))
  )
  if mesh is None:
    return jax.tree.map(jnp.asarray, data)
  return jax.tree.map(
      lambda leaf: parallel.place(leaf, parallel.replicated(mesh)), data
  )


@contextlib.contextmanager
def _open(zoo, config, rows, folder):
  """Checkpoints and metrics of a run's folder, or neither."""
  if folder is None:
    yield Saving()
    return
  folder, primary = Path(folder), jax.process_index() == 0
  identity = {
      "zoo": zoo.spec.to_json(),
      **config.to_json(),
      "rows": {
          part: hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
          for part, chosen in rows.items()
      },
  }
  parallel.check_same(json.dumps(identity, sort_keys=True), "zoo or config")
  with contextlib.ExitStack() as stack:
    metrics = None
    if primary:
      workdir.claim(folder, identity, functools.partial(complete, parse=parse))
      stack.enter_context(locks.hold(folder))
      metrics = stack.enter_context(
          workdir.MetricsLog(folder / workdir.METRICS)
      )
    checkpoints = PrimaryCheckpoints(folder / workdir.CHECKPOINTS)
    yield Saving(stack.enter_context(checkpoints), metrics)
