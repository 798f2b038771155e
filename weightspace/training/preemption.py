"""SIGTERM, by which a scheduler says that the process has to end soon."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def watch_sigterm() -> Iterator[Callable[[], bool]]:
  """Holds SIGTERM back while the block runs, which is to look for it.

  Only the main thread can do so; in another one SIGTERM acts as it did.

  Yields:
    A function that says whether SIGTERM came. Then finish what must not be
    cut short and `raise SystemExit(143)`, as a shell reports that signal.
  """
  came = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield came.is_set
    return
  previous = signal.signal(signal.SIGTERM, lambda *_: came.set())
  try:
    yield came.is_set
  finally:
    # None: the previous handler was not set from Python and cannot be put back.
    signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)
