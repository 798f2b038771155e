"""Jobs in processes of their own, one a core: what a CPU is best used by.

An accelerator takes jobs one by one, in the process that was started.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any


def run(
    function: Callable[..., Any], arguments: Iterable[tuple], workers: int
) -> None:
  """Calls a function with each of several tuples of arguments.

  Args:
    function: of a module, so that a new process finds it.
    arguments: of each call, those that take longest first.
    workers: processes; with 0, all is done here, one call after the other.

  Raises:
    Whatever a call raised; those that were running are waited for, the others
    are not begun. SystemExit after a SIGTERM, which the workers get too.
  """
  if not workers:
    for one in arguments:
      function(*one)
    return
  cores = sorted(os.sched_getaffinity(0))
  context = multiprocessing.get_context("spawn")
  slots = context.Queue()
  for slot in range(workers):
    slots.put(cores[slot % len(cores)])
  with (
      concurrent.futures.ProcessPoolExecutor(
          workers, context, _start, (slots, os.getpid())
      ) as pool,
      _passing_on_sigterm(pool),
  ):
    futures = [pool.submit(function, *one) for one in arguments]
    try:
      for future in concurrent.futures.as_completed(futures):
        future.result()
    except BaseException:
      pool.shutdown(wait=True, cancel_futures=True)
      raise


def _start(slots, parent):
  """A worker: one core, and no longer than who started it."""
  os.sched_setaffinity(0, {slots.get()})
  signal.signal(signal.SIGTERM, _stop)

  def watch():
    while os.getppid() == parent:
      time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=watch, daemon=True).start()


def _stop(number, frame):
  del frame
  raise SystemExit(128 + number)


class _passing_on_sigterm:
  """SIGTERM goes to the workers, who save and end."""

  def __init__(self, pool):
    self._pool = pool

  def __enter__(self):
    self._before = signal.signal(signal.SIGTERM, self._stop)

  def __exit__(self, *_):
    signal.signal(signal.SIGTERM, self._before)

  def _stop(self, number, frame):
    del frame
    for process in multiprocessing.active_children():
      process.terminate()
    raise SystemExit(128 + number)
