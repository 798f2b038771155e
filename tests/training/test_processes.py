"""One, four and two times two devices train alike, whatever happens to them."""

import collections
import re
import shutil
import signal

import jax
import numpy as np
import pytest

from tests import processes
from tests.training import pair
from weightspace import parallel, zoo
from weightspace.io.workdir import read_metrics
from weightspace.progress import Progress
from weightspace.training import pretrain
from weightspace.training.config import parse
from weightspace.training.setup import make_model

pytestmark = [
    pytest.mark.timeout(600),  # processes that compile
    pytest.mark.usefixtures("shared_setups"),
]
SPAN = {"rtol": 0, "atol": 1e-5}


def run(path, folder, devices, *, progress=None):
  pretrain.pretrain(
      zoo.open(path),
      pair.CONFIG,
      folder,
      progress=progress or Progress.silent(),
      mesh=parallel.mesh(parallel.DATA, jax.devices()[:devices]),
  )


def curve(folder):
  """(steps, loss and validation loss at each)."""
  lines = read_metrics(folder / "metrics.jsonl")
  return (
      [line["step"] for line in lines],
      [[line.get("loss", 0), line["validation/loss"]] for line in lines],
  )


@pytest.fixture(scope="module")
def alone(tiny_zoo, tmp_path_factory):
  """A run on one device, and what it was after some steps."""
  folder = tmp_path_factory.mktemp("alone")
  copy = pair.At(
      24, lambda: shutil.copytree(folder / "run", folder / "begun")
  )
  run(tiny_zoo, folder / "run", 1, progress=copy)
  return folder


@pytest.fixture(scope="module")
def together(tiny_zoo, alone, tmp_path_factory):
  """The folders of two processes, and how each of these ended."""
  folder, port = tmp_path_factory.mktemp("together"), processes.free_port()
  shutil.copytree(alone / "begun", folder / "begun")
  ends = processes.finish(*(
      processes.start(
          "-m", "tests.training.pair", port, index, tiny_zoo,
          folder / "fresh", folder / "begun",
      )
      for index in (0, 1)
  ))  # fmt: skip
  return folder, ends


@pytest.fixture(scope="module")
def four(tiny_zoo, tmp_path_factory):
  """The folder of a run on four devices, and the program of its steps."""
  folder = tmp_path_factory.mktemp("four")
  with pair.recorded() as programs:
    run(tiny_zoo, folder, 4)
  (program,) = programs
  return folder, program


@pytest.mark.slow
def test_four_devices_train_as_one(four, alone):
  steps, losses = curve(alone / "run")
  assert steps == list(range(0, 61, 2))
  assert losses[-1][1] < 0.9 * losses[0][1]
  curve_ = curve(four[0])
  assert curve_[0] == steps
  np.testing.assert_allclose(curve_[1], losses, **SPAN)


@pytest.mark.slow
def test_two_processes_train_as_one_device(together, alone):
  folder, _ = together
  steps, losses = curve(folder / "fresh")
  assert steps == list(range(0, pair.STOP + 1, 2))
  expected = curve(alone / "run")[1][: len(steps)]
  np.testing.assert_allclose(losses, expected, **SPAN)


@pytest.mark.slow
def test_processes_that_differ_are_refused(together):
  for _, out, err in together[1]:
    assert "refused: process 1 has another config than process 0" in out, err
    assert "anywhere: True False" in out


@pytest.mark.slow
def test_a_sigterm_to_one_saves_and_stops_all(together):
  folder, ends = together
  for _, out, err in ends:
    assert "left with 143" in out, err
    assert f"stopped at step {pair.STOP} by SIGTERM" in err
  assert (folder / "fresh" / "checkpoints" / str(pair.STOP)).is_dir()


@pytest.mark.slow
def test_where_one_is_killed_the_other_says_so_and_stops(together):
  _, ((status, _, err), (killed, _, its_err)) = together
  assert "batches are read from disk" in its_err
  assert killed == -signal.SIGKILL
  assert status not in (0, -signal.SIGKILL)
  assert re.search("another (process stopped|task died)", err), err


@pytest.mark.slow
@pytest.mark.parametrize("name, devices", [("fresh", 4), ("begun", 1)])
def test_it_goes_on_elsewhere(
    tiny_zoo, tmp_path, together, alone, name, devices
):
  """What was sharded and streamed is replicated now, and in memory."""
  folder = tmp_path / name
  shutil.copytree(together[0] / name, folder)
  assert curve(folder)[0][-1] == pair.STOP
  run(tiny_zoo, folder, devices)
  steps, losses = curve(folder)
  expected_steps, expected = curve(alone / "run")
  assert steps == expected_steps
  np.testing.assert_allclose(losses, expected, **SPAN)


COLLECTIVES = (
    "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast"
    "|reduce-scatter|ragged-all-to-all"
)


def exchanged(program):
  """{collective: multiset of the shapes that it moves}."""
  moved = collections.defaultdict(collections.Counter)
  for types, name in re.findall(
      rf"= (.*?) ({COLLECTIVES})(?:-start)?\(", program
  ):
    moved[name].update(re.findall(r"\w+\[[\d,]*\]", types))
  return moved


@pytest.mark.slow
def test_devices_exchange_gradients_alone(tiny_zoo, four, together):
  config = parse(pair.CONFIG)
  zoo_ = zoo.open(tiny_zoo)
  model = make_model(zoo_, config)
  params = jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)))
  mesh = parallel.mesh(parallel.DATA)
  shards = [
      leaf for leaf in params
      if any(parallel.fsdp_sharding(mesh, leaf.shape).spec)
  ]  # fmt: skip
  assert shards

  def shapes(leaves):
    return collections.Counter(
        f"f32[{','.join(map(str, leaf.shape))}]" for leaf in leaves
    )

  replicated, sharded = four[1], (together[0] / "fresh.hlo").read_text()
  for program in (replicated, sharded):
    assert "num_partitions=4" in program
    moved = exchanged(program)
    scalars = moved["all-reduce"].pop("f32[]")  # losses and norms
    assert scalars <= 4
    # XLA may sum gradients that are equal, those of a layer's biases, once
    assert moved["all-reduce"] <= shapes(params)
    assert moved["all-reduce"].keys() == shapes(params).keys()
    if program is replicated:
      assert moved.keys() == {"all-reduce"}
    else:
      # Params are gathered, once a step; XLA may scatter sums elsewhere
      assert moved.keys() == {"all-reduce", "all-gather"}
      assert moved["all-gather"] == shapes(shards)


def test_collectives_are_found():
  program = (
      "%a = (f32[8,2]{1,0}, f32[]) all-reduce(%b, %c)\n"
      "%d = bf16[3]{0} all-gather-start(%e)\n%f = f32[3] add(%a, %d)"
  )
  assert exchanged(program) == {
      "all-reduce": {"f32[8,2]": 1, "f32[]": 1},
      "all-gather": {"bf16[3]": 1},
  }
