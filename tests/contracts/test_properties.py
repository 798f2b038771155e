"""The Property contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from weightspace import heads, properties, tasks
from weightspace.properties import Property, Scope
from weightspace.tasks import tiled_mnist

STEPS = (0, 10, 20)
SCOPE = Scope(tasks.make("formal_language", {}).spec, STEPS)
DIGITS = Scope(tiled_mnist.SPEC, STEPS)
ROWS = 40
ERRORS = ("mse", "degrees")  # metrics that are 0 where all is right, others 1


def scope_of(property_):
  """A zoo whose networks have this property."""
  try:
    property_.shape(SCOPE)
  except ValueError:
    return DIGITS
  return SCOPE


def columns(scope, seed=0):
  """Columns of a zoo, with every number that a property may want."""
  generator = np.random.default_rng(seed)
  shape = (ROWS, len(scope.tasks.task_names))
  if scope.tasks.classes is None:
    task = generator.uniform(0, 360, shape).astype(np.float32)
  else:
    low, high = scope.tasks.classes
    task = generator.integers(low, high + 1, shape).astype(np.int32)
  return {
      "task": task,
      "step": generator.choice(np.array(scope.steps, np.int32), ROWS),
      "net_id": np.arange(ROWS, dtype=np.int32),
      "weight_decay": generator.random(ROWS).astype(np.float32),
      "finite": np.ones(ROWS, bool),
      **{
          name: generator.random(ROWS).astype(np.float32)
          for name in (*scope.tasks.metric_names, "train_loss", "eval_loss")
      },
  }


def targets_of(property_):
  scope = scope_of(property_)
  return property_.target(columns(scope), scope)


def perfect(property_, targets):
  """Outputs of a head that is always right."""
  if property_.kind != "classification":
    return targets
  classes = property_.shape(scope_of(property_))[-1]
  return 9 * np.eye(classes, dtype=np.float32)[targets]


def check_shapes(property_):
  """Targets are what a head of that shape can be trained on."""
  assert isinstance(property_, Property)
  assert property_.kind in (
      "regression", "proportion", "direction", "classification"
  )  # fmt: skip
  shape = property_.shape(scope_of(property_))
  targets = targets_of(property_)
  assert len(shape) == (2 if property_.kind == "classification" else 1)
  assert targets.shape == (ROWS, shape[0])
  if property_.kind != "classification":
    assert targets.dtype == np.float32
    assert np.all(np.isfinite(targets))
    if property_.kind == "proportion":
      assert np.all((targets >= 0) & (targets <= 1))
    if property_.kind == "direction":
      assert shape == (2,)
      np.testing.assert_allclose(np.sum(targets**2, axis=-1), 1, rtol=1e-5)
  else:
    assert targets.dtype == np.int32
    assert np.all((targets >= 0) & (targets < shape[-1]))


def check_target(property_):
  """The target of a row depends on that row only, and on something there."""
  scope = scope_of(property_)
  data, targets = columns(scope), targets_of(property_)
  order = np.random.default_rng(1).permutation(ROWS)
  shuffled = {name: column[order] for name, column in data.items()}
  permuted = property_.target(shuffled, scope)
  np.testing.assert_array_equal(permuted, targets[order])
  assert len(np.unique(targets, axis=0)) > 1
  late = data["step"] > 0
  some = {name: column[late] for name, column in data.items()}
  np.testing.assert_array_equal(property_.target(some, scope), targets[late])


def check_metrics(property_):
  """Floats, by name; perfect at the truth, worse elsewhere."""
  targets = targets_of(property_)
  right = perfect(property_, targets)
  best = property_.metrics(right, targets)
  assert property_.headline in best
  for name, value in best.items():
    assert type(value) is float
    best_there_is = 0 if name in ERRORS else 1
    np.testing.assert_allclose(value, best_there_is, atol=1e-6)
  wrong = property_.metrics(np.roll(right, 1, axis=0), targets)
  assert wrong.keys() == best.keys()
  for name, value in wrong.items():
    assert (value > 1e-3) if name in ERRORS else (value < 0.9)
  order = np.random.default_rng(1).permutation(ROWS)
  again = property_.metrics(right[order][::-1], targets[order][::-1])
  for name, value in best.items():
    np.testing.assert_allclose(again[name], value, atol=1e-6)


def check_head(property_):
  """A head for it learns: its loss falls towards the targets."""
  targets, scope = targets_of(property_), scope_of(property_)
  head = heads.make(heads.Config("mlp", 8, 1), property_, scope, code=4)
  params = jax.jit(head.init)(jax.random.key(0))
  codes = np.random.default_rng(0).standard_normal((ROWS, 4), np.float32)
  outputs = jax.jit(head.apply)(params, codes)
  assert outputs.shape == (ROWS, *property_.shape(scope))
  assert outputs.dtype == jnp.float32
  loss = head.loss(outputs, jnp.asarray(targets))
  assert loss.shape == (ROWS,)
  right = perfect(property_, targets)
  least = 0.0
  if property_.kind == "proportion":  # of logits; at best, their entropy
    right = np.log(targets) - np.log1p(-targets)
    least = -np.sum(
        targets * np.log(targets) + (1 - targets) * np.log1p(-targets), axis=-1
    )
  if property_.kind == "direction":  # surer than anything, in the end
    right, least = 1e4 * targets, -0.5 * np.log(2e4 * np.pi)
  best = head.loss(jnp.asarray(right), jnp.asarray(targets))
  assert np.all(best < least + 0.01)
  assert np.mean(loss) > np.mean(best)
  gradient = jax.jit(
      jax.grad(lambda p: jnp.mean(head.loss(head.apply(p, codes), targets)))
  )(params)
  for leaf in jax.tree.leaves(gradient):
    assert np.all(np.isfinite(leaf))
    assert np.any(leaf)


CHECKS = (check_shapes, check_target, check_metrics, check_head)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", properties.names())
def test_contract(name, check):
  check(properties.load(name))


ACCURACY, TASK = properties.load("accuracy"), properties.load("task")
ANGLE, STEP = properties.load("angle"), properties.load("step")
GAP = properties.load("generalization_gap")


def _target(property_, change):
  return property_._replace(
      target=lambda columns, scope: change(property_.target(columns, scope))
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
    check(broken)


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
