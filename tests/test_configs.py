"""Config files hold the fields that the code has, with its defaults."""

import dataclasses

import numpy as np
import pytest

from experiments.configs import emulation as emulation_config
from experiments.configs import prediction as prediction_config
from experiments.configs import reproduce, theory
from experiments.study import variants
from experiments.theory import config as learning_config
from tests import digits
from weightspace import plugins, properties, tasks
from weightspace.evaluation import prediction
from weightspace.tasks import formal_language, secret_path, tiled_mnist
from zoo_gen import shards, trainer
from zoo_gen.configs import formal_languages, secret_paths
from zoo_gen.configs import tiled_mnist as tiled_mnist_config


def fields(dataclass):
  return {field.name for field in dataclasses.fields(dataclass)}


def test_prediction():
  config = prediction_config.get_config().to_dict()
  actual = plugins.configure(prediction.Config, config, "prediction")
  assert actual == prediction.Config()
  assert set(config) == fields(prediction.Config)


@pytest.mark.parametrize("family", prediction_config.PROPERTIES)
def test_every_family_has_its_properties(family):
  fields = {"digits": digits.dataset()} if family == "tiled_mnist" else {}
  scope = properties.Scope(tasks.make(family, fields).spec, (0, 10))
  for name in prediction_config.get_config(family).properties:
    assert properties.load(name, scope).shape(scope)


def test_families_without_properties_of_their_own():
  config = prediction_config.get_config("secret_path")
  assert config == prediction_config.get_config()
  with pytest.raises(ValueError, match="did you mean 'secret_path'"):
    prediction_config.get_config("secret_paths")


@pytest.mark.parametrize("size", tiled_mnist_config.SIZES)
def test_tiled_mnist(size):
  config = tiled_mnist_config.get_config(size).to_dict()
  assert set(config["task"]) == fields(tiled_mnist.Config)
  assert set(config["recipe"]) == fields(trainer.Recipe)
  config["task"]["digits"] = digits.dataset()
  shards.plan(config)


def test_the_papers_zoo_of_digits():
  config = tiled_mnist_config.get_config("paper").to_dict()
  assert config["task"].pop("digits") == "tfds"
  defaults = dataclasses.asdict(tiled_mnist.Config())
  assert config["task"].items() < defaults.items()
  decays = {"weight_decays": (0.0, 0.001, 0.01, 0.1)}
  assert trainer.Recipe(**config["recipe"]) == trainer.Recipe(**decays)


def test_an_unknown_size_of_digits_is_refused():
  with pytest.raises(ValueError, match="tiny, small, paper"):
    tiled_mnist_config.get_config("big")


def test_probes_of_digits_cover_their_pixels():
  config = tiled_mnist.Config()
  for size in emulation_config.SIZES:
    encoder = emulation_config.get_config(
        f"interactive,{size},tiled_mnist"
    ).encoder
    limit = encoder.probe_limit or np.inf
    reach = encoder.low + (encoder.high - encoder.low) * np.array(
        [1 / (1 + np.exp(limit)), 1 / (1 + np.exp(-limit))]
    )
    assert reach[0] <= (0 - config.mean) / config.std
    assert reach[1] >= (1 - config.mean) / config.std
  assert encoder.length == tiled_mnist.SPEC.length
  other = emulation_config.get_config("statistics,tiny,tiled_mnist")
  assert other == emulation_config.get_config("statistics,tiny")
  with pytest.raises(ValueError, match="did you mean 'tiled_mnist'"):
    emulation_config.get_config("interactive,tiny,tiled_mnits")


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
  assert set(config["learning"]) == fields(learning_config.Config)
  made = plugins.configure(
      learning_config.Config, config["learning"], "learning"
  )
  assert (made == learning_config.Config()) == (size == "full")


def test_the_papers_zoo():
  config = formal_languages.get_config("paper").to_dict()
  assert config["task"] == dataclasses.asdict(formal_language.Config())
  assert trainer.Recipe(**config["recipe"]) == trainer.Recipe()


def test_an_unknown_size_is_refused():
  with pytest.raises(ValueError, match="tiny, quickstart, small, paper"):
    formal_languages.get_config("big")


@pytest.mark.parametrize("size", reproduce.SIZES)
def test_variants_of_a_name_are_those_of_the_family(size):
  config = reproduce.get_config(size).to_dict()
  for family in config["zoos"]:
    for name in variants.jobs(config, family):
      title, group = variants.group_of(config, family, name)
      assert family in group["steps"], (family, name, title)
