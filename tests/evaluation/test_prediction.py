"""Heads find what codes hold, and no OOD task leaks into their training."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from weightspace import properties, tasks
from weightspace.evaluation import prediction
from weightspace.progress import Progress
from weightspace.zoo import splits

SCOPE = properties.Scope(
    tasks.make("formal_language", {"shift_min": -1, "shift_max": 1}).spec,
    (0, 10),
)
CONFIG = prediction.Config(
    steps=150, batch=64, learning_rate=0.01, hidden=16, layers=1,
    validate_every=50, resamples=30, forms=("mlp",),
)  # fmt: skip


def columns(generator):
  task = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T
  task = np.repeat(task.astype(np.int32), 6, axis=0)
  accuracy = generator.random(len(task)).astype(np.float32)
  step = np.tile(np.array([0, 10], np.int32), len(task) // 2)
  net_id = np.repeat(np.arange(len(task) // 2, dtype=np.int32), 2)
  return {"task": task, "accuracy": accuracy, "step": step, "net_id": net_id}


def rows_of(task, seed=0):
  novelty = np.sum(np.abs(task), axis=1).astype(np.float32)
  split = splits.by_task(task, novelty, seed=seed)
  return prediction.make_rows(split, task, seed=seed)


@pytest.fixture(scope="module")
def predicted():
  """Results on codes that hold task and accuracy, and on those of noise."""
  generator = np.random.default_rng(0)
  data = columns(generator)
  informative = np.concatenate(
      [data["task"] / 2, data["accuracy"][:, None] - 0.5], axis=1
  ).astype(np.float32)
  noise = generator.standard_normal(informative.shape).astype(np.float32)
  rows = rows_of(data["task"])
  return rows, {
      name: prediction.predict(
          codes, data, rows, SCOPE, CONFIG, progress=Progress.silent()
      )
      for name, codes in (("informative", informative), ("noise", noise))
  }


@pytest.mark.slow
@pytest.mark.parametrize("protocol", prediction.PROTOCOLS)
@pytest.mark.parametrize("part", ["validation", "test"])
def test_informative_codes_predict_well(predicted, protocol, part):
  results = predicted[1]["informative"]
  assert results["accuracy"][protocol][part]["r2"]["value"] > 0.9
  assert results["task"][protocol][part]["per_count_accuracy"]["value"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("protocol", prediction.PROTOCOLS)
def test_noise_predicts_badly(predicted, protocol):
  noise = predicted[1]["noise"]
  assert noise["accuracy"][protocol]["test"]["r2"]["value"] < 0.2
  assert noise["task"][protocol]["test"]["per_count_accuracy"]["value"] < 0.6


@pytest.mark.slow
def test_intervals_hold_their_value_and_predictions_their_rows(predicted):
  rows, results = predicted
  for result in results.values():
    for name, shape in (("accuracy", (1,)), ("task", (3, 3))):
      for protocol in prediction.PROTOCOLS:
        report = result[name][protocol]
        assert np.shape(report["predictions"]) == (len(rows.test), *shape)
        assert 0 <= report["step"] <= CONFIG.steps
        for estimate in report["test"].values():
          assert estimate["low"] <= estimate["value"] <= estimate["high"]


@pytest.mark.slow
def test_the_test_has_no_part_in_strict_training(predicted):
  """Other codes and columns of all OOD rows: the same heads."""
  generator = np.random.default_rng(0)
  data = columns(generator)
  codes = np.zeros((len(data["task"]), 2), np.float32)
  rows = rows_of(data["task"])
  config = prediction.Config(**{
      **vars(CONFIG), "steps": 20, "validate_every": 20,
      "properties": ("accuracy",),
  })  # fmt: skip

  def run():
    return prediction.predict(
        codes, data, rows, SCOPE, config, progress=Progress.silent()
    )["accuracy"]["strict"]

  before = run()
  codes[rows.ood_train] = 1
  data["accuracy"] = data["accuracy"].copy()
  data["accuracy"][rows.ood_train] = 0.5
  data["accuracy"][rows.test] = 1 - data["accuracy"][rows.test]
  after = run()
  assert after["predictions"] == before["predictions"]
  assert after["validation"] == before["validation"]
  assert after["test"] != before["test"]


@hypothesis.given(
    st.integers(0, 2**31), st.integers(20, 60), st.integers(0, 100)
)
def test_no_task_is_in_two_parts(draw, networks, seed):
  generator = np.random.default_rng(draw)
  task = generator.integers(-3, 3, (networks, 3)).astype(np.int32)
  task = np.repeat(task, 3, axis=0)  # snapshots of a network share its task
  rows = rows_of(task, seed)
  parts = [{tuple(t) for t in task[part].tolist()} for part in rows]
  assert all(parts)
  for i in range(len(parts)):
    for j in range(i):
      assert not parts[i] & parts[j]
  together = np.sort(np.concatenate(rows))
  np.testing.assert_array_equal(together, np.arange(len(task)))


@pytest.mark.slow
def test_validation_and_test_are_measured_separately(predicted):
  rows = predicted[0]
  data = columns(np.random.default_rng(0))
  outputs = np.random.default_rng(1).random((len(data["task"]), 1))

  def measure(columns, **kwargs):
    return prediction.measure(
        "accuracy", [outputs], columns, rows, SCOPE, resamples=10, **kwargs
    )

  together = measure(data)
  assert list(together) == ["validation", "test"]
  hidden = data["accuracy"].copy()
  hidden[rows.test] = np.nan  # reading it gives NaN
  alone = measure({**data, "accuracy": hidden}, parts=("validation",))
  assert alone == {"validation": together["validation"]}
  assert measure(data, parts=("test",)) == {"test": together["test"]}
  with pytest.raises(ValueError, match="'validation' and 'test', got 'ood'"):
    measure(data, parts=("ood",))


@pytest.mark.slow
def test_several_seeds_are_measured_as_one(predicted):
  rows = predicted[0]
  data = columns(np.random.default_rng(0))
  generator = np.random.default_rng(1)
  outputs = [
      data["accuracy"][:, None] + noise * generator.standard_normal((162, 1))
      for noise in (0.1, 0.2, 0.8)
  ]

  def mse(outputs):
    return prediction.measure(
        "accuracy", outputs, data, rows, SCOPE, resamples=100, parts=("test",)
    )["test"]["mse"]

  alone = [mse([of_seed]) for of_seed in outputs]
  together = mse(outputs)
  assert together["value"] == pytest.approx(
      np.mean([estimate["value"] for estimate in alone])
  )
  # Seeds differ more than tasks
  assert together["high"] - together["low"] > max(
      estimate["high"] - estimate["low"] for estimate in alone[:2]
  )
  with pytest.raises(ValueError, match="outputs of at least one seed"):
    mse([])


def test_heads_are_trained_without_targets_of_the_test(predicted):
  rows = predicted[0]
  data = columns(np.random.default_rng(0))
  config = prediction.Config(**{
      **vars(CONFIG), "steps": 2, "validate_every": 2,
      "properties": ("accuracy",),
  })  # fmt: skip
  hidden = data["accuracy"].copy()
  hidden[rows.test] = np.nan
  trained = prediction.train_heads(
      np.ones((162, 2), np.float32), {**data, "accuracy": hidden}, rows,
      SCOPE, config, protocols=("paper",), progress=Progress.silent(),
  )  # fmt: skip
  assert list(trained["accuracy"]) == ["paper"]
  assert np.isfinite(trained["accuracy"]["paper"].outputs).all()
  with pytest.raises(ValueError, match="'strict' or 'paper', got 'papr'"):
    prediction.train_rows(rows, "papr")


def test_without_validation_the_last_params_are_kept(predicted):
  del predicted  # compiles the trainers
  data = columns(np.random.default_rng(0))
  rows = rows_of(data["task"])
  codes = data["accuracy"][:, None]
  train = prediction.make_trainer("accuracy", SCOPE, 1, CONFIG)
  last = train(codes, data, rows.train, rows.train[:0], 0)
  assert last.step == CONFIG.steps
  assert np.isinf(last.score)
  best = train(codes, data, rows.train, rows.validation, 0)
  assert np.isfinite(best.score)
