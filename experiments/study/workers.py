"""Jobs in processes of their own, one a core: what a CPU is best used by.

An accelerator takes jobs one by one, in the process that was started. Workers
are no pool of `concurrent.futures`, whose processes outlive a SIGTERM to a job
and begin with what is queued.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import connection
from typing import Any

from weightspace import parallel, settings
from weightspace.errors import UserError


def default() -> int:
  """One worker per core; none, so that jobs run here, with an accelerator."""
  import jax

  on_cpu = jax.default_backend() == "cpu"
  return len(parallel.cores()) if on_cpu else 0


def share_compiled(workdir: str | os.PathLike) -> None:
  """Keeps compiled programs for other stages, workers and runs of a study."""
  import jax

  name = "JAX_COMPILATION_CACHE_DIR"
  folder = os.path.abspath(os.path.join(workdir, "compiled"))
  os.environ.setdefault(name, folder)  # workers inherit it
  jax.config.update(name.lower(), os.environ[name])


def run(
    function: Callable[..., Any], arguments: Iterable[tuple], workers: int
) -> None:
  """Calls a function with each of several tuples of arguments.

  Args:
    function: of a module, so that a new process finds it.
    arguments: of each call, those that take longest first.
    workers: processes; with 0, all is done here, one call after the other.

  Raises:
    Exception: that a call raised; those under way are waited for, no others
      are begun.
    SystemExit: 143 after a SIGTERM, which workers get too; or the status of a
      worker that died.
  """
  left = list(arguments)
  if not workers:
    for one in left:
      function(*one)
    return
  with _started(function, min(workers, len(left))) as pipes:
    busy, failure = set(), None
    while True:
      for pipe in pipes.keys() - busy:
        if left and failure is None:
          pipe.send(left.pop(0))
          busy.add(pipe)
      if not busy:
        break
      for pipe in connection.wait(busy):
        busy.remove(pipe)
        try:
          failure = pipe.recv() or failure
        except EOFError:
          pipes[pipe].join()
          raise SystemExit(_status(pipes[pipe].exitcode)) from None
    if failure is not None:
      raise failure


@contextlib.contextmanager
def _started(function, count):
  """Workers by the pipe to each; they end with the block."""
  context = multiprocessing.get_context("spawn")
  cores = parallel.cores()
  pipes = {}

  def stop(number, frame):
    del frame
    raise SystemExit(128 + number)

  before = signal.signal(signal.SIGTERM, stop)
  try:
    for i in range(count):
      here, there = context.Pipe()
      process = context.Process(
          target=_work,
          args=(there, function, cores[i % len(cores)], os.getpid()),
      )
      process.start()
      there.close()
      pipes[here] = process
    yield pipes
  except BaseException:
    for process in pipes.values():
      process.terminate()  # SIGTERM: what trains saves
    raise
  finally:
    for pipe, process in pipes.items():
      pipe.close()
      process.join()
    signal.signal(signal.SIGTERM, before)


def _work(pipe, function, core, parent):
  """A worker: one core, and no longer than who started it."""
  if hasattr(os, "sched_setaffinity"):  # not on macOS
    os.sched_setaffinity(0, {core})
  signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
  settings.pin()

  def watch():
    while os.getppid() == parent:
      time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=watch, daemon=True).start()
  with contextlib.suppress(EOFError):
    while True:
      arguments = pipe.recv()
      try:
        function(*arguments)
        pipe.send(None)
      except (UserError, OSError) as error:  # for the user, in a line
        kind = UserError if isinstance(error, UserError) else OSError
        pipe.send(kind(str(error)))
      except Exception:  # a bug; not all exceptions can be sent as they are
        pipe.send(RuntimeError(traceback.format_exc()))


def _status(exitcode):
  return exitcode if exitcode >= 0 else 128 - exitcode
