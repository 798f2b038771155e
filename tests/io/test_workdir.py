import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from weightspace.io import workdir


@pytest.fixture
def path(tmp_path):
  return tmp_path / "run" / "metrics.jsonl"


def test_what_is_written_is_read(path):
  with workdir.MetricsLog(path) as log:
    log.write(0, loss=jnp.float32(0.5), count=np.int32(3))
    log.write(jnp.int32(5), loss=0.25)
  assert workdir.read_metrics(path) == [
      {"step": 0, "loss": 0.5, "count": 3},
      {"step": 5, "loss": 0.25},
  ]


def test_each_line_is_on_disk_when_written(path):
  with workdir.MetricsLog(path) as log:
    log.write(0, loss=0.5)
    assert len(workdir.read_metrics(path)) == 1


def test_values_that_are_not_finite_are_valid_json(path):
  with workdir.MetricsLog(path) as log:
    log.write(1, a=float("nan"), b=jnp.inf, c=-np.inf)

  def refuse(name):
    raise AssertionError(name)

  json.loads(path.read_text(), parse_constant=refuse)
  (line,) = workdir.read_metrics(path)
  assert math.isnan(line["a"])
  assert (line["b"], line["c"]) == (math.inf, -math.inf)


def test_rewind_drops_later_steps_and_a_torn_line(path):
  with workdir.MetricsLog(path) as log:
    for step in range(5):
      log.write(step, loss=0.0)
  with open(path, "a") as file:
    file.write('{"step": 5, "lo')
  with workdir.MetricsLog(path) as log:
    log.rewind(2)
    log.write(3, loss=1.0)
  read = workdir.read_metrics(path)
  assert [line["step"] for line in read] == [0, 1, 2, 3]
  assert read[-1]["loss"] == 1.0


def test_a_torn_line_does_not_spoil_the_next(path):
  with workdir.MetricsLog(path) as log:
    log.write(0, loss=0.0)
  with open(path, "a") as file:
    file.write('{"st')
  assert len(workdir.read_metrics(path)) == 1
  with workdir.MetricsLog(path) as log:
    log.write(1, loss=0.0)
  assert [line["step"] for line in workdir.read_metrics(path)] == [0, 1]


def test_rewind_before_anything_was_written(path):
  workdir.MetricsLog(path).rewind(0)
  assert not path.exists()


def test_arrays_are_refused(path):
  with workdir.MetricsLog(path) as log, pytest.raises((TypeError, ValueError)):
    log.write(0, loss=jnp.ones(2))


def test_tensorboard(path):
  pytest.importorskip("tensorboardX")
  with workdir.MetricsLog(path, tensorboard=True) as log:
    log.write(0, loss=0.5)
  assert list(path.parent.glob("events.out.tfevents.*"))
