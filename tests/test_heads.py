"""Heads: what each form can tell, and what it says of what nothing tells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import heads, properties, tasks
from weightspace.evaluation import fitting

SCOPE = properties.Scope(
    tasks.make("formal_language", {}).spec, (0, 10)
)
ANGLES = properties.Scope(
    SCOPE.tasks.__class__(
        inputs=2, outputs=2, length=3, kind="real", task_names=("angle",),
        metric_names=("accuracy",),
    ),
    (0, 10),
)  # fmt: skip


def languages(untrained=0):
  """Codes that are linear in the counts; some that hold nothing."""
  draws = np.random.default_rng(0)
  every = np.stack(np.meshgrid(*[np.arange(-3, 3)] * 3), -1).reshape(-1, 3)
  task = np.repeat(every, 2, axis=0).astype(np.int32)
  mixing = draws.standard_normal((3, 6))
  codes = np.concatenate([task @ mixing, np.full((len(task), 1), 20)], axis=1)
  task = np.concatenate([task, every[draws.integers(216, size=untrained)]])
  codes = np.concatenate([codes, np.zeros((untrained, 7))])
  codes += 0.1 * draws.standard_normal(codes.shape)
  codes /= np.linalg.norm(codes, axis=1, keepdims=True)
  return codes.astype(np.float32), {"task": task}


def trained(name, scope, form, codes, columns, rows, validation, **fields):
  config = fitting.Config(
      forms=(form,), steps=1000, learning_rate=5e-3, **fields
  )
  train = fitting.make_trainer(name, scope, codes.shape[-1], config)
  return train(codes, columns, rows, validation, 0)


@pytest.mark.slow
def test_a_line_names_combinations_that_were_not_in_training():
  """Where an MLP, with the same budget, names those that were."""
  codes, columns = languages(untrained=400)
  task = columns["task"]
  place = np.arange(len(task))
  known = place < 432
  novel = known & (task > 0).sum(axis=1).astype(bool) & (task.sum(axis=1) > 0)
  seen = place[~novel]
  property_ = properties.load("task")
  targets = property_.target(columns, SCOPE)
  right = {
      form: property_.metrics(
          trained("task", SCOPE, form, codes, columns, seen, seen).outputs[
              novel
          ],
          targets[novel],
      )["all_right"]
      for form in ("ordinal", "mlp")
  }
  assert right["ordinal"] > 0.9
  assert right["mlp"] < right["ordinal"] - 0.2


def test_of_what_is_unknown_an_ordinal_head_says_so():
  codes, columns = languages(untrained=400)
  rows = np.arange(len(codes))
  head = trained("task", SCOPE, "ordinal", codes, columns, rows, rows)
  probable = np.asarray(jax.nn.softmax(head.outputs)).max(axis=-1)
  assert probable[:432].mean() > 0.75
  assert probable[432:].mean() < 0.5


def test_linear_heads_predict_directions_from_codes_off_a_circle():
  draws = np.random.default_rng(1)
  angles = draws.uniform(0, 360, 600).astype(np.float32)
  radians = np.deg2rad(angles)
  codes = np.stack([3 * np.cos(radians) + 1, np.sin(radians) - 2], axis=1)
  codes = np.concatenate([codes, np.full((100, 2), [12, -2])])  # say nothing
  codes = (codes + 0.02 * draws.standard_normal(codes.shape)).astype(np.float32)
  everywhere = draws.uniform(0, 360, 100).astype(np.float32)
  columns = {"task": np.concatenate([angles, everywhere])[:, None]}
  rows = np.arange(len(codes))
  head = trained("angle", ANGLES, "linear", codes, columns, rows, rows)
  property_ = properties.load("angle")
  targets = property_.target(columns, ANGLES)
  metrics = property_.metrics(head.outputs[:600], targets[:600])
  assert metrics["degrees"] < 5
  lengths = np.linalg.norm(head.outputs, axis=1)
  assert lengths[:600].mean() > 0.8
  assert lengths[600:].mean() < 0.6
  assert lengths.max() <= 1


def test_a_head_of_standardised_codes_becomes_one_of_codes():
  property_ = properties.load("task")
  codes = np.random.default_rng(2).normal(3, 2, (20, 4)).astype(np.float32)
  centre, scale = codes.mean(axis=0), codes.std(axis=0)
  for form in heads.FORMS:
    head = heads.make(heads.Config(form, 8, 1), property_, SCOPE, 4)
    params = jax.device_get(head.init(jax.random.key(0)))
    expected = head.apply(params, jnp.asarray((codes - centre) / scale))
    folded = heads.fold_standardisation(params, centre, scale)
    outputs = head.apply(folded, codes)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


@pytest.mark.slow
def test_validation_chooses_the_form():
  codes, columns = languages()
  rows = np.arange(len(codes))

  def make(**fields):
    config = fitting.Config(steps=100, validate_every=50, **fields)
    return fitting.make_trainer("task", SCOPE, 7, config)

  train = make()
  head = train(codes, columns, rows, rows, 0)
  each = [
      make(forms=(form,))(codes, columns, rows, rows, 0)
      for form in heads.FORMS
  ]
  best = min(each, key=lambda one: one.score)
  assert (head.form, head.score) == (best.form, best.score)
  first = train(codes, columns, rows, rows[:0], 0)
  assert (first.form, first.score) == ("mlp", np.inf)


def test_proportions_are_probabilities_and_others_are_refused():
  draws = np.random.default_rng(3)
  codes = draws.standard_normal((300, 3)).astype(np.float32)
  share = 1 / (1 + np.exp(-3 * codes[:, 0] - 2))
  columns = {"accuracy": share.astype(np.float32)}
  rows = np.arange(300)
  head = trained("accuracy", SCOPE, "linear", codes, columns, rows, rows)
  np.testing.assert_allclose(head.outputs[:, 0], share, atol=0.02)
  with pytest.raises(ValueError, match="between 0 and 1, got 3"):
    properties.load("accuracy").target({"accuracy": np.full(2, 3.0)}, SCOPE)


def test_forms_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match="one of mlp, linear, ordinal"):
    heads.Config("line")
  with pytest.raises(ValueError, match="ordered classes"):
    heads.make(
        heads.Config("ordinal"), properties.load("accuracy"), SCOPE, 4
    )
  with pytest.raises(ValueError, match="'accuracy' has no heads of the forms"):
    fitting.make_trainer(
        "accuracy", SCOPE, 4, fitting.Config(forms=("ordinal",))
    )
