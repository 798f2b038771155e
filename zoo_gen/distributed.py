"""How a process joins the others of its job, and leaves them."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import jax

from weightspace.processes import Job

# One that is silent for so long is taken for dead, which ends the others
HEARTBEAT_SECONDS = 30
# Some have more to do than others; those that are done wait for them
_PATIENCE_SECONDS = 30 * 24 * 3600


@contextlib.contextmanager
def joined(
    job: Job | None, *, heartbeat: int = HEARTBEAT_SECONDS
) -> Iterator[None]:
  """Makes this process one of a job. For launchers: global state.

  Call it before anything touches a device. A process that ends as planned, or
  by a SIGTERM that it has answered, waits until the others end too. One that
  fails does not: it is gone at once, so that they notice.

  Args:
    job: None does nothing.
    heartbeat: seconds after which a silent process is taken for dead.

  Raises:
    OSError: the others cannot be reached.
  """
  if job is None:
    yield
    return
  # It would answer SIGTERM instead of whoever watches for it
  jax.config.update("jax_enable_preemption_service", False)
  try:
    jax.distributed.initialize(
        *job,
        heartbeat_timeout_seconds=heartbeat,
        shutdown_timeout_seconds=_PATIENCE_SECONDS,
    )
  except RuntimeError as error:
    raise OSError(f"no way to the other processes: {error}") from error
  try:
    yield
  except SystemExit as error:
    if error.code not in (None, 0, 143):
      _leave(error.code)
    jax.distributed.shutdown()
    raise
  except BaseException as error:
    traceback.print_exc()
    _leave(_lost() if isinstance(error, jax.errors.JaxRuntimeError) else 1)
  jax.distributed.shutdown()


def _lost():
  return (
      f"error: process {jax.process_index()} of {jax.process_count()} failed in"
      " what it does together with the others. Most likely another process"
      " stopped: its own output says why. Run all of them again to go on"
  )


def _leave(code):
  if not isinstance(code, int):
    print(code, file=sys.stderr)
    code = 1
  sys.stdout.flush()
  sys.stderr.flush()
  # Not through what JAX does at exit, which waits for the others
  os._exit(code)
