"""The TaskFamily contract."""

import functools

import jax
import jax.numpy as jnp
import pytest

from tests import digits
from weightspace import tasks
from weightspace.testing.tasks import (
    CHECKS,
    SEED,
    check_batches,
    check_data,
    check_performance,
    check_randomness,
    check_rollouts,
    check_spec,
    check_tasks,
)

# Small configs, by name; a family that is not here is tested as it comes
SMALL = {
    "bandit": {"pulls": 5, "eval_lives": 4},
    "policy": {"environment": "cartpole", "steps": 5, "eval_episodes": 4},
    "formal_language": {
        "length": 12, "max_n": 3, "shift_min": -1, "shift_max": 1,
        "eval_strings": 8, "eval_batch": 4,
    },
    "tiled_mnist": {"digits": digits.dataset(), "eval_images": 6},
    "dyck_language": {
        "depth": 2, "length": 8, "eval_strings": 8, "eval_batch": 4,
    },
    "modular_sum": {"length": 6, "eval_strings": 8},
    "regular_language": {
        "states": 3, "length": 8, "eval_strings": 8, "eval_batch": 4,
    },
    "secret_path": {"depth": 5, "eval_strings": 8},
}  # fmt: skip


@functools.cache
def made(name):
  return tasks.make(name, SMALL.get(name, {}))


@pytest.mark.parametrize("check", CHECKS)
# Of recorded networks nothing is sampled; see tests/tasks/test_recorded.py
@pytest.mark.parametrize("name", sorted({*tasks.names()} - {"recorded"}))
def test_contract(name, check):
  check(made(name))


GOOD, DIGITS = made("formal_language"), made("tiled_mnist")
BANDIT = made("bandit")


def _batch(change):
  def sample_batch(key, task, size):
    return change(GOOD.sample_batch(key, task, size))

  return GOOD._replace(sample_batch=sample_batch)


def _experience(change):
  return BANDIT._replace(
      experience=lambda *args: change(BANDIT.experience(*args))
  )


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
    "what is learned from twice": (
        GOOD._replace(experience=BANDIT.experience),
        check_spec,
    ),
    "no advantages": (
        _experience(lambda b: b._replace(advantages=b.advantages[0])),
        check_batches,
    ),
    "advantages that are no numbers": (
        _experience(lambda b: b._replace(advantages=b.advantages / 0)),
        check_batches,
    ),
    "an advantage after the end": (
        _experience(
            lambda b: b._replace(
                mask=b.mask.at[-1].set(0), advantages=b.advantages + 1
            )
        ),
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
                jax.random.key(SEED), task, size
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
