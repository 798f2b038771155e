"""The contract of properties."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import heads, tasks
from weightspace.errors import UserError
from weightspace.properties import Property, Scope, known
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import tiled_mnist
from weightspace.testing._rules import make_test, rule

STEPS = (0, 10, 20)
ROWS = 40
RNN = make_rnn(RNNSpec("lstm", (3, 2), 4, 4))  # of random weights


def scope_of(property_: Property) -> Scope:
  """A zoo whose networks have a property: the first of all task families.

  Raises:
    UserError: those of no family have it.
  """
  reasons = []
  for spec in _specs():
    scope = Scope(spec, STEPS)
    try:
      property_.shape(scope)
    except ValueError as error:
      reasons.append(str(error))
    else:
      return scope
  raise UserError(
      "networks of no task family have the property; give the scope of a zoo"
      f" that has it: {'; '.join(dict.fromkeys(reasons))}"
  )


def _specs() -> Iterator[tasks.TaskSpec]:
  known_ = {
      "formal_language": lambda: tasks.make("formal_language", {}).spec,
      "tiled_mnist": lambda: tiled_mnist.SPEC,  # needs no digits
  }
  for make in known_.values():
    yield make()
  for name in tasks.names():
    if name not in known_:
      try:
        yield tasks.make(name, {}).spec
      except ValueError:  # it has no defaults, or its data are not here
        continue


class Case(NamedTuple):
  """A property of the networks of a zoo.

  Attributes:
    property_: the property.
    scope: of a zoo that has it; by default `scope_of`.
    numbers: names of further columns of numbers, from 0 to 360, that it reads.
  """

  property_: Property
  scope: Scope | None = None
  numbers: tuple[str, ...] = ()

  def unpack(self) -> tuple[Property, Scope, dict[str, np.ndarray]]:
    """The property, its scope and random columns."""
    scope = self.scope or scope_of(self.property_)
    return self.property_, scope, columns(scope, self.numbers)


def columns(scope: Scope, numbers: Sequence[str] = ()) -> dict[str, np.ndarray]:
  """Random columns [ROWS, ...] of a zoo, and weights [ROWS, P]."""
  generator = np.random.default_rng(0)
  shape = (ROWS, len(scope.tasks.task_names))
  if scope.tasks.classes is None:
    task = generator.uniform(0, 360, shape).astype(np.float32)
  else:
    low, high = scope.tasks.classes
    task = generator.integers(low, high + 1, shape).astype(np.int32)
  measured = (*scope.tasks.metric_names, "train_loss", "eval_loss")
  return {
      "task": task,
      "step": generator.choice(np.array(scope.steps, np.int32), ROWS),
      "net_id": np.arange(ROWS, dtype=np.int32),
      "weight_decay": generator.random(ROWS).astype(np.float32),
      "finite": np.ones(ROWS, bool),
      **{
          name: generator.random(ROWS).astype(np.float32) for name in measured
      },
      **{
          name: generator.integers(len(values), size=ROWS).astype(np.int32)
          for name, values in scope.tasks.categories
      },
      **{
          name: generator.uniform(0, 360, ROWS).astype(np.float32)
          for name in numbers
      },
      "weights": generator.standard_normal((ROWS, RNN.size), np.float32),
  }


def targets_of(
    property_: Property, scope: Scope, data: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Targets of all rows, from columns or from weights."""
  if property_.of_weights is None:
    return property_.target(data, scope)
  weights = jax.vmap(RNN.unflatten)(jnp.asarray(data["weights"]))
  return property_.of_weights(jax.tree.map(np.asarray, weights), RNN.spec)


def perfect(
    property_: Property, scope: Scope, targets: np.ndarray
) -> np.ndarray:
  """Outputs of a head that is always right."""
  if property_.kind != "classification":
    return targets
  classes = property_.shape(scope)[-1]
  return 9 * np.eye(classes, dtype=np.float32)[targets]


@rule
def check_shapes(case):
  """Targets are what a head of that shape can be trained on.

  They are [R, n], float32 numbers or int32 classes from 0; proportions lie in
  [0, 1], and directions are vectors [R, 2] of length 1.
  """
  property_, scope, data = case.unpack()
  assert isinstance(property_, Property)
  assert property_.kind in (
      "regression", "proportion", "direction", "classification"
  )  # fmt: skip
  shape = property_.shape(scope)
  targets = targets_of(property_, scope, data)
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


