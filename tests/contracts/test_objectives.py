"""The Objective contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace.errors import UserError
from weightspace.testing import objectives as contract
from weightspace.training import objectives
from weightspace.training.objectives import contrastive

CASES = {
    "contrastive": contract.case("contrastive", {"hidden": 8}),
    "contrastive of snapshots": contract.case(
        "contrastive", {"positives": "snapshots+symmetry", "projection": 0}
    ),
    "emulation": contract.case(
        "emulation", {"sequences": 2, "divergence": "kl+total_variation"}
    ),
    "supervised": contract.case(
        "supervised", {"properties": ("task", "accuracy"), "hidden": 8}
    ),
}


def test_every_objective_is_tried():
  assert {name.split()[0] for name in CASES} == set(objectives.names())


# Of snapshots, that batches hold several of a network matters to these
OF_BATCHES = (
    contract.check_loss, contract.check_measure, contract.check_devices,
)  # fmt: skip


@pytest.mark.slow  # each is compiled several times
@pytest.mark.parametrize("name, check", [
    (name, check)
    for name in CASES
    for check in (OF_BATCHES if "snapshots" in name else contract.CHECKS)
])
def test_contract(name, check):
  check(CASES[name])


def changed(name="supervised", **functions):
  """A case whose objective has other functions, made of its own."""

  def make(scope):
    objective = CASES[name].make(scope)
    return objective._replace(**{
        field: functools.partial(f, objective, scope)
        for field, f in functions.items()
    })

  return contract.Case(make)


def loss(change, name="supervised"):
  """A case whose loss is changed: (value, scope, params, batch, key)."""

  def changed_loss(objective, scope, params, batch, key):
    value, metrics = objective.loss(params, batch, key)
    return change(value, scope, params, batch, key), metrics

  return changed(name, loss=changed_loss)


def _first(value, scope, params, batch, key):
  (codes, *_) = scope.encode(params, batch)
  return value + 10 * codes[0, 0]


def _not_finite(value, scope, params, batch, key):
  zero = 0 * jnp.sum(params["encoder"]["linear"])
  return value + jnp.sqrt(zero)


_CALLS = iter(range(10**9))


def _with_one_key(objective, scope, params, batch, key):
  codes = [
      jax.vmap(encoder.apply, (None, 0, None))(
          params["encoder"], jax.vmap(rnn.unflatten)(data.vectors), key
      )
      for rnn, encoder, data in zip(scope.rnns, scope.encoders, batch)
  ]
  return sum(jnp.sum(of_shape) for of_shape in codes), {}


def _of_half(value, scope, params, batch, key):
  """Networks are contrasted with those of their device alone."""
  codes = jnp.concatenate(scope.encode(params, batch))
  return jnp.sum(codes @ codes.T) / contract.BATCH


BROKEN = {
    "params named as the encoder's": (
        changed(init=lambda o, s, key: {"encoder": o.init(key)}),
        contract.check_params,
    ),
    "params of no key": (
        changed(init=lambda o, s, key: o.init(jax.random.key(5))),
        contract.check_params,
    ),
    "one loss for each network": (
        loss(lambda value, *_: jnp.stack([value, value])),
        contract.check_loss,
    ),
    "a gradient that is not finite": (loss(_not_finite), contract.check_loss),
    "codes are not learned": (
        changed(loss=lambda o, s, params, batch, key: o.loss(
            jax.lax.stop_gradient({"encoder": params["encoder"]})
            | {"heads": params["heads"]}, batch, key
        )),
        contract.check_loss,
    ),
    "uphill": (
        changed(loss=lambda o, s, params, *rest: o.loss(
            jax.tree.map(
                lambda p: 2 * jax.lax.stop_gradient(p) - p, params
            ), *rest
        )),
        contract.check_loss,
    ),
    "a metric named as the loss": (
        changed(loss=lambda o, s, *args: (
            o.loss(*args)[0], {"loss": o.loss(*args)[0]}
        )),
        contract.check_loss,
    ),
    "a column that it did not ask for": (
        loss(lambda value, s, p, batch, key: value
             + jnp.sum(batch[0].columns["step"])),
        contract.check_loss,
    ),
    "rollouts that it did not ask for": (
        loss(lambda value, s, p, batch, key: value
             + batch[0].log_probs[0, 0, 0, 0]),
        contract.check_loss,
    ),
    "counts its calls": (
        loss(lambda value, *_: value + next(_CALLS)),
        contract.check_purity,
    ),
    "ignores its key": (
        changed(loss=lambda o, s, params, batch, key: o.loss(
            params, batch, jax.random.key(3)
        )),
        contract.check_key,
    ),
    "one key for all networks": (
        changed("emulation", loss=_with_one_key),
        contract.check_key,
    ),
    "the first network is another one": (loss(_first), contract.check_order),
    "measures by place": (
        changed(measure=lambda o, s, *args: {
            name: each * jnp.arange(1.0, len(each) + 1)
            for name, each in o.measure(*args).items()
        }),
        contract.check_order,
    ),
    "one measure of all rows": (
        changed(measure=lambda o, s, *args: jax.tree.map(
            jnp.mean, o.measure(*args)
        )),
        contract.check_measure,
    ),
    "measures beside others": (
        changed(measure=lambda o, s, *args: jax.tree.map(
            lambda each: each - jnp.mean(each), o.measure(*args)
        )),
        contract.check_measure,
    ),
    "measures with noise": (
        changed(measure=lambda o, s, *args: jax.tree.map(
            lambda each: each + next(_CALLS), o.measure(*args)
        )),
        contract.check_measure,
    ),
    "networks of one device": (loss(_of_half), contract.check_devices),
    "a mean over a device's networks": (
        loss(lambda value, s, p, batch, key: value * contract.BATCH
             / sum(len(data.task) for data in batch)),
        contract.check_devices,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("broken, check", BROKEN.values(), ids=BROKEN)
def test_contract_rejects(broken, check):
  with pytest.raises(AssertionError):
    check(broken)


def test_every_check_rejects_something():
  assert {check for _, check in BROKEN.values()} == set(contract.CHECKS)


def test_snapshots_of_a_zoo_that_has_one_are_refused():
  scope = contract.scope()._replace(steps=(500,))
  with pytest.raises(UserError, match=r"needs two snapshots.*after step 500"):
    CASES["contrastive of snapshots"].make(scope)


def test_what_is_not_known_is_refused_with_the_nearest():
  with pytest.raises(UserError, match="did you mean 'contrastive'"):
    objectives.configure("contrastiv", {})
  with pytest.raises(UserError, match="did you mean 'temperature'"):
    objectives.configure("contrastive", {"contrastive": {"temprature": 1.0}})
  with pytest.raises(UserError, match="positives must be one of symmetry"):
    objectives.configure("contrastive", {"contrastive": {"positives": "all"}})
  zoo = contract.Networks(2, 0)
  with pytest.raises(UserError, match="no column 'net_ids', did you mean"):
    objectives.columns_named("net_ids")(zoo, {})


def test_views_of_one_network_are_no_negatives():
  one, other = np.eye(4, dtype=np.float32)[[0, 1, 2, 2]], np.float32([
      [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0],
  ])  # fmt: skip
  net_id = np.array([0, 1, 2, 2], np.int32)
  classified = contrastive._classify(one, other, net_id, 0.5, None)
  np.testing.assert_array_equal(classified["top1"], 1)
  # At a right angle to all negatives: six of them, and four without its own
  expected = [np.log1p(n * np.exp(-2)) for n in (6, 6, 4, 4)]
  np.testing.assert_allclose(classified["loss"], expected, rtol=1e-5)
