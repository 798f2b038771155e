"""The worked examples of BUILD.md are plug-ins that keep their contracts."""

import importlib
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, encoders, plugins, properties, symmetry, tasks
from weightspace.rnn import RNNSpec, make_rnn

BUILD = Path(__file__).parents[1] / "BUILD.md"
EXAMPLES = dict(
    re.findall(
        r"```python\n# (weightspace/\w+/\w+\.py)\n(.*?)```",
        BUILD.read_text(),
        re.DOTALL,
    )
)


@pytest.fixture(autouse=True)
def plug_ins(tmp_path, monkeypatch):
  """The examples, each as a file in its package."""
  for path, text in EXAMPLES.items():
    _, package, file = path.split("/")
    (tmp_path / package).mkdir(exist_ok=True)
    (tmp_path / package / file).write_text(text)
    module = importlib.import_module(f"weightspace.{package}")
    folder = str(tmp_path / package)
    monkeypatch.setattr(module, "__path__", [*module.__path__, folder])
    name = f"weightspace.{package}.{file.removesuffix('.py')}"
    monkeypatch.delitem(sys.modules, name, raising=False)
  yield
  for path in EXAMPLES:
    sys.modules.pop(path.removesuffix(".py").replace("/", "."), None)


def test_there_is_one_of_each_kind():
  kinds = sorted(path.split("/")[1] for path in EXAMPLES)
  assert kinds == ["cells", "encoders", "properties", "tasks"]


def test_they_are_found_by_name():
  assert "mgu" in cells.names()
  assert "counting" in tasks.names()
  assert "norms" in encoders.names()
  assert "log_step" in properties.names()
  assert plugins.names("weightspace.cells") == cells.names()


def _network():
  family = tasks.make("counting", {"length": 8})
  spec = RNNSpec("mgu", (6, 4), family.spec.inputs, family.spec.outputs)
  rnn = make_rnn(spec)
  return family, rnn, rnn.init(jax.random.key(0))


def test_the_cell_has_the_symmetry_it_claims():
  _, rnn, weights = _network()
  xs = jax.random.normal(jax.random.key(1), (12, 3, 2))
  moved = symmetry.augment(jax.random.key(2), rnn, weights)
  assert not np.allclose(rnn.flatten(moved), rnn.flatten(weights))
  np.testing.assert_allclose(
      rnn.unroll(moved, xs), rnn.unroll(weights, xs), atol=1e-5
  )


def test_the_family_replays_its_rollouts():
  family, rnn, weights = _network()
  task = family.sample_task(jax.random.key(3))
  seen = family.rollouts(jax.random.key(4), task, rnn, weights, 5)
  again = jax.nn.log_softmax(
      rnn.unroll(weights, family.encode(task, seen.sequences))
  )
  np.testing.assert_allclose(
      np.swapaxes(again, 0, 1), seen.log_probs.astype(np.float32), atol=2e-3
  )
  found = family.performance(jax.random.key(5), task, rnn, weights)
  assert set(found) == set(family.spec.metric_names)


def test_the_encoder_is_invariant():
  _, rnn, weights = _network()
  encoder = encoders.make("norms", {"code": 4}, rnn, encoders.Inputs("token"))
  params = encoder.init(jax.random.key(6))
  moved = symmetry.augment(jax.random.key(7), rnn, weights)
  code = encoder.apply(params, weights)
  np.testing.assert_allclose(jnp.linalg.norm(code), 1, atol=1e-5)
  np.testing.assert_allclose(encoder.apply(params, moved), code, atol=1e-5)


def test_the_property_is_measured():
  property_ = properties.load("log_step")
  columns = {"step": np.array([0, 10, 100], np.int32)}
  target = property_.target(columns, None)
  assert target.shape == (3, 1)
  assert property_.metrics(target, target)["r2"] == 1.0
