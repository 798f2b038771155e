"""The TaskFamily contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import digits
from weightspace import tasks
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import Batch, Rollouts, TaskFamily, TaskSpec

ROLLOUTS, BATCH = 3, 4
KEY = jax.random.key(0)
# Small configs, by name; a family that is not here is tested as it comes
SMALL = {
    "formal_language": {
        "length": 12, "max_n": 3, "shift_min": -1, "shift_max": 1,
        "eval_strings": 8, "eval_batch": 4,
    },
    "tiled_mnist": {"digits": digits.dataset(), "eval_images": 6},
    "secret_path": {"depth": 5, "eval_strings": 8},
}  # fmt: skip


@functools.cache
def made(name):
  return tasks.make(name, SMALL.get(name, {}))


@functools.cache
def network(inputs, outputs):
  rnn = make_rnn(RNNSpec("gru", (5,), inputs, outputs))
  weights = jax.jit(rnn.init)(jax.random.key(1))
  return rnn, jax.tree.map(lambda leaf: np.asarray(2 * leaf), weights)


def network_of(family):
  return network(family.spec.inputs, family.spec.outputs)


def _tasks(family, count=5):
  keys = jax.random.split(KEY, count)
  return jax.jit(jax.vmap(family.sample_task))(keys)


def check_spec(family):
  """The spec says what the rest does."""
  assert isinstance(family, TaskFamily)
  spec = family.spec
  assert isinstance(spec, TaskSpec)
  hash(spec)
  assert min(spec.inputs, spec.outputs, spec.length) >= 1
  assert spec.kind in ("token", "real")
  assert spec.metric_names[0] == "accuracy"
  assert len(set(spec.metric_names)) == len(spec.metric_names)
  if spec.kind == "token":
    assert len(spec.symbols) == spec.inputs
    assert len(set(spec.symbols)) == spec.inputs


def check_tasks(family):
  """Tasks are arrays that differ, score and can be put in words."""
  sampled = _tasks(family, 50)
  assert sampled.shape == (50, len(family.spec.task_names))
  assert len(np.unique(sampled, axis=0)) > 1
  if family.spec.classes is not None:
    assert jnp.issubdtype(sampled.dtype, jnp.integer)
    low, high = family.spec.classes
    assert np.all((sampled >= low) & (sampled <= high))
  scores = np.asarray(jax.jit(jax.vmap(family.novelty))(sampled))
  assert scores.shape == (50,)
  assert np.all(np.isfinite(scores))
  for task in np.asarray(sampled):
    assert isinstance(family.describe(task), str)
    assert family.describe(task)


def check_batches(family):
  """What networks are trained on."""
  spec, task = family.spec, _tasks(family)
  sample = jax.jit(jax.vmap(lambda t: family.sample_batch(KEY, t, BATCH)))
  batches = sample(task)
  assert isinstance(batches, Batch)
  steps = (len(task), spec.length, BATCH)
  assert batches.inputs.shape == (*steps, spec.inputs)
  assert batches.inputs.dtype == jnp.float32
  assert batches.targets.shape == steps
  assert batches.targets.dtype == jnp.int32
  assert np.all((batches.targets >= 0) & (batches.targets < spec.outputs))
  assert batches.mask.shape == steps
  assert batches.mask.dtype == jnp.float32
  assert np.all((batches.mask == 0) | (batches.mask == 1))
  assert np.all(np.sum(batches.mask, axis=1) > 0)
  if spec.kind == "token":
    assert np.all(np.sum(batches.inputs, axis=-1) == 1)
    assert np.all((batches.inputs == 0) | (batches.inputs == 1))


def check_rollouts(family):
  """What is stored is what the network says on what is stored."""
  spec, (rnn, weights) = family.spec, network_of(family)

  @jax.jit
  def run(key, task):
    seen = family.rollouts(key, task, rnn, weights, ROLLOUTS)
    inputs = family.encode(task, seen.sequences)
    replay = jax.nn.log_softmax(rnn.unroll(weights, inputs))
    return seen, inputs, replay, family.mask(seen.sequences)

  for task in _tasks(family, 2):
    seen, inputs, replay, mask = run(KEY, task)
    assert isinstance(seen, Rollouts)
    assert len(seen.sequences) == ROLLOUTS
    assert seen.log_probs.shape == (ROLLOUTS, spec.length, spec.outputs)
    assert seen.log_probs.dtype == jnp.float16
    assert inputs.shape == (spec.length, ROLLOUTS, spec.inputs)
    assert inputs.dtype == jnp.float32
    stored = np.swapaxes(np.asarray(seen.log_probs, np.float32), 0, 1)
    np.testing.assert_allclose(stored, replay, rtol=2e-3, atol=1e-3)
    assert mask.shape == (spec.length, ROLLOUTS)
    assert mask.dtype == jnp.float32
    assert np.all((mask == 0) | (mask == 1))
    assert np.all(mask[0] == 1)
    if spec.kind == "token":
      assert seen.sequences.dtype == jnp.int8
      assert seen.sequences.shape == (ROLLOUTS, spec.length + 1)
      read = np.argmax(inputs, axis=-1)
      np.testing.assert_array_equal(read.T, seen.sequences[:, :-1])


def check_performance(family):
  """Scalars by the names of the spec, accuracy in [0, 1]."""
  rnn, weights = network_of(family)
  metrics = jax.jit(
      lambda key, task: family.performance(key, task, rnn, weights)
  )(KEY, _tasks(family)[0])
  assert tuple(sorted(metrics)) == tuple(sorted(family.spec.metric_names))
  for name, value in metrics.items():
    assert value.shape == ()
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
    if name.startswith("accuracy"):
      assert 0 <= value <= 1


def check_randomness(family):
  """The same key gives the same, another key something else."""
  rnn, weights = network_of(family)
  task = _tasks(family)[0]

  @jax.jit
  def draw(key):
    return (
        family.sample_batch(key, task, BATCH).inputs,
        family.rollouts(key, task, rnn, weights, ROLLOUTS).sequences,
    )

  first, again, other = draw(KEY), draw(KEY), draw(jax.random.key(9))
  for a, b, c in zip(first, again, other):
    np.testing.assert_array_equal(a, b)
    assert np.any(np.asarray(a) != np.asarray(c))


def check_data(family):
  """The family's arrays can be an argument of what is compiled, not a part."""
  task = _tasks(family)[0]

  def draw(data):
    return family.bound(data).sample_batch(KEY, task, BATCH)

  for a, b in zip(
      jax.jit(draw)(family.data), family.sample_batch(KEY, task, BATCH)
  ):
    np.testing.assert_allclose(a, b, atol=1e-5)
  constants = jax.make_jaxpr(draw)(family.data).consts
  assert sum(np.size(constant) for constant in constants) < 10_000


