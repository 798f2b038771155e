"""Several processes that do one job: which of them this one is.

The command line says so, or what started it: SLURM or a TPU pod. Pure; to join
the others is up to `weightspace.launch`.
"""

import contextlib
import glob
import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

_SLURM = (
    "SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID",
    "SLURM_LOCALID",
)  # fmt: skip
_TPU_POD = (
    "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES",
    "TPU_PROCESS_ADDRESSES_PATH", "MEGASCALE_COORDINATOR_ADDRESS",
)  # fmt: skip


class Job(NamedTuple):
  """Processes that know of each other; JAX finds out what is None."""

  address: str | None = None  # host:port of process 0
  count: int | None = None
  index: int | None = None


class Share(NamedTuple):
  """A part of a list of work: every item i with i mod count = index."""

  index: int = 0
  count: int = 1

  def __contains__(self, item: int) -> bool:
    return item % self.count == self.index

  def __str__(self):
    return f"share {self.index} of {self.count}"


def job(how: str, environment: Mapping[str, str]) -> Job | None:
  """The processes that this one belongs to; None where it is alone.

  Args:
    how: "off"; "auto", which finds the tasks of an `srun` and the hosts of a
      TPU pod; or "ADDRESS,COUNT,INDEX", ADDRESS being host:port of process 0.
    environment: as `os.environ`.

  Raises:
    ValueError: none of these.
  """
  if how == "off":
    return None
  if how == "auto":
    if all(name in environment for name in _SLURM):
      tasks = environment.get("SLURM_STEP_NUM_TASKS")
      count = int(tasks or environment["SLURM_NTASKS"])
      job = Job(None, count, int(environment["SLURM_PROCID"]))
      return job if count > 1 else None
    return Job() if _on_tpu(environment) else None
  address, *numbers = how.split(",")
  host, _, port = address.rpartition(":")
  with contextlib.suppress(ValueError):
    count, index = map(int, numbers)
    if host and 0 < int(port) < 2**16 and 0 <= index < count:
      return Job(address, count, index)
  raise ValueError(
      f"--distributed={how} is not auto, off or ADDRESS,COUNT,INDEX; of four"
      " processes the first is 10.0.0.1:8476,4,0 where 10.0.0.1 is its host"
  )


def share(
    index: int | None, count: int | None, environment: Mapping[str, str]
) -> Share:
  """What a task of a job array has to do; all where it is none.

  Args:
    index: as given on the command line, where it was.
    count: the same. 1 needs no index.
    environment: as `os.environ`; tells of SLURM's arrays.

  Raises:
    ValueError: index and count do not go together; or tasks of an array are
      not evenly spaced, so that nobody can tell which of them this one is.
  """
  if index is None and count is None:
    return _of_array(environment)
  if count == 1 and index is None:
    return Share()
  if index is None or count is None or not 0 <= index < count:
    raise ValueError(
        "--shard_index and --shard_count go together, the index from 0 to the"
        f" count - 1; got {index} and {count}"
    )
  return Share(index, count)


def _of_array(environment):
  if "SLURM_ARRAY_TASK_ID" not in environment:
    return Share()
  task, count, low, high = (
      int(environment[f"SLURM_ARRAY_TASK_{name}"])
      for name in ("ID", "COUNT", "MIN", "MAX")
  )
  stride = max(1, (high - low) // max(1, count - 1))
  index, rest = divmod(task - low, stride)
  if low + stride * (count - 1) != high or rest or not 0 <= index < count:
    raise ValueError(
        f"{count} tasks of a SLURM array from {low} to {high} are not evenly"
        " spaced: give --shard_index and --shard_count"
    )
  return Share(index, count)


def _on_tpu(environment):
  if environment.get("JAX_PLATFORMS", "tpu").split(",")[0] not in ("tpu", ""):
    return False
  if any(name in environment for name in _TPU_POD):
    return True
  chips = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
  return bool(chips) and importlib.util.find_spec("libtpu") is not None
