"""Supervised training: what it learns from, resumes from and gives back."""

import contextlib
import copy
import json
import logging

import jax
import numpy as np
import pytest

from weightspace import encoders, parallel, tasks, zoo
from weightspace.progress import Progress
from weightspace.training import encoding, supervised
from weightspace.zoo import splits

FIELDS = {
    "properties": ("step", "accuracy"), "steps": 120, "batch": 16,
    "hidden": 16, "layers": 1, "validate_every": 20, "checkpoint_every": 20,
    "seed": 1, "augment": "none",
}  # fmt: skip
FLAT = {"name": "flat", "hidden": 16, "layers": 1, "code": 4}


def config(encoder=FLAT, learning_rate=0.01, **fields):
  return {
      "encoder": encoder,
      "optimizer": {"learning_rate": learning_rate, "clip": 1.0},
      "supervised": {**FIELDS, **fields},
  }


def with_columns(zoo_, **changed):
  """The zoo with other columns; those of the tiny one are all alike."""
  trained = copy.copy(zoo_)
  trained.__dict__["columns"] = {**zoo_.columns, **changed}
  return trained


@pytest.fixture(scope="module")
def zoo_(tiny_zoo):
  plain = zoo.open(tiny_zoo)
  size = np.std(plain.vectors(np.arange(len(plain))), axis=1)
  size = (size - size.mean()) / size.std()
  return with_columns(
      plain, accuracy=(1 / (1 + np.exp(-2 * size))).astype(np.float32)
  )


@pytest.fixture(scope="module")
def split(zoo_):
  family = tasks.make(zoo_.spec.family, zoo_.spec.family_config)
  return splits.of_zoo(zoo_, family, seed=0)


def train(zoo_, split, config, **kwargs):
  kwargs.setdefault("progress", Progress.silent())
  return supervised.train(
      zoo_, config, split.train, split.validation, **kwargs
  )


@pytest.fixture(scope="module")
def trained(zoo_, split):
  return train(zoo_, split, config())


@pytest.fixture(scope="module")
def unvalidated(zoo_, split):
  return train(zoo_, split._replace(validation=None), config())


def accuracy(zoo_, outputs, rows):
  targets = np.searchsorted(
      zoo_.spec.snapshot_steps, zoo_.columns["step"][rows]
  )
  return np.mean(np.argmax(outputs["step"][rows, 0], axis=-1) == targets)


@pytest.mark.slow
def test_it_learns_what_weights_tell(zoo_, split, unvalidated):
  rows, trained = len(zoo_), unvalidated
  assert trained.outputs["step"].shape == (rows, 1, 3)
  assert trained.outputs["accuracy"].shape == (rows, 1)
  assert accuracy(zoo_, trained.outputs, split.train) > 0.5
  error = trained.outputs["accuracy"][:, 0] - zoo_.columns["accuracy"]
  spread = zoo_.columns["accuracy"].var()
  assert np.mean(error[split.train] ** 2) < 0.5 * spread
  assert set(trained.params) == {"encoder", "heads"}


@contextlib.contextmanager
def compiling(caplog):
  """Collects what is compiled of `fit`'s steps and of validation."""
  messages = []
  caplog.clear()
  with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
    yield messages
  compiled = [r.message for r in caplog.records if "ompiling" in r.message]
  messages += [m for m in compiled if "_steps" in m or "measure" in m]


@pytest.mark.slow
def test_a_code_that_tells_nothing_gives_the_mean_of_the_training_rows(
    zoo_, split, caplog
):
  with compiling(caplog) as compiled:
    blank = train(
        zoo_, split,
        config({"name": "constant"}, steps=200, validate_every=200, layers=0),
    )  # fmt: skip
  for name in ("_steps", "measure"):  # as no other test has compiled them
    assert any(name in message for message in compiled)
  for outputs in blank.outputs.values():
    np.testing.assert_allclose(outputs, outputs[:1].repeat(len(zoo_), 0))
  columns = zoo_.columns["accuracy"][split.train]
  assert abs(blank.outputs["accuracy"][0, 0] - columns.mean()) < 0.1
  logits = blank.outputs["step"][0, 0]
  np.testing.assert_allclose(jax.nn.softmax(logits), 1 / 3, atol=0.1)


@pytest.mark.slow
def test_validation_selects_the_step(trained):
  scores = {
      line["step"]: line["validation/loss"]
      for line in trained.history
      if "validation/loss" in line
  }
  assert list(scores) == list(range(0, 121, 20))
  assert trained.step == min(scores, key=scores.get)
  for line in trained.history:
    if "validation/loss" in line:
      parts = line["validation/step"] + line["validation/accuracy"]
      assert line["validation/loss"] == pytest.approx(parts, rel=1e-5)


@pytest.mark.slow
def test_without_validation_the_last_params_are_kept(trained, unvalidated):
  assert unvalidated.step == FIELDS["steps"]
  assert not any("validation/loss" in line for line in unvalidated.history)
  losses = [line["loss"] for line in unvalidated.history if "loss" in line]
  validated = [line["loss"] for line in trained.history if "loss" in line]
  assert losses[-1] == validated[-1]  # and it has no part in training


@pytest.mark.slow
def test_other_rows_are_encoded_but_never_learnt_from(zoo_, split, trained):
  accuracy, step = (
      zoo_.columns[name].copy() for name in ("accuracy", "step")
  )
  accuracy[split.ood], step[split.ood] = np.nan, 10
  hidden = with_columns(zoo_, accuracy=accuracy, step=step)
  again = train(hidden, split, config())
  for name, outputs in trained.outputs.items():
    np.testing.assert_array_equal(again.outputs[name], outputs)
  assert np.ptp(trained.outputs["accuracy"][split.ood]) > 0


