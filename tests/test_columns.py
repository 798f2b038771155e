"""Columns of a zoo, and its weights, as properties."""

import jax
import numpy as np
import pytest

from weightspace import properties, symmetry, tasks, zoo
from weightspace.evaluation import ensembles, prediction
from weightspace.progress import Progress
from weightspace.properties import Scope
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import TaskSpec
from weightspace.testing import properties as contract

OPTIMIZERS = ("adam", "rmsprop", "sgd")
SCOPE = Scope(
    TaskSpec(
        inputs=2, outputs=2, length=3, kind="real", task_names=("delay",),
        metric_names=(), categories=(("optimizer", OPTIMIZERS),),
    ),
    (0, 10),
)  # fmt: skip
NAMES = (
    "column:dropout", "column:optimizer", "column:angle:circular",
    "column:delay",
)  # fmt: skip
ROWS = prediction.Rows(
    np.arange(60), np.arange(60, 80), np.arange(80, 90), np.arange(90, 120)
)
CONFIG = prediction.Config(
    properties=NAMES, forms=("linear",), steps=300, validate_every=100,
    learning_rate=0.02, batch=64, resamples=20,
)  # fmt: skip


def example():
  """Codes [120, 6], and columns that are linear in them or classes of them."""
  generator = np.random.default_rng(0)
  codes = generator.standard_normal((120, 6)).astype(np.float32)
  columns = {
      "task": np.arange(120, dtype=np.float32)[:, None],
      "net_id": np.arange(120, dtype=np.int32) // 2,
      "step": np.tile(np.int32([0, 10]), 60),
      "dropout": 300 + 100 * codes[:, 0],
      "optimizer": np.argmax(codes[:, :3], axis=1).astype(np.int32),
      "angle": np.rad2deg(np.arctan2(codes[:, 4], codes[:, 3])),
      "delay": codes[:, 5],
  }
  return codes, columns


def with_gaps(columns):
  """The same, where every third row has no value."""
  columns = {name: column.copy() for name, column in columns.items()}
  for name in ("dropout", "angle", "delay"):
    columns[name][::3] = np.nan
  columns["optimizer"][::3] = -1
  return columns


def predict(codes, columns):
  return prediction.predict(
      codes, columns, ROWS, SCOPE, CONFIG, progress=Progress.silent()
  )


@pytest.mark.parametrize("check", contract.CHECKS)
@pytest.mark.parametrize("name", NAMES)
def test_columns_keep_the_contract(name, check):
  property_ = properties.load(name, SCOPE)
  check(contract.Case(property_, SCOPE, ("dropout", "angle", "delay")))


@pytest.mark.slow
def test_columns_are_predicted_in_their_units():
  codes, columns = example()
  results = {name: one["strict"] for name, one in predict(
      codes, columns
  ).items()}  # fmt: skip
  number, category, angle, _ = (results[name]["test"] for name in NAMES)
  assert number["r2"]["value"] > 0.99
  assert number["mse"]["value"] < 100  # of numbers around 300
  assert category["accuracy"]["value"] > 0.85
  assert angle["degrees"]["value"] < 10
  assert all("unknown" not in result for result in results.values())


def test_rows_without_a_value_are_as_if_they_were_not_there():
  codes, columns = example()
  columns = with_gaps(columns)
  results = predict(codes, columns)
  moved = codes.copy()
  moved[::3] = codes[1::3]
  again = predict(moved, columns)
  for name in NAMES:
    for protocol in prediction.PROTOCOLS:
      one, other = results[name][protocol], again[name][protocol]
      assert one["unknown"] == {
          "train": 20, "validation": 7, "ood_train": 3, "test": 10,
      }  # fmt: skip
      for part in ("test", "by_step"):
        assert one[part] == other[part]


@pytest.mark.slow
def test_ensembles_leave_out_rows_without_a_value():
  codes, columns = example()
  moved = codes.copy()
  moved[::3] = codes[1::3]
  one, other = (
      ensembles.train(
          c, with_gaps(columns), ROWS, SCOPE, CONFIG, members=2,
          progress=Progress.silent(),
      )
      for c in (codes, moved)
  )  # fmt: skip
  for a, b in zip(one, other):
    assert a.metrics == b.metrics
  answer = one[1].predict(SCOPE, codes[1])
  assert answer.labels == ("optimizer",)
  assert answer.classes == OPTIMIZERS
  assert answer.value[0] in OPTIMIZERS
  direction = one[2].predict(SCOPE, codes[1])
  assert direction.labels == ("angle, degrees",)
  error = (direction.value - columns["angle"][1] + 180) % 360 - 180
  assert np.abs(error) < 30 and 0 <= direction.spread[0] < 90


