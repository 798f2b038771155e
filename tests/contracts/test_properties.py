"""The Property contract."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from weightspace import properties, tasks
from weightspace.properties import Scope
from weightspace.tasks import tiled_mnist
from weightspace.testing.properties import (
    CHECKS,
    STEPS,
    Case,
    check_head,
    check_metrics,
    check_shapes,
    check_target,
    check_unknown,
    columns,
)

SCOPE = Scope(tasks.make("formal_language", {}).spec, STEPS)
DIGITS = Scope(tiled_mnist.SPEC, STEPS)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", properties.names())
def test_contract(name, check):
  check(Case(properties.load(name)))


ACCURACY, TASK = properties.load("accuracy"), properties.load("task")
ANGLE, STEP = properties.load("angle"), properties.load("step")
GAP, NORM = (
    properties.load("generalization_gap"), properties.load("weight_norm"),
)  # fmt: skip


def _target(property_, change):
  return property_._replace(
      target=lambda columns, scope: change(property_.target(columns, scope))
  )


def _refuse_unknown(targets):
  if np.isnan(targets).any():
    raise ValueError("no number")
  return targets


def _of_weights(change):
  return NORM._replace(
      of_weights=lambda weights, spec: change(NORM.of_weights(weights, spec))
  )


def _metrics(property_, change):
  return property_._replace(
      metrics=lambda outputs, targets: change(
          property_.metrics(outputs, targets)
      )
  )


BROKEN = {
    "float64": (_target(ACCURACY, lambda t: t.astype(float)), check_shapes),
    "int64": (_target(TASK, lambda t: t.astype(int)), check_shapes),
    "no axis of numbers": (_target(ACCURACY, lambda t: t[:, 0]), check_shapes),
    "classes from -3": (_target(TASK, lambda t: t - 3), check_shapes),
    "another kind": (ACCURACY._replace(kind="ranking"), check_shapes),
    "too few classes": (TASK._replace(shape=lambda s: (3, 5)), check_shapes),
    "steps numbered by those that are there": (
        STEP._replace(
            target=lambda columns, scope: np.unique(
                columns["step"], return_inverse=True
            )[1][:, None].astype(np.int32)
        ),
        check_target,
    ),
    "degrees of a linear scale": (
        ANGLE._replace(
            metrics=lambda outputs, targets: {
                "degrees": float(np.mean(np.abs(outputs - targets))) - 1
            }
        ),
        check_metrics,
    ),
    "depends on other rows": (
        _target(ACCURACY, lambda t: np.cumsum(t, axis=0)),
        check_target,
    ),
    "a norm of all networks": (
        _of_weights(lambda norms: norms + norms.mean()),
        check_target,
    ),
    "refuses rows without values": (
        _target(ACCURACY, _refuse_unknown),
        check_unknown,
    ),
    "a norm of a network that diverged": (
        _of_weights(np.nan_to_num),
        check_unknown,
    ),
    "always the same": (_target(TASK, lambda t: 0 * t), check_target),
    "no such headline": (ACCURACY._replace(headline="mae"), check_metrics),
    "an array": (
        _metrics(ACCURACY, lambda m: {"r2": np.float32(m["r2"])}),
        check_metrics,
    ),
    "lower is better": (
        _metrics(TASK, lambda m: {k: 1 - v for k, v in m.items()}),
        check_metrics,
    ),
    "an error that is not named as one": (
        ACCURACY._replace(errors=()),
        check_metrics,
    ),
    "blind": (
        _metrics(TASK, lambda m: dict.fromkeys(m, 1.0)),
        check_metrics,
    ),
    "shape is that of another head": (
        ACCURACY._replace(shape=lambda spec: (2,)),
        check_shapes,
    ),
    "not a number": (_target(ACCURACY, lambda t: t * np.nan), check_head),
}


@pytest.mark.parametrize("broken, check", BROKEN.values(), ids=BROKEN)
def test_contract_rejects(broken, check):
  with pytest.raises(AssertionError):
    check(Case(broken))


def test_every_check_rejects_something():
  assert {check for _, check in BROKEN.values()} == set(CHECKS)


def test_regression_metrics_are_sklearns_and_scipys():
  generator = np.random.default_rng(0)
  targets = generator.integers(0, 8, (60, 1)).astype(np.float32)  # with ties
  outputs = targets + generator.standard_normal((60, 1)).astype(np.float32)
  metrics = ACCURACY.metrics(outputs, targets)
  np.testing.assert_allclose(
      metrics["mse"], sklearn.metrics.mean_squared_error(targets, outputs),
      rtol=1e-5,
  )  # fmt: skip
  np.testing.assert_allclose(
      metrics["r2"], sklearn.metrics.r2_score(targets, outputs), rtol=1e-5
  )
  np.testing.assert_allclose(metrics["kendall_tau"], tau_b(outputs, targets))
  expected = scipy.stats.kendalltau(outputs, targets).statistic
  np.testing.assert_allclose(metrics["kendall_tau"], expected)


def tau_b(x, y):
  """Kendall's tau from its definition: over all pairs."""
  i, j = np.triu_indices(len(x), 1)
  a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
  return np.sum(a * b) / np.sqrt(np.sum(a != 0) * np.sum(b != 0))


