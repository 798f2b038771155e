"""Which process this is, by flag and by environment; what it gets to do."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from weightspace import parallel, processes
from weightspace.processes import Job, Share

TASK = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "JAX_PLATFORMS": "cpu",
}


@pytest.mark.parametrize(
    "how, environment, expected",
    [
        ("off", TASK, None),
        ("auto", {"JAX_PLATFORMS": "cpu"}, None),
        ("auto", TASK, Job(None, 8, 5)),
        ("auto", TASK | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        # In a batch script, outside of srun
        ("auto", {k: v for k, v in TASK.items() if "STEP" not in k}, None),
        ("auto", {"TPU_WORKER_HOSTNAMES": "a,b"}, Job()),
        (
            "auto",
            {"TPU_WORKER_HOSTNAMES": "a,b", "JAX_PLATFORMS": "cpu"},
            None,
        ),
        ("host:80,4,3", TASK, Job("host:80", 4, 3)),
        ("[::1]:80,1,0", {}, Job("[::1]:80", 1, 0)),
    ],
)
def test_job(how, environment, expected):
  assert processes.job(how, environment) == expected


@pytest.mark.parametrize(
    "how",
    ["on", "", "host:80", "host:80,4,4", "host:80,4,-1", "host,4,0",
     "host:80,4,x", ":80,4,0", "host:80,4,0,1"],
)  # fmt: skip
def test_a_job_that_cannot_be(how):
  with pytest.raises(ValueError, match="is not auto, off or ADDRESS,COUNT"):
    processes.job(how, {})


def array(task, low, high, count):
  names = ("ID", "MIN", "MAX", "COUNT")
  values = map(str, (task, low, high, count))
  return {f"SLURM_ARRAY_TASK_{n}": v for n, v in zip(names, values)}


@pytest.mark.parametrize("tasks", [(0, 1, 2, 3), (3, 5, 7), (4,)])
def test_share_of_an_array(tasks):
  shares = [
      processes.share(
          None, None, array(task, tasks[0], tasks[-1], len(tasks))
      )
      for task in tasks
  ]
  assert shares == [Share(i, len(tasks)) for i in range(len(tasks))]
  for item in range(20):
    assert sum(item in share for share in shares) == 1


def test_shares_that_are_given():
  assert processes.share(None, None, {}) == Share(0, 1)
  assert processes.share(2, 3, array(4, 3, 4, 2)) == Share(2, 3)
  assert processes.share(None, 1, array(4, 3, 4, 2)) == Share(0, 1)


@pytest.mark.parametrize("given", [(1, None), (None, 2), (2, 2), (-1, 2)])
def test_a_share_that_cannot_be(given):
  with pytest.raises(ValueError, match="go together, the index from 0"):
    processes.share(*given, {})


@pytest.mark.parametrize("task, low, high, count", [(3, 3, 8, 3), (4, 3, 7, 3)])
def test_an_array_with_gaps_is_refused(task, low, high, count):
  with pytest.raises(ValueError, match="give --shard_index and --shard_count"):
    processes.share(None, None, array(task, low, high, count))


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((32, 64), (None, "data")),
        ((64, 31), ("data",)),
        ((3, 12, 40), (None, None, "data")),
        ((33, 63), ()),
        ((4, 4), ()),  # small
        ((), ()),
    ],
)
def test_fsdp_sharding(shape, expected):
  mesh = parallel.mesh(parallel.DATA)
  sharding = parallel.fsdp_sharding(mesh, shape)
  assert sharding.spec == PartitionSpec(*expected)
  whole = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
  placed = parallel.place(whole, sharding)
  assert placed.sharding == sharding
  np.testing.assert_array_equal(parallel.fetch(placed), whole)


def test_a_sum_over_devices_and_its_gradient():
  mesh = parallel.mesh(parallel.DATA)
  x = jax.numpy.arange(8.0)

  def f(w, x):
    return jax.numpy.sum(jax.numpy.sin(w * x))

  spread = parallel.psum_over_mesh(
      lambda w, x: f(w, parallel.local_shard(x, mesh)), mesh
  )
  for one, other in zip(
      jax.value_and_grad(f)(2.0, x), jax.value_and_grad(spread)(2.0, x)
  ):
    np.testing.assert_allclose(one, other, rtol=1e-5)
