"""The index of this process among those of a distributed job.

It is read from a flag, or from the environment of SLURM or a TPU pod. These
functions are pure; `weightspace.launch` initialises `jax.distributed`.
"""

import contextlib
import glob
import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

from weightspace.errors import UserError

_SLURM = (
    "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID",
    "SLURM_LOCALID",
)  # fmt: skip
_OR_OFF = "set it, or give --distributed=off"
_OR_SHARDS = (
    "set it, unset all of SLURM_ARRAY_TASK_*, or give --shard_index and"
    " --shard_count"
)
_TPU_POD = (
    "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES",
    "TPU_PROCESS_ADDRESSES_PATH", "MEGASCALE_COORDINATOR_ADDRESS",
)  # fmt: skip


class Job(NamedTuple):
  """A distributed job; JAX detects the fields that are None."""

  address: str | None = None  # host:port of process 0
  count: int | None = None
  index: int | None = None


class Share(NamedTuple):
  """A share of numbered work: every item i with i mod count = index."""

  index: int = 0
  count: int = 1

  def __contains__(self, item: int) -> bool:
    return item % self.count == self.index

  def __str__(self):
    return f"share {self.index} of {self.count}"


def job(how: str, environment: Mapping[str, str]) -> Job | None:
  """The distributed job of this process; None for a single process.

  Args:
    how: "off"; "auto", which detects the tasks of an `srun` and the hosts of a
      TPU pod; or "ADDRESS,COUNT,INDEX", where ADDRESS is host:port of process
      0.
    environment: as `os.environ`.

  Raises:
    UserError: `how` has none of these forms, or a variable of SLURM is no
      number.
  """
  if how == "off":
    return None
  if how == "auto":
    if all(name in environment for name in _SLURM):
      tasks = environment.get("SLURM_STEP_NUM_TASKS")
      of_tasks = "SLURM_STEP_NUM_TASKS" if tasks else "SLURM_NTASKS"
      count = _integer(environment, of_tasks, _OR_OFF)
      index = _integer(environment, "SLURM_PROCID", _OR_OFF)
      return Job(None, count, index) if count > 1 else None
    return Job() if _on_tpu(environment) else None
  address, *numbers = how.split(",")
  host, _, port = address.rpartition(":")
  with contextlib.suppress(ValueError):
    count, index = map(int, numbers)
    if host and 0 < int(port) < 2**16 and 0 <= index < count:
      return Job(address, count, index)
  raise UserError(
      f"--distributed={how} is not auto, off or ADDRESS,COUNT,INDEX; for the"
      " first of four processes on host 10.0.0.1: 10.0.0.1:8476,4,0"
  )


def share(
    index: int | None, count: int | None, environment: Mapping[str, str]
) -> Share:
  """The share of a task of a job array; all work outside of an array.

  Args:
    index: from the command line, or None.
    count: from the command line, or None. A count of 1 needs no index.
    environment: as `os.environ`, with the variables of SLURM arrays.

  Raises:
    UserError: only one of index and count is given, or the index is out of
      range; or the tasks of an array are not evenly spaced, or a variable of
      SLURM is no number.
  """
  if index is None and count is None:
    return _array_share(environment)
  if count == 1 and index is None:
    return Share()
  if index is None or count is None or not 0 <= index < count:
    raise UserError(
        "--shard_index and --shard_count go together, the index from 0 to the"
        f" count - 1; got {index} and {count}"
    )
  return Share(index, count)


def _array_share(environment):
  if "SLURM_ARRAY_TASK_ID" not in environment:
    return Share()
  task, count, low, high = (
      _integer(environment, f"SLURM_ARRAY_TASK_{name}", _OR_SHARDS)
      for name in ("ID", "COUNT", "MIN", "MAX")
  )
  stride = max(1, (high - low) // max(1, count - 1))
  index, rest = divmod(task - low, stride)
  if low + stride * (count - 1) != high or rest or not 0 <= index < count:
    raise UserError(
        f"{count} tasks of a SLURM array from {low} to {high} are not evenly"
        " spaced: give --shard_index and --shard_count"
    )
  return Share(index, count)


def _integer(environment, name, instead):
  """A variable of SLURM, which is a whole number."""
  try:
    value = int(environment.get(name, ""))
  except ValueError:
    value = -1
  if value < 0:
    value = repr(environment[name]) if name in environment else "not set"
    raise UserError(
        f"the environment variable {name} must be a whole number, as SLURM"
        f" sets it, but is {value}: {instead}"
    )
  return value


def _on_tpu(environment):
  if environment.get("JAX_PLATFORMS", "tpu").split(",")[0] not in ("tpu", ""):
    return False
  if any(name in environment for name in _TPU_POD):
    return True
  chips = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
  return bool(chips) and importlib.util.find_spec("libtpu") is not None
