"""The contract of task families."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import Batch, Rollouts, TaskFamily, TaskSpec
from weightspace.testing._rules import make_test, rule

ROLLOUTS, BATCH = 3, 4
SEED = 0


@functools.cache
def network(inputs, outputs):
  rnn = make_rnn(RNNSpec("gru", (5,), inputs, outputs))
  weights = jax.jit(rnn.init)(jax.random.key(1))
  return rnn, jax.tree.map(lambda leaf: np.asarray(2 * leaf), weights)


def network_of(family):
  return network(family.spec.inputs, family.spec.outputs)


def _tasks(family, count=5):
  keys = jax.random.split(jax.random.key(SEED), count)
  return jax.jit(jax.vmap(family.sample_task))(keys)


@rule
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
  assert (family.sample_batch is None) != (family.experience is None)
  if spec.kind == "token":
    assert len(spec.symbols) == spec.inputs
    assert len(set(spec.symbols)) == spec.inputs


@rule
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


@rule
def check_batches(family):
  """What networks are trained on."""
  spec, task = family.spec, _tasks(family)
  key = jax.random.key(SEED)
  network = network_of(family)
  sample = jax.jit(jax.vmap(lambda t: family.batch(key, t, *network, BATCH)))
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
  if family.experience is not None:
    assert batches.advantages.shape == steps
    assert batches.advantages.dtype == jnp.float32
    assert np.all(np.isfinite(batches.advantages))
    assert np.all(batches.advantages[batches.mask == 0] == 0)
  if spec.kind == "token":
    assert np.all(np.sum(batches.inputs, axis=-1) == 1)
    assert np.all((batches.inputs == 0) | (batches.inputs == 1))


@rule
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
    seen, inputs, replay, mask = run(jax.random.key(SEED), task)
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


@rule
def check_performance(family):
  """Scalars by the names of the spec, accuracy in [0, 1]."""
  rnn, weights = network_of(family)
  metrics = jax.jit(
      lambda key, task: family.performance(key, task, rnn, weights)
  )(jax.random.key(SEED), _tasks(family)[0])
  assert tuple(sorted(metrics)) == tuple(sorted(family.spec.metric_names))
  for name, value in metrics.items():
    assert value.shape == ()
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
    if name.startswith("accuracy"):
      assert 0 <= value <= 1


@rule
def check_randomness(family):
  """The same key gives the same, another key something else."""
  rnn, weights = network_of(family)
  task = _tasks(family)[0]

  @jax.jit
  def draw(key):
    return (
        family.batch(key, task, rnn, weights, BATCH).inputs,
        family.rollouts(key, task, rnn, weights, ROLLOUTS).sequences,
    )

  first, again, other = (
      draw(jax.random.key(seed)) for seed in (SEED, SEED, SEED + 1)
  )
  for a, b, c in zip(first, again, other):
    np.testing.assert_array_equal(a, b)
    assert np.any(np.asarray(a) != np.asarray(c))


@rule
def check_data(family):
  """The family's arrays can be an argument of what is compiled, not a part."""
  task, key = _tasks(family)[0], jax.random.key(SEED)
  network = network_of(family)

  def draw(data):
    return family.bound(data).batch(key, task, *network, BATCH)

  constants = jax.make_jaxpr(draw)(family.data).consts
  assert sum(np.size(constant) for constant in constants) < 10_000
  if not jax.tree.leaves(family.data):
    return
  for a, b in zip(
      jax.tree.leaves(jax.jit(draw)(family.data)),
      jax.tree.leaves(family.batch(key, task, *network, BATCH)),
  ):
    np.testing.assert_allclose(a, b, atol=1e-5)


CHECKS = (
    check_spec,
    check_tasks,
    check_batches,
    check_rollouts,
    check_performance,
    check_randomness,
    check_data,
)


def contract(family: TaskFamily) -> Callable[..., None]:
  """A pytest test of a task family; one of a small config runs sooner."""
  return make_test(CHECKS, ("", (family,)))