@rule
def check_target(case):
  """The target of a row depends on that row only, and on something there.

  It is the same where rows are in another order and where others are left out.
  """
  property_, scope, data = case.unpack()
  targets = targets_of(property_, scope, data)
  order = np.random.default_rng(1).permutation(ROWS)
  shuffled = {name: column[order] for name, column in data.items()}
  permuted = targets_of(property_, scope, shuffled)
  np.testing.assert_array_equal(permuted, targets[order])
  assert len(np.unique(targets, axis=0)) > 1
  late = data["step"] > 0
  some = {name: column[late] for name, column in data.items()}
  np.testing.assert_array_equal(
      targets_of(property_, scope, some), targets[late]
  )


@rule
def check_unknown(case):
  """Rows without values, NaN or -1, have a target all the same.

  They do not change the targets of others. Of weights that are not finite, the
  target is not.
  """
  property_, scope, data = case.unpack()
  targets = targets_of(property_, scope, data)
  categories = dict(scope.tasks.categories)
  without = {name: column.copy() for name, column in data.items()}
  for name, column in without.items():
    if column.dtype == np.float32 and name != "task":
      column[::2] = np.nan
    elif name in categories:
      column[::2] = -1
  changed = targets_of(property_, scope, without)
  assert changed.shape == targets.shape
  assert changed.dtype == targets.dtype
  np.testing.assert_array_equal(changed[1::2], targets[1::2])
  assert property_.of_weights is None or not np.any(known(changed)[::2])


@rule
def check_metrics(case):
  """Floats, by name; perfect at the truth, worse elsewhere.

  A perfect prediction scores 0 in the metrics that `Property.errors` names, 1
  in all others. The order of rows does not matter.
  """
  property_, scope, data = case.unpack()
  targets = targets_of(property_, scope, data)
  right = perfect(property_, scope, targets)
  best = property_.metrics(right, targets)
  assert property_.headline in best
  for name, value in best.items():
    assert type(value) is float
    best_there_is = 0 if name in property_.errors else 1
    np.testing.assert_allclose(value, best_there_is, atol=1e-6)
  wrong = property_.metrics(np.roll(right, 1, axis=0), targets)
  assert wrong.keys() == best.keys()
  for name, value in wrong.items():
    assert (value > 1e-3) if name in property_.errors else (value < 0.9)
  order = np.random.default_rng(1).permutation(ROWS)
  again = property_.metrics(right[order][::-1], targets[order][::-1])
  for name, value in best.items():
    np.testing.assert_allclose(again[name], value, atol=1e-6)


@rule
def check_head(case):
  """A head for it learns: its loss falls towards the targets."""
  property_, scope, data = case.unpack()
  targets = targets_of(property_, scope, data)
  head = heads.make(heads.Config("mlp", 8, 1), property_, scope, code=4)
  params = jax.jit(head.init)(jax.random.key(0))
  codes = np.random.default_rng(0).standard_normal((ROWS, 4), np.float32)
  outputs = jax.jit(head.apply)(params, codes)
  assert outputs.shape == (ROWS, *property_.shape(scope))
  assert outputs.dtype == jnp.float32
  loss = head.loss(outputs, jnp.asarray(targets))
  assert loss.shape == (ROWS,)
  right = perfect(property_, scope, targets)
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


CHECKS = (
    check_shapes, check_target, check_unknown, check_metrics, check_head,
)  # fmt: skip


def contract(
    property_: Property,
    scope: Scope | None = None,
    *,
    numbers: Sequence[str] = (),
) -> Callable[..., None]:
  """A pytest test of a property.

  Args:
    property_: the property.
    scope: of a zoo whose networks have it, a `Scope` of the `TaskSpec` and the
      steps; by default of the first task family whose networks do.
    numbers: names of further columns of numbers, from 0 to 360, that it reads.
  """
  return make_test(CHECKS, ("", (Case(property_, scope, tuple(numbers)),)))
