"""No config takes a value that cannot be, whatever the field."""

import dataclasses
import math

import pytest

from experiments.theory.config import Config as TheoryConfig
from weightspace import emulator, encoders, heads, plugins, tasks
from weightspace.errors import UserError
from weightspace.evaluation import fitting
from weightspace.training import objectives
from weightspace.training.objectives import supervised
from weightspace.training.optimizer import OptimizerConfig
from zoo_gen.trainer import Recipe

CONFIGS = {
    "emulator": emulator.Config,
    "heads": heads.Config,
    "fitting": fitting.Config,
    "optimizer": OptimizerConfig,
    "recipe": Recipe,
    "theory": TheoryConfig,
    **{
        f"{package.__name__}.{name}": plugins.load(
            package.__name__, name
        ).Config
        for package in (encoders, objectives, tasks)
        for name in plugins.names(package.__name__)
    },
}
WRONG = {
    int: (-(2**40), 2**40, 1.5, math.nan, "1", None, True),
    float: (math.nan, math.inf, "1", None),
    bool: ("yes", None, 2),
    str: ("no such", None),
}
FREE = ("digits", "digits_sha256")  # names of data, which may be anything


@pytest.mark.parametrize("what", sorted(CONFIGS))
def test_every_field_is_checked(what):
  config = CONFIGS[what]()
  for field in dataclasses.fields(config):
    kind = type(getattr(config, field.name))
    for wrong in () if field.name in FREE else WRONG.get(kind, ()):
      with pytest.raises(UserError):
        plugins.configure(type(config), {field.name: wrong}, what)
        pytest.fail(f"{what}.{field.name} takes {wrong!r}")


@pytest.mark.parametrize(
    "fields",
    [
        {"snapshot_steps": (0, 1.5)},
        {"snapshot_steps": ("a",)},
        {"learning_rates": (0.1, math.nan, 0.1)},
        {"learning_rates": (0.1, -1.0, 0.1)},
        {"weight_decays": (-1.0,)},
        {"batch": 0},
        {"init_scale": 0.0},
    ],
    ids=str,
)
def test_recipes_that_cannot_be(fields):
  with pytest.raises(UserError, match="recipe: "):
    plugins.configure(Recipe, fields, "recipe")


def test_a_decay_is_longer_than_its_warm_up():
  with pytest.raises(UserError, match="decay_steps=10"):
    OptimizerConfig(warmup_steps=10, decay_steps=10)


def test_properties_have_names_of_properties():
  for config in (fitting.Config, supervised.Config):
    for wrong in ((), ("task", "task"), ("acuracy",)):
      with pytest.raises(UserError):
        config(properties=wrong)
