"""`.npz` archives: uncompressed, written durably, read as untrusted input.

Reading allocates no more than the archive holds: members that are compressed,
that overlap, or whose header states more bytes than they have are refused
before anything is allocated.
"""

import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from weightspace.errors import UserError
from weightspace.io import files, npy


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes all arrays durably; the name in the folder is not synced.

  Raises:
    OSError: naming the file; what was written of it is removed.
  """
  # As np.savez does, but that takes no array called "file".
  with files.writing(path) as file:
    with zipfile.ZipFile(file, "w") as archive:
      for name, array in arrays.items():
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
          np.lib.format.write_array(member, array, allow_pickle=False)
    file.flush()
    os.fsync(file.fileno())


def read(
    path: Path, names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
  """Reads the arrays of these names, by default all.

  Raises:
    ValueError: it is damaged, not such an archive, or lacks an array.
    OSError: it cannot be read.
  """
  with files.reading(path) as file:
    try:
      with zipfile.ZipFile(file) as archive:
        members = _members(archive, os.fstat(file.fileno()).st_size)
        wanted = list(members) if names is None else list(names)
        lacking = [name for name in wanted if name not in members]
        if lacking:
          raise UserError(f"it lacks {', '.join(lacking)}")
        return {name: _array(archive, members[name]) for name in wanted}
    except Exception as error:  # zipfile raises about anything on damage
      raise UserError(
          f"{path} is not an archive of arrays: {type(error).__name__}: {error}"
      ) from error


def _members(archive, size):
  members = {}
  for info in archive.infolist():
    name = info.filename.removesuffix(".npy")
    if info.compress_type != zipfile.ZIP_STORED:
      raise UserError(
          f"{name} is compressed; save it with numpy.savez"
      )
    if name in members or name == info.filename:
      raise UserError(f"{info.filename!r} is no array, or there twice")
    members[name] = info
  if sum(info.file_size for info in members.values()) > size:
    raise UserError("its members announce more than there is")
  return members


def _array(archive, info):
  with archive.open(info) as member:
    header = npy.parse_header(member)
    if header.offset + header.bytes != info.file_size:
      raise UserError(f"{info.filename} is not as long as its header says")
    array = np.empty(header.bytes, np.uint8)
    got = 0
    while got < len(array):
      count = member.readinto(memoryview(array)[got : got + 2**20])
      if not count:
        raise UserError(f"{info.filename} is cut short")
      got += count
    member.read()  # the end, where the checksum is looked at
  array = array.view(header.dtype) if header.bytes else np.empty(
      0, header.dtype
  )
  if header.fortran:
    return array.reshape(header.shape[::-1]).T
  return array.reshape(header.shape)