def test_numbers_of_angles_are_degrees():
  _, columns = example()
  angle = properties.load("column:angle:circular", SCOPE)
  shown = properties.numbers(angle, angle.target(columns, SCOPE))
  np.testing.assert_allclose(shown, columns["angle"] % 360, atol=1e-3)
  assert np.isnan(
      properties.numbers(angle, angle.target(with_gaps(columns), SCOPE))[0]
  )


def test_a_number_of_the_tasks_is_a_column():
  _, columns = example()
  del columns["delay"]
  target = properties.load("column:delay", SCOPE).target(columns, SCOPE)
  np.testing.assert_array_equal(target, columns["task"])


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("column:droput", {}, "no column 'droput'.*did you mean 'dropout'"),
        ("column:", {}, "must be column:NAME"),
        ("column:angle:round", {}, "must be column:NAME"),
        ("column:optimizer:circular", {}, "needs angles in degrees"),
        ("column:task", {}, "no column 'task' with one number a row"),
        ("column:dropout", {"dropout": np.ones(120, np.float32)}, "the same"),
        (
            "column:dropout",
            {"dropout": np.full(120, np.nan, np.float32)},
            "known of none of the 60 train rows",
        ),
        (
            "column:optimizer",
            {"optimizer": np.where(np.arange(120) < 90, 1, -1)},
            "known of none of the 30 test rows",
        ),
        ("weight_nrom", {}, "did you mean 'weight_norm'"),
    ],
)
def test_columns_that_are_no_use_are_refused(name, changes, message):
  columns = example()[1] | changes
  columns["task"] = np.repeat(columns["task"], 2, axis=1)
  with pytest.raises(ValueError, match=message):
    properties.check_names((name,))
    prediction.check((name,), columns, ROWS, SCOPE)


def test_properties_of_weights_are_computed_a_few_rows_at_a_time(
    tiny_zoo, monkeypatch
):
  zoo_ = zoo.open(tiny_zoo)
  names = ("weight_norm", "spectral_radius")
  whole = properties.columns(zoo_, names)
  monkeypatch.setattr("weightspace.properties._weights._BYTES", 5000)
  part = properties.columns(zoo_, names)
  for name in names:
    np.testing.assert_array_equal(whole[name], part[name])
    assert whole[name].shape == (len(zoo_), 1)
  vectors = zoo_.vectors(np.arange(len(zoo_)))
  np.testing.assert_allclose(
      whole["weight_norm"][:, 0], np.linalg.norm(vectors, axis=1), rtol=1e-6
  )
  assert set(zoo_.columns) < set(whole)
  family = tasks.make(zoo_.spec.family, zoo_.spec.family_config)
  scope = Scope(family.spec, zoo_.spec.snapshot_steps)
  with pytest.raises(ValueError, match=r"weightspace\.properties\.columns"):
    properties.load("weight_norm").target(zoo_.columns, scope)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_equal_networks_have_equal_properties_of_weights(cell):
  rnn = make_rnn(RNNSpec(cell, (4, 3), 2, 2))
  weights = rnn.init(jax.random.key(0))
  moved = symmetry.augment(jax.random.key(1), rnn, weights, signed=True)
  both = jax.tree.map(lambda *a: np.stack(a), weights, moved)
  for name in ("weight_norm", "spectral_radius"):
    one, other = properties.load(name).of_weights(both, rnn.spec)
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_spectral_radius_is_that_of_the_candidate_state():
  rnn = make_rnn(RNNSpec("gru", (2, 2), 2, 2))
  weights = jax.tree.map(
      lambda leaf: np.zeros((1, *leaf.shape), np.float32),
      rnn.init(jax.random.key(0)),
  )
  weights.layers[0].wh[0, 0] = 9 * np.eye(2)  # a gate
  weights.layers[0].wh[0, 2] = [[0, -0.5], [0.5, 0]]
  weights.layers[1].wh[0, 2] = [[0, 3], [0, 0]]  # nilpotent
  radius = properties.load("spectral_radius").of_weights(weights, rnn.spec)
  np.testing.assert_allclose(radius, [[0.5]])
