"""The loop of gradient training that all our models go through."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import logging
from jax.sharding import Mesh

from weightspace import parallel
from weightspace.errors import UserError
from weightspace.io.checkpoints import Checkpoints, watch_sigterm
from weightspace.io.workdir import MetricsLog
from weightspace.progress import Progress
from weightspace.training import optimizer as optimizer_lib
from weightspace.training.optimizer import TrainState
from weightspace.types import Key, Params

VALIDATION = "validation/"  # begins the names of what `validate` returns


class Program(NamedTuple):
  """What is compiled. Given equal ones, nothing is compiled again.

  Attributes:
    loss: see `optimizer.make_step`.
    optimizer: see `optimizer.make_optimizer`.
    mesh: where the state is; the loss splits the batch. By default the default
      device.
    sharded: whether params and the optimiser's state are spread over the mesh
      (FSDP), or copied to each of its devices.
    members: to train several models at once, `in_axes` of the data for
      `jax.vmap`. Without a mesh.
  """

  loss: optimizer_lib.Loss
  optimizer: optax.GradientTransformation
  mesh: Mesh | None = None
  sharded: bool = False
  members: Any = None


class Schedule(NamedTuple):
  """Steps in all, earlier runs' included, and steps between two events.

  Attributes:
    steps: in all.
    log_every: between two lines of metrics.
    validate_every: None to validate before the first and after the last step.
    checkpoint_every: None to save the last step only.
  """

  steps: int
  log_every: int = 50
  validate_every: int | None = None
  checkpoint_every: int | None = None

  @classmethod
  def of_run(cls, steps: int, validate_every: int, checkpoint_every: int):
    """The schedule of a run, which logs every 100 steps or more often."""
    log_every = min(100, validate_every)
    return cls(steps, log_every, validate_every, checkpoint_every)

  def chunks(self, start: int):
    """(last step, number of steps) of what is run at once, after `start`."""
    periods = [period for period in self[1:] if period]
    while start < self.steps:
      end = min(self.steps, *((start // p + 1) * p for p in periods))
      yield end, end - start
      start = end

  def due(self, step: int, every: int | None) -> bool:
    """Whether something that happens so often happens after a step."""
    return step == self.steps or (bool(every) and step % every == 0)


class Saving(NamedTuple):
  """Files of a run. Of several processes, only process 0 has `metrics`.

  Attributes:
    checkpoints: where to resume from and to save to; the last step is saved,
      so that a finished run is not run again.
    metrics: a file of this run's own: lines beyond the checkpoint are dropped.
  """

  checkpoints: Checkpoints | None = None
  metrics: MetricsLog | None = None


_NOTHING_SAVED = Saving()


class FitResult(NamedTuple):
  """What training ended with.

  Attributes:
    state: the last state; `state.best_params` are those of the lowest
      validation score, or the last ones where there was no validation.
    history: the metrics, a dict for each line of the metrics file. A resumed
      run has those of earlier runs only if it was given that file.
  """

  state: TrainState
  history: list[dict[str, float]]


def fit(
    program: Program,
    params: Params | TrainState,
    data: Any,
    *,
    key: Key,
    schedule: Schedule,
    validate: Callable[[Params], dict[str, Any]] | None = None,
    saving: Saving = _NOTHING_SAVED,
    progress: Progress | None = None,
    name: str = "fit",
) -> FitResult:
  """Trains, validates, selects, saves; resumes an interrupted run.

  Steps run in chunks inside one compiled function. Chunks end at multiples of
  the schedule's periods, wherever the run began, so a run that was interrupted
  and resumed has the metrics and, on a CPU, the bits of one that was not.

  On SIGTERM the chunk under way is finished and saved. Where the mesh has
  devices of several processes, a SIGTERM to one of them ends all.

  Args:
    program: loss, optimiser, and where they run.
    params: where to start, unless there is a checkpoint. They are copied; the
      memory of a whole `TrainState` is taken instead. With `members`, a state
      whose leaves have a leading axis [M], as has the key; then validation
      takes and returns such an axis, each member is selected and its bad steps
      are skipped by itself, and a metric `loss` is `loss/0` to `loss/M-1`.
    data: a pytree of arrays, an argument of the compiled function; or, where
      that is too much, `(step) -> (such data, the step after its last)`.
    key: the run's only source of randomness.
    schedule: how long, and what happens how often.
    validate: `(params) -> scalars`, of which the lowest "loss" selects the
      best params.
    saving: files to resume from and to write.
    progress: silent by default.
    name: of the stage, for `progress`.

  Raises:
    SystemExit: 143, after a SIGTERM.
    ValueError: the checkpoint is of another model or beyond the last step, or
      validation returns no "loss".
  """
  checkpoints, metrics = saving
  if not isinstance(params, TrainState):
    params = optimizer_lib.init_state(params, program.optimizer)
  state = _place(params, program.mesh, program.sharded)
  key = _place(key, program.mesh)
  if not callable(data):
    whole = _place(data, program.mesh), schedule.steps
    data = lambda step: whole  # noqa: E731
  restored = checkpoints and checkpoints.restore(state)
  start, state = restored or (0, state)
  if start > schedule.steps:
    raise UserError(
        f"{checkpoints.directory} is at step {start}, beyond the last one,"
        f" {schedule.steps}"
    )
  history = metrics.rewind(start if restored else -1) if metrics else []
  step = start

  def record(step, line):
    line = _numbered(line)
    history.append({"step": step, **line})
    if metrics is not None:
      metrics.write(step, **line)

  with (
      watch_sigterm() as terminated,
      (progress or Progress.silent()).stage(
          name, total=schedule.steps, initial=start
      ) as stage,
  ):
    if validate is not None and not restored:
      state, line = _evaluate(program, state, validate)
      record(0, line)
    for step, count in schedule.chunks(start):
      state, line = _advance(program, state, key, data, step, count)
      _warn_of_skipped(line, step, count, name)
      if validate and schedule.due(step, schedule.validate_every):
        state, scores = _evaluate(program, state, validate)
        line |= scores
      record(step, line)
      stage.advance(count, **_shown(line))
      stop = parallel.any_process(terminated())
      due = schedule.due(step, schedule.checkpoint_every)
      if checkpoints and (stop or due):
        if metrics is not None:
          metrics.sync()  # resuming looks for no lines before a checkpoint
        checkpoints.save(step, state)
      if stop:
        break
    if parallel.any_process(terminated()):
      logging.warning("%s: stopped at step %d by SIGTERM", name, step)
      raise SystemExit(143)
  if validate is None:
    state = state._replace(best_params=state.params, best_step=state.step)
  return FitResult(state, history)


def _advance(program, state, key, read, step, count):
  """`count` steps up to `step`, on what `read` returns for each."""
  done, sums = step - count, None
  while done < step:
    data, end = read(done)
    end = min(end, step)
    if sums is None:
      sums = _place(_zero_sums(program, state, key, data), program.mesh)
    state, sums = _steps(program, state, sums, key, data, np.int32(end - done))
    done = end
  return state, jax.device_get(_means(sums, np.int32(count)))


def _evaluate(program, state, validate):
  """The state with its best params, and what validation returned."""
  scores = {k: np.asarray(v) for k, v in validate(state.params).items()}
  if "loss" not in scores:
    raise UserError(f"validate returned no 'loss', only {list(scores)}")
  state = _select(program, state, np.float32(scores["loss"]))
  return state, {VALIDATION + k: v for k, v in scores.items()}


@functools.partial(
    jax.jit, static_argnames="program", donate_argnames="state"
)
def _steps(program, state, sums, key, data, count):
  run = optimizer_lib.make_steps(
      program.loss,
      program.optimizer,
      lambda state: _constrain(state, program.mesh, program.sharded),
  )
  if program.members is not None:
    run = jax.vmap(run, (0, 0, 0, program.members, None))
  state, sums = run(state, sums, key, data, count)
  return state, _constrain(sums, program.mesh)


@functools.partial(jax.jit, static_argnames="program")
def _zero_sums(program, state, key, data):
  zero = functools.partial(
      optimizer_lib.zero_sums, program.loss, program.optimizer
  )
  if program.members is not None:
    zero = jax.vmap(zero, (0, 0, program.members))
  return zero(state, key, data)


_means = jax.jit(optimizer_lib.means)


@functools.partial(
    jax.jit, static_argnames="program", donate_argnames="state"
)
def _select(program, state, score):
  select = optimizer_lib.select
  if program.members is not None:
    select = jax.vmap(select)
  return _constrain(select(state, score), program.mesh, program.sharded)


def _constrain(tree, mesh, sharded=False):
  """Preserves shardings inside of a compiled function."""
  if mesh is None:
    return tree
  return jax.tree.map(
      lambda leaf: jax.lax.with_sharding_constraint(
          leaf, _sharding(leaf, mesh, sharded)
      ),
      tree,
  )


def _place(tree, mesh, sharded=False):
  """Copies to the mesh what its owner has not put on devices already."""
  if mesh is None:
    return tree
  return jax.tree.map(
      lambda leaf: leaf
      if getattr(leaf, "committed", False)
      else parallel.place(leaf, _sharding(leaf, mesh, sharded)),
      tree,
  )


def _sharding(leaf, mesh, sharded):
  if sharded:
    return parallel.fsdp_sharding(mesh, leaf.shape)
  return parallel.replicated(mesh)


def _shown(line):
  names = [k for k in line if k == "loss" or k.startswith(VALIDATION)]
  return {k: float(np.mean(line[k])) for k in names}


def _numbered(line):
  """Numbers by name; those of members by name and number."""
  return {
      "/".join([name, *map(str, place)]): float(value)
      for name, values in line.items()
      for place, value in np.ndenumerate(values)
  }


def _warn_of_skipped(line, step, count, name):
  for place, skipped in np.ndenumerate(line["skipped"]):
    if skipped:
      logging.warning(
          "%s: %d of the %d steps up to %d skipped, loss or gradient not"
          " finite",
          ", member ".join([name, *map(str, place)]),
          skipped,
          count,
          step,
      )
