"""End-to-end supervised training on rows of one's own, with what it predicts.

The baselines of section 5; see `weightspace.training.objectives.supervised`.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from weightspace import parallel, settings, tasks
from weightspace.errors import UserError
from weightspace.io import locks, workdir
from weightspace.io.checkpoints import PrimaryCheckpoints
from weightspace.keys import derive, make_key
from weightspace.progress import Progress
from weightspace.rnn import make_rnn
from weightspace.training import batches, draws, encoding
from weightspace.training import config as config_lib
from weightspace.training import model as model_lib
from weightspace.training.config import Config, complete
from weightspace.training.draws import Rows, Size
from weightspace.training.fit import Program, Saving, fit
from weightspace.training.model import Model
from weightspace.training.objectives import supervised
from weightspace.training.optimizer import OptimizerConfig, make_optimizer
from weightspace.types import Params
from weightspace.zoo import Zoo, loader

_OBJECTIVE = {"objective": "supervised"}


def parse(config: Mapping[str, Any]) -> Config:
  """A config from plain values: see `config.parse`; the objective is known."""
  return config_lib.parse({**config, **_OBJECTIVE})


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
      that these networks do not have, or that is known of none of the rows;
      no rows to train or validate on; an encoder that cannot encode networks
      of all of the zoo's shapes.
  """
  config = parse(config)
  rows = {"train": _check_rows(zoo, train_rows, "train")}
  if validation_rows is not None:
    rows["validation"] = _check_rows(zoo, validation_rows, "validation")
  training = config.training
  places = [rows["train"][p] for p in loader.by_shape(zoo, rows["train"])]
  size = Size(
      draws.shares(
          list(map(len, places)), training.batch, mesh.size if mesh else 1
      )
  )
  program = _make_program(
      zoo.spec.rnns, zoo.spec.family, json.dumps(zoo.spec.family_config),
      tuple(zoo.spec.snapshot_steps), config.encoder, training.shared, size,
      mesh,
  )  # fmt: skip
  scope = program.model.scope
  columns = program.model.objective.columns(zoo, rows)
  key = make_key(training.seed)
  split = _load(zoo, places, columns, size, derive(key, "order"))

  def validate(params):
    measured = program.measure(params, _select(zoo, split, rows["validation"]))
    parts = {p: float(np.mean(measured[p])) for p in training.properties}
    return {"loss": sum(parts.values()), **parts}

  params = program.init(derive(key, "init"))
  params["encoder"] = encoding.start_from_inputs(
      scope.encoders[0], params["encoder"], zoo, scope.family, rows["train"],
      derive(derive(key, "init"), "examples"),
  )  # fmt: skip
  with _open(zoo, config, rows, folder) as saving:
    result = fit(
        Program(program.loss, make_optimizer(config.optimizer), mesh),
        params,
        _place(split, mesh),
        key=derive(key, "fit"),
        schedule=training.schedule,
        validate=validate if "validation" in rows else None,
        saving=saving,
        progress=progress,
        name=f"supervise {config.encoder.name}",
    )
  best = result.state.best_params
  by_shape = np.concatenate(loader.by_shape(zoo, np.arange(len(zoo))))
  outputs = {
      name: of_all[np.argsort(by_shape)]
      for name, of_all in program.outputs(best, split.shapes).items()
  }
  return Trained(
      parallel.fetch(best),
      int(result.state.best_step),
      result.history,
      supervised.in_units(training, scope, zoo, rows, outputs),
  )


class _Program(NamedTuple):
  """Functions that are compiled once for all rows and seeds."""

  model: Model
  init: Callable  # (key) -> params
  loss: Callable  # see `model.make_loss`
  measure: Callable  # see `model.make_measure`
  outputs: Callable  # (params, data) -> {property: [R, *shape]}


@functools.lru_cache(maxsize=16)
def _make_program(
    specs, family, family_config, steps, encoder, training, size, mesh
) -> _Program:
  """What runs share that differ in rows, seed and steps."""
  model = model_lib.make(
      [make_rnn(spec) for spec in specs],
      tasks.make(family, json.loads(family_config)),
      steps,
      Config("supervised", encoder, OptimizerConfig(), training, {}),
      mesh,
  )
  measures = (
      model.objective.measure,
      supervised.make_outputs(training, model.scope),
  )
  return _Program(
      model,
      jax.jit(model.init),
      model_lib.make_loss(model, size, training.matmul_precision),
      *(model_lib.make_measure(f, training.batch, mesh) for f in measures),
  )


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


def _load(zoo, places, columns, size, order) -> batches.Split:
  """All rows of the zoo: of the same sizes whichever are trained on."""
  of_shapes = loader.by_shape(zoo, np.arange(len(zoo)))

  def drawn(shape, rows, chosen):
    # Places of the training rows, which may repeat, in order of rows
    chosen = np.searchsorted(rows, np.sort(chosen))
    if not len(chosen):
      chosen = np.zeros(1, int)  # none of them is ever drawn
    key = derive(order, "shape", shape)
    return Rows.of(key, chosen, max(len(rows), len(chosen)))

  split = batches.load(
      batches.Dataset(zoo, of_shapes, columns, size),
      tuple(
          drawn(shape, *rows)
          for shape, rows in enumerate(zip(of_shapes, places))
      ),
  )
  return split._replace(
      shapes=tuple(
          data._replace(vectors=np.nan_to_num(data.vectors))
          for data in split.shapes
      )
  )


def _select(zoo, split, rows):
  """Data of rows of the zoo, of each shape."""

  def of(data, rows_of_shape, places):
    chosen = np.searchsorted(rows_of_shape, rows[places])
    return jax.tree.map(lambda leaf: leaf[chosen], data)

  return tuple(
      map(
          of, split.shapes, loader.by_shape(zoo, np.arange(len(zoo))),
          loader.by_shape(zoo, rows),
      )
  )  # fmt: skip


def _place(split, mesh):
  """Copies to all devices."""
  if mesh is None:
    return jax.tree.map(jnp.asarray, split)
  replicated = parallel.replicated(mesh)
  return jax.tree.map(lambda leaf: parallel.place(leaf, replicated), split)


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
      workdir.claim(
          folder, identity, lambda stored: complete({**_OBJECTIVE, **stored})
      )
      stack.enter_context(locks.hold(folder))
      metrics = stack.enter_context(
          workdir.MetricsLog(folder / workdir.METRICS)
      )
    checkpoints = PrimaryCheckpoints(folder / workdir.CHECKPOINTS)
    yield Saving(stack.enter_context(checkpoints), metrics)
