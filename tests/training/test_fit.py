import os
import re
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from weightspace import keys, parallel
from weightspace.io import workdir
from weightspace.io.checkpoints import Checkpoints
from weightspace.training import fit as fit_lib
from weightspace.training import optimizer as optimizer_lib

KEY = jax.random.key(3)
OPTIMIZER = optimizer_lib.make_optimizer(
    optimizer_lib.OptimizerConfig(learning_rate=0.05, clip=1.0)
)
DATA = jnp.asarray(
    np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
)
PARAMS = {"encoder": {"w": jnp.ones((4, 3))}, "decoder": jnp.ones((3, 4))}


def loss(params, key, step, data):
  """A linear auto-encoder of rows drawn with the key."""
  rows = data[jax.random.randint(key, (8,), 0, len(data))]
  error = rows @ params["encoder"]["w"] @ params["decoder"] - rows
  return jnp.mean(error**2), {"largest": jnp.max(jnp.abs(error))}


def validate(params):
  return {"loss": loss(params, keys.derive(KEY, "validation"), 0, DATA)[0]}


class Killed(Exception):
  pass


class KillAt:
  """A progress that is killed at a step, wherever that is in the loop."""

  def __init__(self, step):
    self.step = step

  def stage(self, name, *, total, unit="steps", initial=0):
    self.done = initial
    return self

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def advance(self, n, **metrics):
    self.done += n
    if self.done >= self.step:
      raise Killed


def run(folder=None, kill=None, steps=46, mesh=None, **kwargs):
  if folder is not None:
    kwargs["saving"] = fit_lib.Saving(
        Checkpoints(folder / "checkpoints"),
        workdir.MetricsLog(folder / "metrics.jsonl"),
    )
  return fit_lib.fit(
      fit_lib.Program(loss, OPTIMIZER, mesh),
      PARAMS,
      DATA,
      key=KEY,
      schedule=fit_lib.Schedule(steps, 5, 8, 12),
      progress=kill and KillAt(kill),
      **{"validate": validate, **kwargs},
  )


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_it_learns_and_selects_on_validation():
  result = run()
  scores = {
      line["step"]: line["validation/loss"]
      for line in result.history
      if "validation/loss" in line
  }
  assert list(scores) == [0, 8, 16, 24, 32, 40, 46]
  assert min(scores.values()) < 0.7 * scores[0]
  best = min(scores, key=scores.get)
  assert int(result.state.best_step) == best
  assert float(result.state.best_score) == np.float32(scores[best])
  assert validate(result.state.best_params)["loss"] == scores[best]


def test_params_given_are_left_untouched():
  run()
  assert float(PARAMS["encoder"]["w"].sum()) == 12.0


def test_metrics_are_at_the_same_steps_wherever_it_began():
  steps = [line["step"] for line in run().history]
  assert steps == [
      0, 5, 8, 10, 12, 15, 16, 20, 24, 25, 30, 32, 35, 36, 40, 45, 46,
  ]  # fmt: skip


@pytest.mark.parametrize("kill", [5, 12, 29, 46])
def test_a_run_killed_and_resumed_ends_in_the_same_bits(tmp_path, kill):
  whole = run(tmp_path / "whole")
  with pytest.raises(Killed):
    run(tmp_path / "cut", kill)
  resumed = run(tmp_path / "cut")
  same(resumed.state, whole.state)
  assert resumed.history == whole.history
  files = [tmp_path / f / "metrics.jsonl" for f in ("whole", "cut")]
  assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_that_was_done_is_not_done_again(tmp_path):
  whole = run(tmp_path)
  again = run(tmp_path, kill=1)  # would be killed by the first step
  same(again.state, whole.state)
  assert again.history == whole.history


def test_a_checkpoint_beyond_the_last_step_is_refused(tmp_path):
  run(tmp_path)
  with pytest.raises(ValueError, match="step 46, beyond the last one, 20"):
    run(tmp_path, steps=20)


def test_one_compilation_for_all_chunks_and_runs(tmp_path):
  traces = []

  def counted(params, key, step, data):
    traces.append(1)
    return loss(params, key, step, data)

  def start(kill=None):
    fit_lib.fit(
        fit_lib.Program(counted, OPTIMIZER),
        PARAMS,
        DATA,
        key=KEY,
        schedule=fit_lib.Schedule(23, 5, checkpoint_every=8),
        saving=fit_lib.Saving(Checkpoints(tmp_path)),
        progress=kill and KillAt(kill),
    )

  with pytest.raises(Killed):
    start(kill=5)
  first = len(traces)
  with pytest.raises(Killed):
    start(kill=10)
  start()
  assert len(traces) == first


def test_a_mesh_changes_nothing_but_the_order_of_sums():
  devices = jax.devices()
  assert len(devices) > 1
  mesh = parallel.mesh(parallel.DATA, devices)
  alone = run(steps=10)
  spread = run(steps=10, mesh=mesh)
  assert spread.state.step.sharding.is_fully_replicated
  assert len(spread.state.step.sharding.device_set) == len(devices)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
      alone.state,
      spread.state,
  )


def test_without_validation_the_last_params_are_the_best():
  result = fit_lib.fit(
      fit_lib.Program(loss, OPTIMIZER), PARAMS, DATA,
      key=KEY, schedule=fit_lib.Schedule(7),
  )  # fmt: skip
  same(result.state.best_params, result.state.params)
  assert [line["step"] for line in result.history] == [7]


def test_a_score_that_validation_does_not_return():
  with pytest.raises(ValueError, match="returned no 'loss', only"):
    run(validate=lambda params: {"los": 1.0})


def test_steps_skipped_are_said_in_the_log(caplog):
  bad = optax.sgd(0.1)
  fit_lib.fit(
      fit_lib.Program(
          lambda params, key, step, data: (jnp.log(-params["w"]), {}), bad
      ),
      {"w": jnp.ones(())},
      DATA,
      key=KEY,
      schedule=fit_lib.Schedule(4),
      name="probe",
  )
  assert "probe: 4 of the 4 steps up to 4 skipped" in caplog.text


PROGRAM = """
    import os, signal, sys, pathlib
    import jax
    from tests.training import test_fit

    class Terminate:
      '''SIGTERM comes while a chunk is under way, as from a scheduler.'''

      def __init__(self, inner):
        self.inner = inner

      def write(self, step, **scalars):
        self.inner.write(step, **scalars)
        if step == 10:
          os.kill(os.getpid(), signal.SIGTERM)

      def __getattr__(self, name):
        return getattr(self.inner, name)

    log = test_fit.workdir.MetricsLog
    test_fit.workdir.MetricsLog = lambda path: Terminate(log(path))
    test_fit.run(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_sigterm_saves_and_exits_and_the_run_resumes(tmp_path):
  whole = run(tmp_path / "whole")
  folder = tmp_path / "cut"
  done = subprocess.run(
      [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder)],
      capture_output=True,
      text=True,
      env=os.environ | {"PYTHONPATH": os.getcwd(), "JAX_PLATFORMS": "cpu"},
  )
  assert done.returncode == 143, done.stderr
  # At the end of that chunk or, where the signal took its time, of a later one.
  stopped = re.search(r"stopped at step (\d+) by SIGTERM", done.stderr)
  assert 10 <= int(stopped[1]) < 46
  assert (folder / "checkpoints" / stopped[1]).is_dir()
  resumed = run(folder)
  same(resumed.state, whole.state)
  assert resumed.history == whole.history


def test_the_handler_of_sigterm_is_put_back():
  before = signal.getsignal(signal.SIGTERM)
  run(steps=5)
  assert signal.getsignal(signal.SIGTERM) is before