def test_regression_metrics_where_nothing_varies():
  ones, ramp = np.ones((5, 1), np.float32), np.arange(5.0)[:, None]
  metrics = ACCURACY.metrics(ones, ramp)
  assert metrics["kendall_tau"] == 0
  assert metrics["r2"] < 0
  mean = ACCURACY.metrics(np.full((5, 1), 2.0), ramp)
  np.testing.assert_allclose(mean["r2"], 0, atol=1e-6)
  assert np.isnan(ACCURACY.metrics(ramp, ones)["r2"])


def test_task_metrics():
  targets = np.array([[0, 1, 2], [5, 5, 5], [1, 1, 1], [0, 0, 0]], np.int32)
  guesses = np.array([[0, 1, 2], [5, 5, 4], [0, 0, 0], [0, 0, 0]])
  outputs = np.eye(6)[guesses]
  metrics = TASK.metrics(outputs, targets)
  assert metrics["per_count_accuracy"] == sklearn.metrics.accuracy_score(
      targets.ravel(), guesses.ravel()
  )
  assert metrics == {"per_count_accuracy": 8 / 12, "all_right": 0.5}


def test_the_classes_of_a_task_are_its_shifts():
  classes = TASK.target({"task": np.array([[-3, 0, 2]])}, SCOPE)
  np.testing.assert_array_equal(classes, [[0, 3, 5]])
  assert TASK.shape(SCOPE) == (3, 6)


@pytest.mark.parametrize(
    "property_, scope, message",
    [
        (TASK, DIGITS, "needs integer tasks"),
        (ANGLE, SCOPE, "needs tasks with an angle; this family has m_b"),
        (GAP, SCOPE, "needs eval_loss and train_loss; this family"),
    ],
)
def test_what_a_zoo_does_not_have_is_refused(property_, scope, message):
  with pytest.raises(ValueError, match=message):
    property_.shape(scope)
  with pytest.raises(ValueError, match=message):
    property_.target(columns(scope), scope)


def _points(degrees, length=1.0):
  radians = np.deg2rad(np.array(degrees))
  return length * np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_angles_are_circular():
  targets = _points([1.0, 359.0, 90.0, 200.0])
  outputs = _points([359.0, 3.0, 80.0, 20.0], length=0.3)
  metrics = ANGLE.metrics(outputs, targets)
  np.testing.assert_allclose(metrics["degrees"], (2 + 4 + 10 + 180) / 4)
  turns = np.array([358, 356, 10, 180]) / 360
  np.testing.assert_allclose(metrics["mse"], np.mean(turns**2))


def test_the_target_of_an_angle_is_its_direction():
  points = ANGLE.target({"task": np.float32([[0], [90], [225]])}, DIGITS)
  half = np.sqrt(0.5)
  expected = [[1, 0], [0, 1], [-half, -half]]
  np.testing.assert_allclose(points, expected, atol=1e-6)


def test_steps_are_numbered_as_the_zoo_took_them():
  scope = Scope(SCOPE.tasks, (0, 100, 200, 500, 1000))
  steps = STEP.target({"step": np.array([500, 0, 1000])}, scope)
  np.testing.assert_array_equal(steps, [[3], [0], [4]])
  assert STEP.shape(scope) == (1, 5)
  guesses = np.eye(5)[[[3], [1], [4]]]
  np.testing.assert_allclose(STEP.metrics(guesses, steps)["accuracy"], 2 / 3)


def test_the_gap_is_what_evaluation_costs_more():
  losses = {"eval_loss": np.float32([2, 1]), "train_loss": np.float32([1.5, 1])}
  np.testing.assert_array_equal(GAP.target(losses, DIGITS), [[0.5], [0]])


def test_an_unknown_property_is_refused_naming_the_nearest():
  with pytest.raises(ValueError, match="did you mean 'accuracy'"):
    properties.load("acuracy")