class Killed(Exception):
  pass


class KillAt:
  """A `Progress` that is killed before the checkpoint of a step."""

  def __init__(self, step):
    self.step = step

  @contextlib.contextmanager
  def stage(self, name, total, initial=0, unit=""):
    self.done = initial
    yield self

  def advance(self, n, **metrics):
    self.done += n
    if self.done >= self.step:
      raise Killed


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(zoo_, split, trained, tmp_path):
  with pytest.raises(Killed):
    train(
        zoo_, split, config(), folder=tmp_path / "run", progress=KillAt(60)
    )
  again = train(zoo_, split, config(), folder=tmp_path / "run")
  assert again.history == trained.history
  assert again.step == trained.step
  jax.tree.map(np.testing.assert_array_equal, again.outputs, trained.outputs)
  # Nor is it done again once it is done
  done = train(
      zoo_, split, config(), folder=tmp_path / "run", progress=KillAt(1)
  )
  jax.tree.map(np.testing.assert_array_equal, done.outputs, trained.outputs)
  recorded = json.loads((tmp_path / "run" / "config.json").read_text())
  assert recorded["supervised"]["properties"] == ["step", "accuracy"]
  other = split._replace(train=split.train[3:])
  with pytest.raises(FileExistsError, match=r"rows\.train"):
    train(zoo_, other, config(), folder=tmp_path / "run")


@pytest.mark.slow
def test_other_rows_and_seeds_compile_nothing(zoo_, split, trained, caplog):
  del trained  # which has compiled what there is
  fewer = split._replace(
      train=split.train[6:], validation=split.validation[:-3]
  )
  with compiling(caplog) as compiled:
    train(zoo_, fewer, config(seed=3, steps=20))
  assert not compiled


@pytest.mark.slow
def test_devices_share_a_batch(zoo_, split, trained):
  mesh = parallel.mesh(parallel.DATA, jax.local_devices()[:2])
  spread = train(zoo_, split, config(steps=10), mesh=mesh)
  alone = train(zoo_, split, config(steps=10))
  for name, outputs in alone.outputs.items():
    np.testing.assert_allclose(
        spread.outputs[name], outputs, rtol=1e-3, atol=1e-4
    )
  assert not np.allclose(alone.outputs["step"], trained.outputs["step"])


def test_augmentation_is_for_those_who_need_it(zoo_):
  rnn, *_ = zoo_.rnns
  encoder = encoders.make(
      "flat", {"hidden": 4, "layers": 1}, rnn, encoders.Inputs("token")
  )
  params = encoder.init(jax.random.key(0))
  vectors = zoo_.vectors(np.arange(3))
  keys = jax.random.split(jax.random.key(1), 3)

  def codes(encoder, augment):
    f = jax.vmap(encoding.make_encode(rnn, encoder, augment), (None, 0, 0))
    return np.asarray(jax.jit(f)(params, vectors, keys))

  plain = codes(encoder, "none")
  assert np.max(np.abs(codes(encoder, "permutation") - plain)) > 1e-3
  claimed = encoder._replace(invariant=True)
  np.testing.assert_array_equal(codes(claimed, "permutation"), plain)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"augment": "rotation"}, "'permutation', 'signed' or 'none'"),
        ({"properties": ()}, "properties must name at least one"),
        ({"properties": ("angle",)}, "needs tasks with an angle"),
        ({"properties": ("acuracy",)}, "did you mean 'accuracy'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"stepz": 1}, "did you mean 'steps'"),
    ],
)
def test_configs_that_cannot_be_are_refused(zoo_, split, change, message):
  with pytest.raises(ValueError, match=message):
    train(zoo_, split, config(**change))


def test_rows_that_cannot_be_are_refused(zoo_, split):
  for rows, message in (
      ([], "no train rows"), ([0, 54], "train rows must be from 0 to 53"),
  ):  # fmt: skip
    with pytest.raises(ValueError, match=message):
      train(zoo_, split._replace(train=np.array(rows, int)), config())
  finite, accuracy = (
      zoo_.columns[name].copy() for name in ("finite", "accuracy")
  )
  finite[split.validation[:2]] = False
  with pytest.raises(ValueError, match="2 of the validation rows"):
    train(with_columns(zoo_, finite=finite), split, config())
  accuracy[split.validation] = np.nan
  with pytest.raises(ValueError, match="known of none of the 6 validation"):
    train(with_columns(zoo_, accuracy=accuracy), split, config())


def test_rows_without_a_target_count_nowhere(zoo_, split):
  accuracy = zoo_.columns["accuracy"].copy()
  accuracy[split.validation[::3]] = accuracy[split.train[::2]] = np.nan
  once = train(
      with_columns(zoo_, accuracy=accuracy), split,
      config(properties=("accuracy",), steps=1, validate_every=1),
  )  # fmt: skip
  rows = split.validation[np.isfinite(accuracy[split.validation])]
  right, output = accuracy[rows], once.outputs["accuracy"][rows, 0]
  expected = -np.mean(right * np.log(output) + (1 - right) * np.log1p(-output))
  (best,) = (line for line in once.history if line["step"] == once.step)
  assert best["validation/accuracy"] == pytest.approx(expected, rel=1e-4)
