"""Which process works on what: locks that die with their process.

A shard of a zoo and the folder of a run have one each.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from weightspace.errors import UserError

NAME = ".lock"  # in the folder of a run, while a process works there
_NO_LOCKS = {
    errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL,
}  # fmt: skip


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
  """Holds a lock while the block runs, unless another process has it.

  The kernel drops it when the process ends, however it does. Where the file
  system has no locks, this says so in the log and claims nothing.

  Args:
    path: the lock's file. It may be removed by whoever holds it.

  Yields:
    False where another process holds it.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  descriptor, free = _lock(path)
  try:
    yield free
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def hold(folder: str | os.PathLike) -> Iterator[None]:
  """Keeps other processes out of a folder while the block runs.

  Args:
    folder: made if it is not there.

  Raises:
    UserError: another process works there.
  """
  path = Path(folder) / NAME
  with claim(path) as mine:
    if not mine:
      raise UserError(
          f"another process works in {folder}: wait until it ends, or give"
          " this one another folder. Several processes train one encoder if"
          " they are started by srun, or with --distributed"
      )
    try:
      yield
    finally:
      path.unlink(missing_ok=True)


def _lock(path):
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      return descriptor, False
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        os.close(descriptor)
        raise
      logging.warning(
          "no locks in %s (%s): see to it that no two processes write to the"
          " same folder or shard", path.parent, error.strerror,
      )  # fmt: skip
      return descriptor, True
    if _is_there(path, descriptor):
      return descriptor, True
    os.close(descriptor)  # removed by its holder, and perhaps made anew


def _is_there(path, descriptor):
  try:
    return os.path.samestat(os.stat(path), os.fstat(descriptor))
  except FileNotFoundError:
    return False
