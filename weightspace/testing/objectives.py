"""The contract of objectives."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import parallel
from weightspace.keys import derive
from weightspace.testing._networks import BATCH, SPECS, Networks, scope
from weightspace.testing._rules import make_test, rule
from weightspace.training import objectives
from weightspace.training.objectives import Batch, Objective, Scope
from weightspace.zoo.loader import Data

_SMALL = {"emulator": {"cell": "gru", "hidden": 8, "layers": 1}}
_RATE = 1e-3  # of one step of gradient descent


class Case(NamedTuple):
  """An objective.

  Attributes:
    make: (scope) -> the objective; its config has batches of `BATCH`.
  """

  make: Callable[[Scope], Objective]


def case(
    name: str,
    fields: Mapping[str, Any],
    parts: Mapping[str, Mapping[str, Any]] | None = None,
) -> Case:
  """The case of an objective by its name.

  Args:
    name: of a module in `weightspace.training.objectives`.
    fields: of its `Config`; "batch" is `BATCH`.
    parts: fields of its `PARTS`; by default small ones.
  """
  config = {**_SMALL, **(parts or {}), name: {**fields, "batch": BATCH}}
  own, of_parts = objectives.configure(name, config)
  return Case(lambda scope: objectives.make(name, own, of_parts, scope))


def batch_of(
    objective: Objective, *, validation: bool = False
) -> tuple[Data, ...]:
  """A batch with what an objective asks for, and nothing else."""
  snapshots = objective.snapshots or 2
  assert BATCH % (3 * snapshots) == 0, f"{snapshots} snapshots of a network"
  rollouts = (
      objective.validation_sequences if validation else objective.sequences
  )
  zoo = Networks(snapshots, rollouts)
  rows = np.arange(len(zoo))
  columns = objective.columns(zoo, {"train": rows, "validation": rows})
  for name, column in columns.items():
    assert len(column) == len(zoo), f"column {name!r} is not of all rows"

  def of_shape(shape):
    its = np.flatnonzero(zoo.shapes == shape)
    return Data(
        zoo.vectors(its), zoo.sequences[its], zoo.log_probs[its],
        zoo.columns["task"][its], {n: c[its] for n, c in columns.items()},
    )  # fmt: skip

  return jax.tree.map(jnp.asarray, tuple(map(of_shape, range(len(SPECS)))))


def params_of(objective: Objective, its_scope: Scope, seed: int = 0):
  """Params of encoder and objective."""

  def init(key):
    encoder = its_scope.encoders[0].init(derive(key, "encoder"))
    return {"encoder": encoder, **objective.init(key)}

  return jax.jit(init)(jax.random.key(seed))


class _Made(NamedTuple):
  """An objective with what checks need of it, compiled once."""

  objective: Objective
  params: Any
  noisy: Any  # such with which the encoder draws something in training
  batch: tuple[Data, ...]
  loss: Callable  # (params, batch, key) -> (loss, metrics), gradient
  measure: Callable  # (params, batch) -> measures


def _make(case):
  its_scope = scope()
  objective = case.make(its_scope)
  params = params_of(objective, its_scope)
  return _Made(
      objective,
      params,
      params | {"encoder": params["encoder"] | {"noise": jnp.float32(0.3)}},
      batch_of(objective),
      jax.jit(jax.value_and_grad(objective.loss, has_aux=True)),
      jax.jit(objective.measure),
  )


_made = functools.lru_cache(maxsize=8)(_make)


def _permuted(batch: Batch, snapshots: int | None) -> tuple[Batch, Any]:
  """The networks of each shape in another order, and the order."""
  size = snapshots or 1

  def order_of(data):
    networks = np.random.default_rng(1).permutation(len(data.task) // size)
    return (networks[:, None] * size + np.arange(size)).ravel()

  orders = [order_of(data) for data in batch]
  return tuple(
      jax.tree.map(lambda leaf, order=order: leaf[order], data)
      for data, order in zip(batch, orders)
  ), orders


@rule
def check_params(case):
  """`init` gives params by name, beside "encoder", from the key alone."""
  its_scope = scope()
  objective = case.make(its_scope)
  first, again = (
      jax.jit(objective.init)(jax.random.key(0)) for _ in range(2)
  )
  assert isinstance(first, dict)
  assert "encoder" not in first
  jax.tree.map(np.testing.assert_array_equal, first, again)
  for leaf in jax.tree.leaves(first):
    assert leaf.dtype == jnp.float32
    assert np.all(np.isfinite(leaf))
  if jax.tree.leaves(first):
    other = jax.tree.leaves(jax.jit(objective.init)(jax.random.key(1)))
    pairs = zip(jax.tree.leaves(first), other)
    assert any(not np.array_equal(*pair) for pair in pairs)


@rule
def check_loss(case):
  """A finite scalar with finite gradients, which reach codes and all modules.

  A small step against the gradient lowers it. Metrics are finite scalars of
  other names than "loss", "grad_norm" and "skipped".
  """
  _, params, _, batch, loss, _ = _made(case)
  key = jax.random.key(1)
  (value, metrics), gradient = loss(params, batch, key)
  for name, scalar in {"loss": value, **metrics}.items():
    assert jnp.shape(scalar) == (), name
    assert scalar.dtype == jnp.float32, name
    assert np.isfinite(scalar), name
  assert not {"loss", "grad_norm", "skipped"} & metrics.keys()
  norms = {
      name: sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(module))
      for name, module in gradient.items()
  }
  for name, norm in norms.items():
    assert np.isfinite(norm), f"the gradient of {name!r} is not finite"
    assert norm > 0, f"no gradient reaches {name!r}"
  rate = _RATE / np.sqrt(sum(norms.values()))
  moved = jax.tree.map(lambda p, g: p - rate * g, params, gradient)
  assert loss(moved, batch, key)[0][0] < value


@rule
def check_purity(case):
  """Loss and gradient are functions of their arguments: the same each time."""
  key, values = jax.random.key(1), []
  for make in (_made, _make):  # the second is traced anew
    _, _, params, batch, loss, _ = make(case)
    values += [loss(params, batch, key) for _ in range(2)]
  for value in values[1:]:
    jax.tree.map(np.testing.assert_array_equal, value, values[0])


@rule
def check_key(case):
  """Training gives the encoder noise from the key, other for each network.

  That is what `Scope.encode` does with the key of the loss.
  """
  _, _, params, batch, loss, _ = _made(case)
  values = [float(loss(params, batch, jax.random.key(k))[0][0]) for k in (1, 2)]
  assert values[0] != values[1], "the loss ignores its key"
  seen = []
  its_scope = scope()

  def watched(encoder):
    def apply(params, weights, key=None):
      if key is not None:
        jax.debug.callback(
            lambda data: seen.append(np.asarray(data).tobytes()),
            jax.random.key_data(key),
        )
      return encoder.apply(params, weights, key)

    return encoder._replace(apply=apply)

  its_scope = its_scope._replace(
      encoders=tuple(map(watched, its_scope.encoders))
  )
  objective = case.make(its_scope)
  jax.block_until_ready(
      jax.jit(objective.loss)(params, batch, jax.random.key(1))
  )
  jax.effects_barrier()
  assert len(seen) >= BATCH, "not all networks are encoded with a key"
  assert len(set(seen)) == len(seen), "networks share their key"


@rule
def check_order(case):
  """Networks have no order: in another one, loss and measures are the same.

  Rows of one network stay side by side where the objective asks for that. It is
  checked with an encoder that draws nothing, so that only an objective that
  draws by itself may differ in the loss.
  """
  objective, params, _, batch, loss, measure = _made(case)
  permuted, _ = _permuted(batch, objective.snapshots)
  key, other = jax.random.key(1), jax.random.key(2)
  value = loss(params, batch, key)[0][0]
  if value == loss(params, batch, other)[0][0]:
    again = loss(params, permuted, key)[0][0]
    np.testing.assert_allclose(again, value, rtol=1e-4, atol=1e-6)
  whole = batch_of(objective, validation=True)
  permuted, orders = _permuted(whole, objective.snapshots)
  for shape, order in enumerate(orders):
    a, b = (_measured(measure, params, x, shape) for x in (whole, permuted))
    for name, values in a.items():
      np.testing.assert_allclose(
          b[name], values[order], rtol=1e-4, atol=1e-5, err_msg=name
      )


def _measured(measure, params, batch, shape, rows=slice(None)):
  alone: list[Data | None] = [None] * len(batch)
  alone[shape] = jax.tree.map(lambda leaf: leaf[rows], batch[shape])
  return jax.device_get(measure(params, tuple(alone)))


@rule
def check_measure(case):
  """A finite number of each row, "loss" among them; nothing is drawn.

  Of an objective that draws rows and not networks, a row's own is the same
  whichever rows are beside it.
  """
  objective, _, params, _, _, measure = _made(case)
  batch = batch_of(objective, validation=True)
  for shape, data in enumerate(batch):
    measured = _measured(measure, params, batch, shape)
    assert "loss" in measured
    for name, of_rows in measured.items():
      assert of_rows.shape == (len(data.task),), name
      assert of_rows.dtype == np.float32, name
      assert np.all(np.isfinite(of_rows)), name
    if shape > 0:
      continue  # what follows is of one shape as of another
    anew = jax.jit(case.make(scope()).measure)
    again = _measured(anew, params, batch, shape)
    jax.tree.map(np.testing.assert_array_equal, again, measured)
    if objective.snapshots is None:
      some = _measured(measure, params, batch, shape, slice(0, 2))
      for name, of_rows in some.items():
        np.testing.assert_allclose(
            of_rows, measured[name][:2], rtol=1e-4, atol=1e-6, err_msg=name
        )


@rule
def check_devices(case):
  """Parts of a batch on several devices add up to the loss of the whole.

  An objective that compares networks gathers them from all devices. It is
  checked where there are at least two.
  """
  if len(jax.local_devices()) < 2:
    return
  mesh = parallel.mesh(parallel.DATA, jax.local_devices()[:2])
  _, params, _, batch, loss, _ = _made(case)
  objective = case.make(scope(mesh))
  key = jax.random.key(1)

  def part(params, key, batch):
    own = jax.tree.map(lambda x: parallel.local_shard(x, mesh), batch)
    return objective.loss(params, own, key)

  spread = jax.jit(
      jax.value_and_grad(parallel.psum_over_mesh(part, mesh), has_aux=True)
  )
  jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5),
      spread(params, key, batch),
      loss(params, batch, key),
  )


CHECKS = (
    check_params, check_loss, check_purity, check_key, check_order,
    check_measure, check_devices,
)  # fmt: skip


def contract(make: Callable[[Scope], Objective]) -> Callable[..., None]:
  """A pytest test that an objective keeps its contract.

  Args:
    make: (scope) -> the objective; its config has batches of `BATCH`.
  """
  return make_test(CHECKS, ("", (Case(make),)))
