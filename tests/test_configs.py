"""Config files hold the fields that the code has, with its defaults."""

import dataclasses

import pytest

from experiments import secret_paths as learning
from experiments.configs import prediction as prediction_config
from experiments.configs import theory
from weightspace import plugins
from weightspace.evaluation import prediction
from weightspace.tasks import formal_language, secret_path
from zoo_gen import shards, trainer
from zoo_gen.configs import formal_languages, secret_paths


def fields(dataclass):
  return {field.name for field in dataclasses.fields(dataclass)}


def test_prediction():
  config = prediction_config.get_config().to_dict()
  found = plugins.configure(prediction.Config, config, "prediction")
  assert found == prediction.Config()
  assert set(config) == fields(prediction.Config)


@pytest.mark.parametrize("size", formal_languages.SIZES)
def test_formal_languages(size):
  config = formal_languages.get_config(size).to_dict()
  assert set(config["task"]) == fields(formal_language.Config)
  assert set(config["recipe"]) == fields(trainer.Recipe)
  shards.plan(config)


@pytest.mark.parametrize("size", secret_paths.SIZES)
def test_secret_paths(size):
  config = secret_paths.get_config(size).to_dict()
  assert set(config["task"]) == fields(secret_path.Config)
  assert set(config["recipe"]) == fields(trainer.Recipe)
  shards.plan(config)


@pytest.mark.parametrize("size", theory.SIZES)
def test_theory(size):
  config = theory.get_config(size).to_dict()
  assert set(config["learning"]) == fields(learning.Config)
  found = plugins.configure(learning.Config, config["learning"], "learning")
  assert (found == learning.Config()) == (size == "full")


def test_the_papers_zoo():
  config = formal_languages.get_config("paper").to_dict()
  assert config["task"] == dataclasses.asdict(formal_language.Config())
  assert trainer.Recipe(**config["recipe"]) == trainer.Recipe()


def test_an_unknown_size_is_refused():
  with pytest.raises(ValueError, match="tiny, quickstart, small, paper"):
    formal_languages.get_config("big")
