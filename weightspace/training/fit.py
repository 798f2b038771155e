"""The loop of gradient training: the one that all our models go through."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import logging
from jax.sharding import Mesh

from weightspace import parallel
from weightspace.training import metrics as metrics_lib
from weightspace.training import preemption
from weightspace.training import progress as progress_lib
from weightspace.training import state as state_lib
from weightspace.training.checkpoints import Checkpoints
from weightspace.types import Key, Params

VALIDATION = "validation/"  # begins the names of what `validate` returns


class FitResult(NamedTuple):
  """What training ended with.

  Attributes:
    state: the last state; `state.best_params` are those of the lowest
      validation score, or the last ones where there was no validation.
    history: the metrics, a dict for each line of the metrics file. A resumed
      run has those of earlier runs only if it was given that file.
  """

  state: state_lib.TrainState
  history: list[dict[str, float]]


def fit(
    loss: state_lib.Loss,
    optimizer: optax.GradientTransformation,
    params: Params | state_lib.TrainState,
    data: Any,
    *,
    key: Key,
    steps: int,
    members: Any = None,
    chunk: int = 50,
    validate: Callable[[Params], dict[str, Any]] | None = None,
    validate_every: int | None = None,
    score: str = "loss",
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int | None = None,
    metrics: metrics_lib.MetricsLog | None = None,
    progress: progress_lib.Progress | None = None,
    mesh: Mesh | None = None,
    sharded: bool = False,
    name: str = "fit",
) -> FitResult:
  """Trains, validates, selects, saves; resumes where a run was cut short.

  Steps run in chunks inside one compiled function. A chunk ends at each
  multiple of `chunk`, `validate_every` and `checkpoint_every` and at the last
  step, wherever the run began, so a run that was cut short and resumed has
  the metrics and, on a CPU, the bits of one that was not.

  On SIGTERM the chunk under way is finished and saved. Where the mesh has
  devices of several processes, a SIGTERM to one of them ends all.

  Args:
    loss: see `state.make_step`. Given the same function and optimiser again,
      nothing is compiled again.
    optimizer: see `optimizer.make_optimizer`.
    params: where to start, unless there is a checkpoint. Left untouched; a
      whole state is not, its memory is taken.
    data: a pytree of arrays, an argument of the compiled function; or, where
      that is too much, `(step) -> (such data, the step after its last)`.
    key: the run's only source of randomness.
    steps: how many in all, those of earlier runs included.
    members: to train several at once, `in_axes` of `data` for `jax.vmap`, which
      is hashable. Then `params` is a state and it and `key` have a leading axis
      [M], as has what `validate` takes and what it returns; each member is
      selected and its bad steps are skipped by itself; and of a metric `loss`
      there are `loss/0` to `loss/M-1`. Without a mesh.
    chunk: steps between two lines of metrics.
    validate: `(params) -> scalars`, before the first step, each
      `validate_every` steps and after the last.
    validate_every: None for the first and the last step only.
    score: the name, among what `validate` returns, of what selects the best
      params; the lowest wins.
    checkpoints: where to resume from and to save to; the last step is saved,
      so that a run that was done is not done again.
    checkpoint_every: None for the last step only.
    metrics: a file of this run's own: what it holds beyond the checkpoint is
      dropped.
    progress: silent by default.
    mesh: where the state is. The batch is split by the loss. With several
      processes, only process 0 is given `metrics`, and `checkpoints` are
      `primary.PrimaryCheckpoints`.
    sharded: whether params and the optimiser's state are spread over the mesh
      (FSDP), or copied to each of its devices.
    name: of the stage, for `progress`.

  Raises:
    SystemExit: 143, after a SIGTERM.
    ValueError: the checkpoint is of another model or beyond `steps`, or the
      score is missing from what `validate` returns.
  """
  progress = progress or progress_lib.Progress.silent()
  state = params
  if not isinstance(params, state_lib.TrainState):
    state = state_lib.init_state(params, optimizer)
  state = _place(state, mesh, sharded)
  key = _place(key, mesh)
  if callable(data):
    window = data
  else:
    data = _place(data, mesh)

    def window(step):
      return data, steps

  restored = checkpoints and checkpoints.restore(state)
  start, state = restored or (0, state)
  if start > steps:
    raise ValueError(
        f"{checkpoints.directory} is at step {start}, beyond the {steps} asked"
    )
  history = _rewind(metrics, start if restored else -1)
  step = start

  def record(step, line):
    line = _numbered(line)
    history.append({"step": step, **line})
    if metrics is not None:
      metrics.write(step, **line)

  def advance(state, step, count):
    done, sums = step - count, None
    while done < step:
      part, end = window(done)
      end = min(end, step)
      if sums is None:
        sums = _zero_sums(loss, optimizer, members, state, key, part)
        sums = _place(sums, mesh)
      state, sums = _steps(
          loss, optimizer, members, mesh, sharded, state, sums, key, part,
          np.int32(end - done),
      )  # fmt: skip
      done = end
    return state, jax.device_get(_means(sums, np.int32(count)))

  def evaluate(state):
    found = {k: np.asarray(v) for k, v in validate(state.params).items()}
    if score not in found:
      raise ValueError(f"validate returned no {score!r}, only {list(found)}")
    state = _select(state, np.float32(found[score]), mesh, sharded)
    return state, {VALIDATION + k: v for k, v in found.items()}

  with (
      preemption.watch_sigterm() as preempted,
      progress.stage(name, total=steps, initial=start) as stage,
  ):
    if validate is not None and not restored:
      state, line = evaluate(state)
      record(0, line)
    for step, count in _chunks(
        start, steps, (chunk, validate_every, checkpoint_every)
    ):
      state, line = advance(state, step, count)
      _warn_of_skipped(line, step, count, name)
      if validate is not None and _due(step, validate_every, steps):
        state, found = evaluate(state)
        line |= found
      record(step, line)
      stage.advance(count, **_shown(line))
      stop = parallel.any_process(preempted())
      if checkpoints and (stop or _due(step, checkpoint_every, steps)):
        if metrics is not None:
          metrics.sync()  # resuming looks for no lines before a checkpoint
        checkpoints.save(step, state)
      if stop:
        break
    if parallel.any_process(preempted()):
      logging.warning("%s: stopped at step %d by SIGTERM", name, step)
      raise SystemExit(143)
  if validate is None:
    state = state._replace(best_params=state.params, best_step=state.step)
  return FitResult(state, history)


@functools.partial(
    jax.jit,
    static_argnames=("loss", "optimizer", "members", "mesh", "sharded"),
    donate_argnames="state",
)
def _steps(
    loss, optimizer, members, mesh, sharded, state, sums, key, data, count
):
  run = state_lib.make_steps(
      loss, optimizer, lambda state: _keep(state, mesh, sharded)
  )
  if members is not None:
    run = jax.vmap(run, (0, 0, 0, members, None))
  state, sums = run(state, sums, key, data, count)
  return state, _keep(sums, mesh, False)


@functools.partial(
    jax.jit, static_argnames=("loss", "optimizer", "members")
)
def _zero_sums(loss, optimizer, members, state, key, data):
  zero = functools.partial(state_lib.zero_sums, loss, optimizer)
  if members is not None:
    zero = jax.vmap(zero, (0, 0, members))
  return zero(state, key, data)


_means = jax.jit(state_lib.means)


@functools.partial(
    jax.jit, static_argnames=("mesh", "sharded"), donate_argnames="state"
)
def _select(state, score, mesh, sharded):
  select = jax.vmap(state_lib.select) if score.ndim else state_lib.select
  return _keep(select(state, score), mesh, sharded)


def _keep(tree, mesh, sharded):
  """What is new lies where the old lay."""
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

  def place(leaf):
    if getattr(leaf, "committed", False):
      return leaf
    return parallel.place(leaf, _sharding(leaf, mesh, sharded))

  return jax.tree.map(place, tree)


def _sharding(leaf, mesh, sharded):
  if sharded:
    return parallel.fsdp_sharding(mesh, leaf.shape)
  return parallel.replicated(mesh)


def _rewind(metrics, step):
  if metrics is None:
    return []
  metrics.rewind(step)
  return metrics_lib.read(metrics.path) if metrics.path.exists() else []


def _chunks(start, steps, periods):
  """(last step, number of steps) of each chunk after `start`."""
  periods = [period for period in periods if period]
  while start < steps:
    end = min(steps, *((start // p + 1) * p for p in periods))
    yield end, end - start
    start = end


def _due(step, every, steps):
  return step == steps or (bool(every) and step % every == 0)


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