CHECKS = (
    check_spec,
    check_tasks,
    check_batches,
    check_rollouts,
    check_performance,
    check_randomness,
    check_data,
)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", tasks.names())
def test_contract(name, check):
  check(made(name))


GOOD, DIGITS = made("formal_language"), made("tiled_mnist")


def _batch(change):
  def sample_batch(key, task, size):
    return change(GOOD.sample_batch(key, task, size))

  return GOOD._replace(sample_batch=sample_batch)


def _spec(**fields):
  return GOOD._replace(spec=GOOD.spec.__class__(**{
      **vars(GOOD.spec), **fields
  }))  # fmt: skip


def _performance(change):
  return GOOD._replace(
      performance=lambda *args: change(GOOD.performance(*args))
  )


def _shifted(task, sequences):
  return jnp.roll(GOOD.encode(task, sequences), 1, axis=0)


BROKEN = {
    "no accuracy": (_spec(metric_names=("loss", "accuracy")), check_spec),
    "a symbol short": (_spec(symbols=("a", "b")), check_spec),
    "another kind": (_spec(kind="word"), check_spec),
    "tasks out of range": (_spec(classes=(0, 1)), check_tasks),
    "one number too few": (_spec(task_names=("m_b", "m_c")), check_tasks),
    "one task for all": (
        GOOD._replace(sample_task=lambda key: jnp.zeros(3, jnp.int32)),
        check_tasks,
    ),
    "no novelty": (
        GOOD._replace(novelty=lambda task: jnp.float32(jnp.nan)),
        check_tasks,
    ),
    "batch first": (
        _batch(lambda b: jax.tree.map(lambda x: x.swapaxes(0, 1), b)),
        check_batches,
    ),
    "nothing counts": (
        _batch(lambda b: b._replace(mask=0 * b.mask)),
        check_batches,
    ),
    "targets out of range": (
        _batch(lambda b: b._replace(targets=b.targets + 3)),
        check_batches,
    ),
    "inputs are no tokens": (
        _batch(lambda b: b._replace(inputs=b.inputs / 2)),
        check_batches,
    ),
    "encode is not what was read": (
        GOOD._replace(encode=_shifted),
        check_rollouts,
    ),
    "rollouts of another network": (
        GOOD._replace(
            rollouts=lambda key, task, rnn, weights, count: GOOD.rollouts(
                key, task, rnn, jax.tree.map(jnp.negative, weights), count
            )
        ),
        check_rollouts,
    ),
    "encode is of other images": (
        DIGITS._replace(
            encode=lambda task, sequences: DIGITS.encode(task, sequences + 1)
        ),
        check_rollouts,
    ),
    "encode knows no angle": (
        DIGITS._replace(
            encode=lambda task, sequences: DIGITS.encode(0 * task, sequences)
        ),
        check_rollouts,
    ),
    "a data set in every program": (DIGITS._replace(bind=None), check_data),
    "a mask of everything": (
        GOOD._replace(mask=lambda s: 0 * GOOD.mask(s)),
        check_rollouts,
    ),
    "percent": (
        _performance(lambda p: {**p, "accuracy": 100 * p["accuracy"] + 2}),
        check_performance,
    ),
    "a metric is missing": (
        _performance(lambda p: {"accuracy": p["accuracy"]}),
        check_performance,
    ),
    "a key of its own": (
        GOOD._replace(
            sample_batch=lambda key, task, size: GOOD.sample_batch(
                KEY, task, size
            )
        ),
        check_randomness,
    ),
}


@pytest.mark.parametrize("broken, check", BROKEN.values(), ids=BROKEN)
def test_contract_rejects(broken, check):
  with pytest.raises(AssertionError):
    check(broken)


def test_every_check_rejects_something():
  assert {check for _, check in BROKEN.values()} == set(CHECKS)


def test_the_nearest_family_is_named():
  with pytest.raises(ValueError, match="did you mean 'formal_language'"):
    tasks.make("formal_languages", {})
