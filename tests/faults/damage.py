"""Full disks, read-only folders, flipped bits, the places in JSON values."""

import contextlib
import os
import resource

NOBODY = 65534


@contextlib.contextmanager
def full_disk(limit):
  """Writes fail beyond `limit` bytes of a file, as on a disk that is full."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def read_only(folder):
  """Nobody may write below `folder`, not even root."""
  paths = [folder, *folder.rglob("*")]
  modes = {path: path.stat().st_mode for path in paths}
  above = [path for path in folder.parents if path.stat().st_uid == os.getuid()]
  opened = {path: path.stat().st_mode for path in above}
  for path in paths:
    path.chmod(0o555 if path.is_dir() else 0o444)
  for path in above:  # pytest's folders are closed to others
    path.chmod(opened[path] | 0o711)
  root = os.geteuid() == 0
  try:
    if root:
      os.seteuid(NOBODY)
    yield
  finally:
    if root:
      os.seteuid(0)
    for path, mode in {**modes, **opened}.items():
      path.chmod(mode)


def flipped(content, place, bit=0):
  changed = bytearray(content)
  changed[place] ^= 1 << bit
  return bytes(changed)


def paths(value, prefix=()):
  """Paths of all values in JSON: keys and indices from the top."""
  yield prefix
  if isinstance(value, dict):
    for key, item in value.items():
      yield from paths(item, (*prefix, key))
  elif isinstance(value, list):
    for i, item in enumerate(value):
      yield from paths(item, (*prefix, i))
