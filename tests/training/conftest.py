"""Trainings of a file share what is compiled."""

import dataclasses

import pytest

from weightspace.training import members, pretrain
from weightspace.training import setup as setup_lib


@pytest.fixture(scope="module")
def shared_setups():
  """Configs that differ in seed and learning rate alone have one setup.

  As they have within `members.pretrain`. Processes of their own, in which each
  run makes its setup again, are in tests/faults.
  """
  made = {}

  def make_setup(zoo, config, mesh=None, members=False):
    training = dataclasses.replace(config.training, seed=0)
    optimizer = dataclasses.replace(config.optimizer, learning_rate=1.0)
    rest = dataclasses.replace(
        config, training=training, optimizer=optimizer
    )
    key = zoo.path, str(rest), mesh, members
    if key not in made:
      made[key] = setup_lib.make_setup(zoo, config, mesh, members)
    return made[key]

  with pytest.MonkeyPatch.context() as patch:
    for module in (members, pretrain):
      patch.setattr(module, "make_setup", make_setup)
    yield
